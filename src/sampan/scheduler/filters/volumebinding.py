"""Nodes must reach the pod's volumes: those bound already, and one for each claim that waits for a node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sampan.api.types import core_v1
from sampan.scheduler import nodeselector
from sampan.scheduler.arrays import Bools, Rows, np
from sampan.scheduler.case import Case
from sampan.scheduler.filters.filter import Filter, Refusal, Scope, helped_by
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.volumes import NO_PROVISIONER, Volume, Waiting
from sampan.scheduler.wakes import Wake

ELSEWHERE = "node(s) didn't match PersistentVolume's node affinity"
NONE_FREE = "node(s) didn't find available persistent volumes to bind"


class _Reach(NamedTuple):
    bound: Bools
    unbound: Bools


def reach(snapshot: Snapshot, volume: Volume) -> Bools:
    """The rows from which a volume can be used."""
    affinity = volume.spec.nodeAffinity
    if affinity is None or affinity.required is None:
        return np.ones(snapshot.size, np.bool_)
    return nodeselector.any_of(snapshot, affinity.required)


def _provided(snapshot: Snapshot, waiting: Waiting) -> Bools:
    """The rows where the claim finds a volume, or can get one made."""
    found = np.zeros(snapshot.size, np.bool_)
    if waiting.storage_class.provisioner != NO_PROVISIONER:
        topologies = waiting.storage_class.allowedTopologies
        if not topologies:
            return ~found
        for term in topologies:
            found |= nodeselector.term(snapshot, _as_node_term(term))
    for volume in snapshot.volumes.candidates(waiting.claim):
        found |= reach(snapshot, volume)
    return found


def _as_node_term(term: core_v1.TopologySelectorTerm) -> core_v1.NodeSelectorTerm:
    return core_v1.NodeSelectorTerm(
        matchExpressions=tuple(
            core_v1.NodeSelectorRequirement(key=each.key, operator="In", values=each.values)
            for each in term.matchLabelExpressions
        )
    )


def _all(rows: Iterable[Bools], size: int) -> Bools:
    found = np.ones(size, np.bool_)
    for each in rows:
        found &= each
    return found


def _reach(case: Case) -> _Reach:
    snapshot, profile = case.snapshot, case.profile
    return _Reach(
        _all((reach(snapshot, volume) for volume in snapshot.volumes.bound(profile)), snapshot.size),
        _all((_provided(snapshot, waiting) for waiting in snapshot.volumes.waiting(profile)), snapshot.size),
    )


def passes(case: Case, rows: Rows) -> Bools:
    found = case.fixed("volumes", lambda: _reach(case))
    return (found.bound & found.unbound)[rows]


def refusals(case: Case) -> Sequence[Refusal]:
    found = case.fixed("volumes", lambda: _reach(case))
    nowhere = found.bound & ~found.unbound
    return Refusal(~found.bound, ELSEWHERE, ~found.bound), Refusal(nowhere, NONE_FREE, nowhere)


FILTER = Filter(
    "VolumeBinding",
    Scope.NODE,
    passes,
    refusals,
    helped_by(Wake.NODE_ADDED, Wake.NODE_LABELS, Wake.VOLUME),
    lambda case: bool(case.profile.claims),
)
