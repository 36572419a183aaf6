"""Cordoned nodes take no new pods, except those that tolerate the taint that says the same."""

from __future__ import annotations

from sampan.api.types import core_v1
from sampan.scheduler import tolerations
from sampan.scheduler.arrays import Bools, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.filters.filter import Filter, Scope, helped_by, single
from sampan.scheduler.wakes import Wake

REASON = "node(s) were unschedulable"
TAINT = core_v1.Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


def passes(case: Case, rows: Rows) -> Bools:
    cordoned = case.snapshot.unschedulable[rows]
    if not cordoned.any() or tolerations.tolerates(case.profile.spec.tolerations, TAINT.key, "", TAINT.effect):
        return np.ones(len(cordoned), np.bool_)
    return ~cordoned


FILTER = Filter(
    "NodeUnschedulable",
    Scope.NODE,
    passes,
    single(passes, REASON, final=True),
    helped_by(Wake.NODE_ADDED, Wake.NODE_TAINTS),
)
