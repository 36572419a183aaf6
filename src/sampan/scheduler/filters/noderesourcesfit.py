"""What the pod asks for must be left on the node: cpu, memory, storage, a place among its pods, anything named."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.scheduler.arrays import Bools, Rows
from sampan.scheduler.case import Case
from sampan.scheduler.filters.filter import Filter, Refusal, Scope, helped_by
from sampan.scheduler.snapshot import PODS
from sampan.scheduler.wakes import Wake


def passes(case: Case, rows: Rows) -> Bools:
    snapshot = case.snapshot
    allocatable, requested = snapshot.allocatable, snapshot.requested
    found: Bools = requested[PODS, rows] < allocatable[PODS, rows]
    for index, amount in case.demand:
        found &= allocatable[index, rows] - requested[index, rows] >= amount
    return found


def refusals(case: Case) -> Sequence[Refusal]:
    snapshot, size = case.snapshot, case.snapshot.size
    allocatable, requested = snapshot.allocatable[:, :size], snapshot.requested[:, :size]
    names = {index: name for name, index in snapshot.resources.items()}
    found = [Refusal(requested[PODS] >= allocatable[PODS], "Too many pods", allocatable[PODS] < 1)]
    for index, amount in case.demand:
        short = allocatable[index] - requested[index] < amount
        found.append(Refusal(short, f"Insufficient {names[index]}", allocatable[index] < amount))
    return found


FILTER = Filter(
    "NodeResourcesFit",
    Scope.ROW,
    passes,
    refusals,
    helped_by(Wake.NODE_ADDED, Wake.NODE_ALLOCATABLE, Wake.POD_DELETED),
)
