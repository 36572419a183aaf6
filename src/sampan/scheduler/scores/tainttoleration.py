"""Prefers nodes with few taints of effect PreferNoSchedule that the pod does not tolerate."""

from __future__ import annotations

from sampan.scheduler import tolerations
from sampan.scheduler.arrays import Ints, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.scores.score import Kind, Score


def compute(case: Case, rows: Rows) -> Ints:
    wanted = case.profile.spec.tolerations
    counts = np.array(
        [
            sum(not tolerations.tolerates(wanted, *taint) for taint in taints if taint[2] in tolerations.SOFT)
            for taints in case.snapshot.taint_lists
        ],
        np.int64,
    )
    return counts[case.snapshot.taints[rows]]


SCORE = Score("TaintToleration", 3, Kind.RELATIVE, compute, reverse=True)
