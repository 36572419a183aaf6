"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exponential:
    """`first` seconds, then `factor` times more for each failure, never more than `longest`.

    `jitter` 0.2 spreads each wait by up to 20% more, so that many who failed together do not return together.
    """

    first: float = 0.005
    longest: float = 1000.0
    factor: float = 2.0
    jitter: float = 0.0

    def delay(self, failures: int) -> float:
        """Before the attempt after `failures` (1, 2, ...) failures in a row."""
        exponent = min(max(0, failures - 1), 64)
        seconds = min(self.longest, self.first * self.factor**exponent)
        return seconds * (1 + random.random() * self.jitter)


class Failures:
    """Counts failures in a row by key and says how long each must wait."""

    def __init__(self, backoff: Exponential = Exponential()) -> None:
        self._backoff = backoff
        self._counts: dict[Hashable, int] = {}

    def count(self, key: Hashable) -> int:
        return self._counts.get(key, 0)

    def failed(self, key: Hashable) -> float:
        """One more failure; returns seconds to wait."""
        self._counts[key] = count = self._counts.get(key, 0) + 1
        return self._backoff.delay(count)

    def forget(self, key: Hashable) -> None:
        self._counts.pop(key, None)
