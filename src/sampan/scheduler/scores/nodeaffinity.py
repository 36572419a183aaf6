"""Prefers nodes that meet the pod's preferred node affinity: the sum of the weights that apply."""

from __future__ import annotations

from sampan.scheduler import nodeselector
from sampan.scheduler.arrays import Ints, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.scores.score import Kind, Score


def compute(case: Case, rows: Rows) -> Ints:
    total = np.zeros(case.snapshot.size, np.int64)
    for wish in case.profile.preferred:
        total += wish.weight * nodeselector.term(case.snapshot, wish.preference)
    return total[rows]


SCORE = Score("NodeAffinity", 2, Kind.RELATIVE, compute, lambda case: bool(case.profile.preferred))
