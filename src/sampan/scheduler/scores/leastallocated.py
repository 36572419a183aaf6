"""Prefers nodes with much cpu and memory left (NodeResourcesFit's strategy LeastAllocated)."""

from __future__ import annotations

from sampan.scheduler.arrays import Ints, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.scores.score import HIGHEST, Kind, Score
from sampan.scheduler.snapshot import CPU, MEMORY


def compute(case: Case, rows: Rows) -> Ints:
    snapshot, demand = case.snapshot, case.profile.demand
    total = np.zeros_like(snapshot.guessed[0, rows])
    counted = np.zeros_like(total)
    for at, index, amount in ((0, CPU, demand.cpu), (1, MEMORY, demand.memory)):
        capacity = snapshot.allocatable[index, rows]
        left = np.maximum(capacity - snapshot.guessed[at, rows] - amount, 0)
        total += left * HIGHEST // np.maximum(capacity, 1)
        counted += capacity > 0
    return total // np.maximum(counted, 1)


SCORE = Score("NodeResourcesFit", 1, Kind.ROW, compute)
