"""Required pod affinity and anti-affinity: the pod's own, and what placed pods demand of newcomers."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.scheduler.arrays import Bools, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.filters.filter import Filter, Refusal, Scope, helped_by
from sampan.scheduler.snapshot import domain_totals
from sampan.scheduler.tallies import Selection
from sampan.scheduler.wakes import Wake

NEAR = "node(s) didn't match pod affinity rules"
APART = "node(s) didn't match pod anti-affinity rules"
OTHERS = "node(s) didn't satisfy existing pods anti-affinity rules"


def _near(case: Case) -> Bools:
    """In every term's domain there must be a pod that all terms select; the first of a group needs only itself."""
    snapshot, terms = case.snapshot, case.profile.pods.near
    counts = snapshot.selected(Selection(tuple(t.peers for t in terms), ending=True))
    found = np.ones(snapshot.size, np.bool_)
    labelled = np.ones(snapshot.size, np.bool_)
    anywhere = False
    for term in terms:
        domains, number = snapshot.domains(term.key)
        totals = domain_totals(domains, counts, number)
        anywhere = anywhere or bool(totals.any())
        labelled &= domains >= 0
        found &= totals[domains] > 0
    if not anywhere and all(
        t.peers.include(case.profile.namespace, case.profile.labels, snapshot.namespace_labels) for t in terms
    ):
        return labelled
    return found


def _apart(case: Case) -> Bools:
    snapshot = case.snapshot
    found = np.ones(snapshot.size, np.bool_)
    for term in case.profile.pods.apart:
        counts = snapshot.selected(Selection((term.peers,), ending=True))
        domains, number = snapshot.domains(term.key)
        found &= domain_totals(domains, counts, number)[domains] == 0
    return found


def _others(case: Case) -> Bools:
    snapshot = case.snapshot
    found = np.ones(snapshot.size, np.bool_)
    for carried, counts in case.spoken_of:
        if carried.weight is None:
            domains, number = snapshot.domains(carried.term.key)
            found &= domain_totals(domains, counts[: snapshot.size], number)[domains] == 0
    return found


def passes(case: Case, rows: Rows) -> Bools:
    found = _others(case)
    if case.profile.pods.near:
        found &= _near(case)
    if case.profile.pods.apart:
        found &= _apart(case)
    return found[rows]


def refusals(case: Case) -> Sequence[Refusal]:
    """A node is told the first rule that it breaks. Only affinity cannot be helped by taking pods away."""
    near = _near(case) if case.profile.pods.near else np.ones(case.snapshot.size, np.bool_)
    apart, others = _apart(case), _others(case)
    nothing = np.zeros(case.snapshot.size, np.bool_)
    return (
        Refusal(~near, NEAR, ~near),
        Refusal(near & ~apart, APART, nothing),
        Refusal(near & apart & ~others, OTHERS, nothing),
    )


def applies(case: Case) -> bool:
    wishes = case.profile.pods
    return bool(wishes.near or wishes.apart) or any(carried.weight is None for carried, _ in case.spoken_of)


FILTER = Filter(
    "InterPodAffinity",
    Scope.CLUSTER,
    passes,
    refusals,
    helped_by(
        Wake.NODE_ADDED,
        Wake.NODE_LABELS,
        Wake.POD_ADDED,
        Wake.POD_DELETED,
        Wake.POD_LABELS,
        Wake.NAMESPACE_LABELS,
    ),
    applies,
)
