"""Prefers domains with few of the pods that a soft spread constraint counts; pods in groups spread by default."""

from __future__ import annotations

import math
from typing import NamedTuple

from sampan.scheduler.arrays import Bools, Floats, Ints, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.filters.podtopologyspread import included, selection
from sampan.scheduler.groups import HOSTNAME
from sampan.scheduler.scores.score import HIGHEST, Kind, Score
from sampan.scheduler.terms import Spread


class _Soft(NamedTuple):
    constraints: tuple[Spread, ...]
    strict: bool
    """The pod's own constraints: nodes that lack one of their labels score nothing."""


def _soft(case: Case) -> _Soft:
    if case.profile.spread:
        return _Soft(tuple(s for s in case.profile.spread if not s.hard), strict=True)
    return case.fixed("group", lambda: _Soft(case.snapshot.groups.constraints(case.profile), strict=False))


def _complete(case: Case, soft: _Soft) -> Bools:
    """The rows that have the labels of all constraints."""
    found = np.ones(case.snapshot.size, np.bool_)
    for spread in soft.constraints:
        found &= case.snapshot.domains(spread.key)[0] >= 0
    return found


def compute(case: Case, rows: Rows) -> Ints:
    soft = _soft(case)
    scored = np.ones(case.snapshot.size, np.bool_)
    if soft.strict:
        scored = case.fixed("complete", lambda: _complete(case, soft))
    inside = scored[rows]
    total = np.zeros(len(inside), np.float64)
    for at, spread in enumerate(soft.constraints):
        total += _of_constraint(case, at, spread, rows, inside, scored)
    raw = np.rint(total).astype(np.int64)
    if not inside.any():
        return np.zeros(len(raw), np.int64)
    low, high = int(raw[inside].min()), int(raw[inside].max())
    if high == 0:
        return np.where(inside, HIGHEST, 0)
    return np.where(inside, HIGHEST * (high + low - raw) // high, 0)


def _of_constraint(case: Case, at: int, spread: Spread, rows: Rows, inside: Bools, scored: Bools) -> Floats:
    """Pods in each row's domain, weighed with the number of domains, which evens out constraints over each other."""
    snapshot = case.snapshot
    counts = snapshot.selected(selection(case, spread))
    domains, number = snapshot.domains(spread.key)
    here = domains[rows]
    labelled = here >= 0
    if spread.key == HOSTNAME:
        found, size = counts[rows], int(inside.sum())
    else:
        counted = case.fixed(("soft", at), lambda: included(case, spread) & (domains >= 0) & scored)
        totals = np.bincount(
            np.where(counted, domains, number), weights=np.where(counted, counts, 0), minlength=number + 1
        )
        found, size = totals[here], len(np.unique(here[labelled & inside]))
    return np.where(labelled, found * math.log(size + 2) + (spread.max_skew - 1), 0.0)


SCORE = Score("PodTopologySpread", 2, Kind.CLUSTER, compute, lambda case: bool(_soft(case).constraints))
