"""spec.nodeSelector and required node affinity."""

from __future__ import annotations

from sampan.scheduler import nodeselector
from sampan.scheduler.arrays import Bools, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.filters.filter import Filter, Scope, helped_by, single
from sampan.scheduler.wakes import Wake

REASON = "node(s) didn't match Pod's node affinity/selector"


def passes(case: Case, rows: Rows) -> Bools:
    profile, snapshot = case.profile, case.snapshot
    if not applies(case):
        return np.ones(snapshot.size, np.bool_)[rows]
    found = nodeselector.of_map(snapshot, profile.spec.nodeSelector)
    if profile.required is not None:
        found &= nodeselector.any_of(snapshot, profile.required)
    return found[rows]


def applies(case: Case) -> bool:
    return bool(case.profile.spec.nodeSelector) or case.profile.required is not None


FILTER = Filter(
    "NodeAffinity",
    Scope.NODE,
    passes,
    single(passes, REASON, final=True),
    helped_by(Wake.NODE_ADDED, Wake.NODE_LABELS),
    applies,
)
