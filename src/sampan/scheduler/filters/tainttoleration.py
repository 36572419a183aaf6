"""Nodes with a taint of effect NoSchedule or NoExecute take only pods that tolerate it."""

from __future__ import annotations

from sampan.scheduler import tolerations
from sampan.scheduler.arrays import Bools, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.filters.filter import Filter, Scope, helped_by, single
from sampan.scheduler.wakes import Wake

REASON = "node(s) had untolerated taint(s)"


def passes(case: Case, rows: Rows) -> Bools:
    """Each distinct list of taints is looked at once, however many nodes have it."""
    wanted = case.profile.spec.tolerations
    verdicts = np.array(
        [
            all(tolerations.tolerates(wanted, *taint) for taint in taints if taint[2] in tolerations.HARD)
            for taints in case.snapshot.taint_lists
        ]
    )
    return verdicts[case.snapshot.taints[rows]]


FILTER = Filter(
    "TaintToleration",
    Scope.NODE,
    passes,
    single(passes, REASON, final=True),
    helped_by(Wake.NODE_ADDED, Wake.NODE_TAINTS),
)
