"""Kinds of scheduling.k8s.io/v1."""

from __future__ import annotations

from sampan.api.columns import cluster as cluster_columns
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import Kind
from sampan.api.types import scheduling_v1
from sampan.api.validation import policy as policy_rules

PRIORITY_CLASS = Kind(
    scheduling_v1.PriorityClass,
    "scheduling.k8s.io",
    "v1",
    "priorityclasses",
    ("pc",),
    namespaced=False,
    default=cluster.default_priority_class,
    columns=cluster_columns.PRIORITY_CLASS,
    validate=policy_rules.validate_priority_class,
    validate_update=policy_rules.validate_priority_class_update,
)

KINDS = (PRIORITY_CLASS,)
