"""Kinds of policy/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import workloads as workload_columns
from sampan.api.kinds.kind import STATUS, Kind
from sampan.api.types import policy_v1
from sampan.api.validation import policy as policy_rules

POD_DISRUPTION_BUDGET = Kind(
    policy_v1.PodDisruptionBudget,
    "policy",
    "v1",
    "poddisruptionbudgets",
    ("pdb",),
    subresources=(STATUS,),
    columns=workload_columns.POD_DISRUPTION_BUDGET,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=policy_rules.validate_pod_disruption_budget,
)

KINDS = (POD_DISRUPTION_BUDGET,)
