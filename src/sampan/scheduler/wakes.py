"""Changes of the cluster that may make room for a pod that found none."""

from __future__ import annotations

from enum import Enum


class Wake(Enum):
    NODE_ADDED = "node added"
    NODE_ALLOCATABLE = "node offers more"
    NODE_LABELS = "node labels changed"
    NODE_TAINTS = "node taints or cordon changed"
    POD_ADDED = "pod placed"
    POD_DELETED = "pod gone"
    POD_LABELS = "pod labels changed"
    NAMESPACE_LABELS = "namespace labels changed"
    VOLUME = "volume, claim or class changed"


Wakes = frozenset[Wake]
