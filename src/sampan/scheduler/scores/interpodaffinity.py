"""Prefers nodes near the pods that this one likes or is liked by, and far from the others."""

from __future__ import annotations

from sampan.scheduler.arrays import Ints, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.scores.score import HIGHEST, Kind, Score
from sampan.scheduler.snapshot import domain_totals
from sampan.scheduler.tallies import Selection


def compute(case: Case, rows: Rows) -> Ints:
    snapshot = case.snapshot
    total = np.zeros(snapshot.size, np.int64)
    for term, weight in case.profile.pods.preferred:
        counts = snapshot.selected(Selection((term.peers,), ending=True))
        domains, number = snapshot.domains(term.key)
        total += weight * domain_totals(domains, counts, number)[domains]
    for carried, carriers in case.spoken_of:
        if carried.weight is not None:
            domains, number = snapshot.domains(carried.term.key)
            total += carried.weight * domain_totals(domains, carriers[: snapshot.size], number)[domains]
    raw = total[rows]
    low, high = int(raw.min()), int(raw.max())
    return (raw - low) * HIGHEST // (high - low) if high > low else np.zeros(len(raw), np.int64)


def applies(case: Case) -> bool:
    return bool(case.profile.pods.preferred) or any(carried.weight is not None for carried, _ in case.spoken_of)


SCORE = Score("InterPodAffinity", 2, Kind.CLUSTER, compute, applies)
