"""Counts of pods by node: how many that a selector selects, how many that carry an affinity term."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sampan.scheduler.arrays import Ints, np
from sampan.scheduler.profile import Profile
from sampan.scheduler.terms import NamespaceLabels, Peers, Term

TALLIES = 512
"""Selections of pods that are counted at a time; the one not asked for longest is forgotten, and counted anew."""


class Selection(NamedTuple):
    """Pods that all of `peers` include; `ending` says whether pods that are being deleted count."""

    peers: tuple[Peers, ...]
    ending: bool

    def includes(self, profile: Profile, ending: bool, namespace_labels: NamespaceLabels) -> bool:
        if ending and not self.ending:
            return False
        return all(p.include(profile.namespace, profile.labels, namespace_labels) for p in self.peers)


class Carried(NamedTuple):
    """A term that placed pods carry. `weight` is None for required anti-affinity, else what it adds to a score."""

    term: Term
    weight: int | None


REQUIRED_NEAR = 1
"""What a placed pod's required affinity adds to the score of those it wants near (hardPodAffinityWeight)."""


class Tallies:
    """Keeps its arrays as long as there are rows (`resize`), and up to date with pods that come and go."""

    def __init__(self, namespace_labels: NamespaceLabels) -> None:
        self.carried: dict[Carried, Ints] = {}
        self.generation = 0
        """Grows whenever the set of carried terms changes."""
        self._totals: dict[Carried, int] = {}
        self._namespace_labels = namespace_labels
        self._size = 0
        self._selections: dict[Selection, Ints] = {}
        self._by_namespace: dict[str, list[Selection]] = {}
        self._anywhere: list[Selection] = []

    def resize(self, size: int) -> None:
        self._size = size
        for counts in (self._selections, self.carried):
            for key, array in counts.items():
                counts[key] = grown(array, size)  # type: ignore[index]

    def selected(self, selection: Selection, placed: Iterable[tuple[Profile, int, bool]]) -> Ints:
        """By row; counted over `placed` (profile, row, ending) the first time, kept up to date from then on."""
        counts = self._selections.pop(selection, None)
        if counts is None:
            if len(self._selections) >= TALLIES:
                self._forget(next(iter(self._selections)))
            counts = np.zeros(self._size, np.int64)
            for profile, row, ending in placed:
                if selection.includes(profile, ending, self._namespace_labels):
                    counts[row] += 1
            for home in self._homes(selection):
                home.append(selection)
        self._selections[selection] = counts
        return counts

    def recount(self) -> None:
        """Labels of namespaces have changed: what depends on them is counted anew."""
        for selection in [s for s in self._selections if any(p.namespace_selector for p in s.peers)]:
            self._forget(selection)

    def count(self, profile: Profile, row: int, ending: bool, step: int) -> None:
        """One pod more (`step` 1) or less (-1)."""
        for selection in (*self._by_namespace.get(profile.namespace, ()), *self._anywhere):
            if selection.includes(profile, ending, self._namespace_labels):
                self._selections[selection][row] += step
        wishes = profile.pods
        if wishes.near or wishes.apart or wishes.preferred:
            for term in wishes.apart:
                self._carry(Carried(term, None), row, step)
            for term in wishes.near:
                self._carry(Carried(term, REQUIRED_NEAR), row, step)
            for weighted in wishes.preferred:
                self._carry(Carried(weighted.term, weighted.weight), row, step)

    def _carry(self, carried: Carried, row: int, step: int) -> None:
        if carried not in self.carried:
            self.carried[carried] = np.zeros(self._size, np.int64)
            self._totals[carried] = 0
            self.generation += 1
        self.carried[carried][row] += step
        self._totals[carried] += step
        if not self._totals[carried]:
            del self.carried[carried], self._totals[carried]
            self.generation += 1

    def _homes(self, selection: Selection) -> list[list[Selection]]:
        """Where pods look for the selections they may belong to."""
        if any(p.namespace_selector is None for p in selection.peers):
            bound = next(p for p in selection.peers if p.namespace_selector is None)
            return [self._by_namespace.setdefault(name, []) for name in bound.namespaces]
        return [self._anywhere]

    def _forget(self, selection: Selection) -> None:
        del self._selections[selection]
        for home in self._homes(selection):
            home.remove(selection)


def grown(array: Ints, size: int) -> Ints:
    more = np.zeros((*array.shape[:-1], size), array.dtype)
    more[..., : array.shape[-1]] = array
    return more


def matching(
    carried: Mapping[Carried, Ints], profile: Profile, namespace_labels: NamespaceLabels
) -> list[tuple[Carried, Ints]]:
    """The carried terms that speak of a pod of this profile."""
    return [
        (each, counts)
        for each, counts in carried.items()
        if each.term.peers.include(profile.namespace, profile.labels, namespace_labels)
    ]
