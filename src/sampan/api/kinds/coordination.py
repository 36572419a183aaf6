"""Kinds of coordination.k8s.io/v1."""

from __future__ import annotations

from sampan.api.columns import cluster as cluster_columns
from sampan.api.kinds.kind import Kind
from sampan.api.types import coordination_v1
from sampan.api.validation import policy as policy_rules

LEASE = Kind(
    coordination_v1.Lease,
    "coordination.k8s.io",
    "v1",
    "leases",
    columns=cluster_columns.LEASE,
    validate=policy_rules.validate_lease,
)

KINDS = (LEASE,)
