"""Prefers nodes where cpu and memory would be in use to the same degree."""

from __future__ import annotations

from sampan.scheduler.arrays import Floats, Ints, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.scores.score import HIGHEST, Kind, Score
from sampan.scheduler.snapshot import CPU, MEMORY


def compute(case: Case, rows: Rows) -> Ints:
    cpu, memory = (_share(case, index, rows) for index in (CPU, MEMORY))
    # The standard deviation of two numbers is half their distance.
    return ((1 - np.abs(cpu - memory) / 2) * HIGHEST).astype(np.int64)


def _share(case: Case, index: int, rows: Rows) -> Floats:
    snapshot = case.snapshot
    wanted = dict(case.demand).get(index, 0)
    capacity = snapshot.allocatable[index, rows]
    share: Floats = (snapshot.requested[index, rows] + wanted) / np.maximum(capacity, 1)
    return np.minimum(share, 1.0)


def applies(case: Case) -> bool:
    """A pod that asks for neither changes nobody's balance."""
    return any(index in (CPU, MEMORY) for index, _ in case.demand)


SCORE = Score("NodeResourcesBalancedAllocation", 1, Kind.ROW, compute, applies)
