"""One profile on one snapshot: what was computed about it, and for how long that holds."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sampan.scheduler.arrays import Bools, Ints, np
from sampan.scheduler.profile import Profile
from sampan.scheduler.snapshot import Snapshot
from sampan.scheduler.tallies import Carried, matching

if TYPE_CHECKING:
    from sampan.scheduler.filters.filter import Filter

T = TypeVar("T")


class Case:
    """What depends on nodes alone is kept while `snapshot.version` stays; `base` follows the pods row by row.

    `base` is the score of each row as far as it depends on that row alone, REFUSED for rows that cannot take the
    pod; the plan keeps it up to date. Everything that depends on other rows is computed at every question.
    """

    def __init__(self, profile: Profile, snapshot: Snapshot, filters: Sequence[Filter]) -> None:
        self.profile = profile
        self.snapshot = snapshot
        self.demand = [(snapshot.resource(r), amount) for r, amount in profile.demand.exact.items()]
        self.base: Ints = np.zeros(0, np.int64)
        self.version = -1
        self.position = 0
        self._filters = {each.name: each for each in filters}
        self._fixed: dict[Hashable, Any] = {}
        self._spoken: tuple[int, list[tuple[Carried, Ints]]] = (-1, [])

    def renew(self) -> None:
        """Nodes have changed: forget what was computed from them."""
        self._fixed.clear()
        self._spoken = (-1, [])
        self.version = self.snapshot.version

    def fixed(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` returns, kept as long as nodes stay the same."""
        found: T | None = self._fixed.get(key)
        if found is None:
            found = self._fixed[key] = make()
        return found

    def node_verdict(self, name: str) -> Bools:
        """The rows that a filter of scope NODE lets pass."""
        every = slice(0, self.snapshot.size)
        return self.fixed(("filter", name), lambda: self._filters[name].passes(self, every))

    @property
    def spoken_of(self) -> list[tuple[Carried, Ints]]:
        """The terms of placed pods that speak of this one, with how many pods of each row carry them."""
        tallies = self.snapshot.tallies
        if self._spoken[0] != tallies.generation:
            found = matching(tallies.carried, self.profile, self.snapshot.namespace_labels)
            self._spoken = (tallies.generation, found)
        return self._spoken[1]
