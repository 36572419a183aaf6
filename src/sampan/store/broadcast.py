"""Committed batches to watchers: made once, shared by all, and nobody slows the writer down.

A watcher's buffer is bounded; a reader that falls behind is cut off and must start from a fresh list.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from sampan.store.types import Event, SlowWatcher, StoreError

BOUND = 16_384

Replay = Callable[[str, int, int], AsyncIterator[Sequence[Event]]]
"""(prefix, after, upto) -> the stored events between two revisions, oldest first."""


class Watcher:
    """One watch: first what the store has after `after` (replayed), then what comes."""

    def __init__(self, hub: Broadcaster, prefix: str, after: int, now: int, replay: Replay) -> None:
        self.prefix = prefix
        self._hub = hub
        self._after = after
        self._now = now
        self._replay = replay
        self._buffer: list[Event] = []
        self._wake: asyncio.Future[None] | None = None
        self._failure: StoreError | None = None
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[Sequence[Event]]:
        if self._after < self._now:
            async for batch in self._replay(self.prefix, self._after, self._now):
                if self._closed:
                    return
                self._check()
                yield batch
        while not self._closed:
            if self._buffer:
                batch, self._buffer = self._buffer, []
                yield batch
                continue
            self._check()
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def close(self) -> None:
        """Idempotent; a reader that waits ends."""
        self._closed = True
        self._buffer = []
        self._hub.drop(self)
        self._rouse()

    def _check(self) -> None:
        if self._failure is not None:
            raise type(self._failure)(*self._failure.args)

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def offer(self, event: Event) -> None:
        """Take one event, in order of revision; the hub calls this."""
        if event.revision <= self._after:
            return
        if len(self._buffer) >= BOUND:
            self.fail(SlowWatcher(f"the watcher of {self.prefix!r} is {BOUND} events behind"))
            return
        self._buffer.append(event)
        self._rouse()

    def fail(self, reason: StoreError) -> None:
        """Cut off: what is buffered is dropped, the reader gets `reason`."""
        self._failure = reason
        self._buffer = []
        self._hub.drop(self)
        self._rouse()


class Broadcaster:
    """Watchers by prefix. One event costs one look-up per distinct length of prefix, however many watch."""

    def __init__(self) -> None:
        self._watchers: dict[str, list[Watcher]] = {}
        self._lengths: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self._watchers.values()))

    def watch(self, prefix: str, after: int, now: int, replay: Replay) -> Watcher:
        """`now` is the newest committed revision: up to there `replay` tells, from there the hub."""
        watcher = Watcher(self, prefix, after, now, replay)
        self._watchers.setdefault(prefix, []).append(watcher)
        self._lengths = sorted(set(map(len, self._watchers)))
        return watcher

    def drop(self, watcher: Watcher) -> None:
        same = self._watchers.get(watcher.prefix, [])
        if watcher in same:
            same.remove(watcher)
            if not same:
                del self._watchers[watcher.prefix]
                self._lengths = sorted(set(map(len, self._watchers)))

    def interested(self, key: str) -> list[Watcher]:
        found: list[Watcher] = []
        for length in self._lengths:
            if length > len(key):
                break
            found += self._watchers.get(key[:length], ())
        return found

    def fail(self, reason: StoreError) -> None:
        """Cut everybody off, as when the store closes."""
        for watcher in [watcher for same in self._watchers.values() for watcher in same]:
            watcher.fail(reason)
