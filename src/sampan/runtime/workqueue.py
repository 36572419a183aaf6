"""The work queue: what to look at next, each key once, one worker per key, and the one place for retries."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from sampan.runtime.backoff import Exponential, Failures
from sampan.runtime.clock import Clock, RealClock, Timer

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """A key waits at most once, however often it is added, and is never given to two workers at a time.

    Bounded by the number of distinct keys, that is of objects: adding a key that waits already costs nothing.
    A key added while a worker has it waits until `done`. The usual worker: `get`, work, then `forget` or `retry`,
    and `done` in any case.
    """

    def __init__(self, name: str, *, clock: Clock | None = None, backoff: Exponential = Exponential()) -> None:
        self.name = name
        self.added = 0
        self.retried = 0
        self._clock = clock or RealClock()
        self._failures = Failures(backoff)
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._due: dict[K, float] = {}
        self._delayed: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._timer: Timer | None = None
        self._timer_at = 0.0

    def __len__(self) -> int:
        """Keys that wait for a worker (not those that wait for their time)."""
        return len(self._ready)

    @property
    def delayed(self) -> int:
        return len(self._due)

    @property
    def idle(self) -> bool:
        """Nothing is ready and nobody works."""
        return not self._ready and not self._processing

    def add(self, key: K) -> None:
        if key in self._dirty:
            return
        self.added += 1
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Add when the time has come; of several times for one key the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        at = self._clock.monotonic() + seconds
        if at < self._due.get(key, float("inf")):
            self._due[key] = at
            heapq.heappush(self._delayed, (at, next(self._order), key))
            self._arm()

    def retry(self, key: K) -> float:
        """Add again after this key's backoff; returns the seconds."""
        self.retried += 1
        seconds = self._failures.failed(key)
        self.add_after(key, seconds)
        return seconds

    def failures(self, key: K) -> int:
        return self._failures.count(key)

    def forget(self, key: K) -> None:
        """The key did well: its next failure waits shortly again."""
        self._failures.forget(key)

    async def get(self) -> K:
        while not self._ready:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                elif self._ready:
                    self._wake()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        self._processing.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        """One timer, for the earliest key."""
        at = self._delayed[0][0]
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.call_later(max(0.0, at - self._clock.monotonic()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        while self._delayed and self._delayed[0][0] <= now + 0.001:
            at, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == at:
                del self._due[key]
                self.add(key)
        if self._delayed:
            self._arm()
