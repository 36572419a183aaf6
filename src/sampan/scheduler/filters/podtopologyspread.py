"""Hard topology spread: no domain may get more than maxSkew pods ahead of the one that has fewest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sampan.scheduler.arrays import Bools, Ints, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.filters.filter import Filter, Refusal, Scope, helped_by
from sampan.scheduler.tallies import Selection
from sampan.scheduler.terms import Peers, Spread
from sampan.scheduler.wakes import Wake

REASON = "node(s) didn't match pod topology spread constraints"
NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"


class Fixed(NamedTuple):
    """What of a constraint holds as long as nodes stay the same."""

    labelled: Bools
    """Rows with the label."""
    counted: Bools
    """Rows whose pods count: they have the labels of all constraints and pass the inclusion policies."""
    domains: Ints
    number: int
    occupied: Ints
    """Domains with at least one counted row."""
    own: int
    """1 when the pod itself is among those it counts."""


def selection(case: Case, spread: Spread) -> Selection:
    return Selection((Peers(spread.selector, frozenset((case.profile.namespace,))),), ending=False)


def included(case: Case, spread: Spread) -> Bools:
    """Rows that the constraint's inclusion policies admit."""
    found: Bools = case.snapshot.present[: case.snapshot.size].copy()
    if spread.honour_affinity:
        found &= case.node_verdict("NodeAffinity")
    if spread.honour_taints:
        found &= case.node_verdict("TaintToleration")
    return found


def _fixed(case: Case, at: int) -> Fixed:
    hard = [s for s in case.profile.spread if s.hard]
    spread = hard[at]
    every = np.ones(case.snapshot.size, np.bool_)
    for other in hard:
        every &= case.snapshot.domains(other.key)[0] >= 0
    domains, number = case.snapshot.domains(spread.key)
    counted = every & included(case, spread)
    own = int(spread.selector.matches(case.profile.labels))
    return Fixed(domains >= 0, counted, domains, number, np.unique(domains[counted]), own)


def _within(case: Case, at: int, spread: Spread) -> tuple[Fixed, Bools]:
    fixed = case.fixed(("spread", at), lambda: _fixed(case, at))
    counts = np.where(fixed.counted, case.snapshot.selected(selection(case, spread)), 0)
    totals = domain_totals(fixed, counts)
    fewest = int(totals[fixed.occupied].min()) if len(fixed.occupied) >= max(1, spread.min_domains) else 0
    return fixed, totals[fixed.domains] + (fixed.own - fewest) <= spread.max_skew


def domain_totals(fixed: Fixed, counts: Ints) -> Ints:
    # counts is 0 wherever there is no domain, so -1 may count into the extra entry at the end.
    places = np.where(fixed.labelled, fixed.domains, fixed.number)
    return np.bincount(places, weights=counts, minlength=fixed.number + 1).astype(np.int64)


def passes(case: Case, rows: Rows) -> Bools:
    found = np.ones(case.snapshot.size, np.bool_)
    for at, spread in enumerate(s for s in case.profile.spread if s.hard):
        fixed, within = _within(case, at, spread)
        found &= fixed.labelled & within
    return found[rows]


def refusals(case: Case) -> Sequence[Refusal]:
    """A node is told the first constraint that it fails."""
    found: list[Refusal] = []
    open_ = np.ones(case.snapshot.size, np.bool_)
    nothing = np.zeros(case.snapshot.size, np.bool_)
    for at, spread in enumerate(s for s in case.profile.spread if s.hard):
        fixed, within = _within(case, at, spread)
        without = open_ & ~fixed.labelled
        beyond = open_ & fixed.labelled & ~within
        found += [Refusal(without, NO_LABEL, without), Refusal(beyond, REASON, nothing)]
        open_ &= ~without & ~beyond
    return found


FILTER = Filter(
    "PodTopologySpread",
    Scope.CLUSTER,
    passes,
    refusals,
    helped_by(
        Wake.NODE_ADDED,
        Wake.NODE_LABELS,
        Wake.NODE_TAINTS,
        Wake.POD_ADDED,
        Wake.POD_DELETED,
        Wake.POD_LABELS,
    ),
    lambda case: any(s.hard for s in case.profile.spread),
)
