"""Keys with a time to live: one timer for all of them, set to the nearest."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence

STALE = 1024
PAUSE = 0.5


class Expiry:
    """Calls `expire` with (key, revision) pairs that are due. Put again, a key has another revision: the old
    pair is stale, and whoever deletes compares revisions. The queue is bounded by the live keys that have a
    time to live: stale pairs are swept out when they are more than half of it.
    """

    def __init__(
        self, expire: Callable[[Sequence[tuple[str, int]]], None], is_current: Callable[[str, int], bool]
    ) -> None:
        self._expire = expire
        self._is_current = is_current
        self._due: list[tuple[float, str, int]] = []
        self._swept = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._due)

    def add(self, expires: float, key: str, revision: int) -> None:
        heapq.heappush(self._due, (expires, key, revision))
        if len(self._due) > 2 * self._swept + STALE:
            self._due = [due for due in self._due if self._is_current(due[1], due[2])]
            heapq.heapify(self._due)
            self._swept = len(self._due)
        if self._due and (self._timer is None or self._due[0][2] == revision):
            self._arm()

    def close(self) -> None:
        self._closed = True
        self._due = []
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due and not self._closed:
            # An hour at most, so that a jump of the wall clock is noticed.
            wait = min(max(self._due[0][0] - time.time(), 0.0), 3600.0)
            self._timer = asyncio.get_running_loop().call_later(wait, self._fire)

    def _fire(self) -> None:
        now = time.time()
        batch: list[tuple[str, int]] = []
        while self._due and self._due[0][0] <= now and len(batch) < STALE:
            _, key, revision = heapq.heappop(self._due)
            if self._is_current(key, revision):
                batch.append((key, revision))
        if batch:
            self._expire(batch)
        self._arm()

    def retry(self, key: str, revision: int) -> None:
        """The deletion could not be written (disk full): try again a little later."""
        heapq.heappush(self._due, (time.time() + PAUSE, key, revision))
        self._arm()
