"""Kinds of node.k8s.io/v1."""

from __future__ import annotations

from sampan.api.columns import cluster as cluster_columns
from sampan.api.kinds.kind import Kind
from sampan.api.types import node_v1
from sampan.api.validation import policy as policy_rules

RUNTIME_CLASS = Kind(
    node_v1.RuntimeClass,
    "node.k8s.io",
    "v1",
    "runtimeclasses",
    namespaced=False,
    columns=cluster_columns.RUNTIME_CLASS,
    validate=policy_rules.validate_runtime_class,
    validate_update=policy_rules.validate_runtime_class_update,
)

KINDS = (RUNTIME_CLASS,)
