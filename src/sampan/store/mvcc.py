"""The store over any table of rows: queueing, group commit, reads at a revision, watches, expiry, compaction.

        put/delete -> queue -> decide -> rows.append (one transaction) -> apply -> watchers, then answers
                        ^________________ one batch at a time ______________|

While a batch is being written the next one gathers, so the batch grows with the load and a lone writer
waits for one commit only. Answers go out after the commit, refusals included: a refusal may rest on a
write of the same batch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Protocol

from sampan.store import broadcast, expiry, keys
from sampan.store.log import Live, Log, Outcome, Record, Write
from sampan.store.types import Compacted, Conflict, Entry, Event, Page, StoreError, Unavailable

WAITING = 8192
WAITING_BYTES = 64 << 20
BATCH = 256
BATCH_BYTES = 8 << 20
INLINE = 32
REPLAY = 500
FORGET = 1000

Done = Callable[[Unavailable | None], None]


class Snapshot(Protocol):
    """Rows as they stood when the snapshot was opened; compaction does not reach into it."""

    async def rows(self, revisions: Sequence[int]) -> list[Record]:
        """These rows, in the order asked for."""
        ...

    async def superseded(self, prefix: str, after: int) -> dict[str, int]:
        """For keys that changed after a revision: the row that stood before the first such change (0: none)."""
        ...

    async def changes(self, prefix: str, after: int, upto: int, limit: int) -> list[Event]: ...


class Rows(Protocol):
    """Where rows live. Calls come from the event loop; `done` is called there too."""

    def append(self, records: Sequence[Record], done: Done) -> None:
        """Make the records durable, all or none. Never two at a time."""
        ...

    def values(self, revisions: Sequence[int]) -> list[bytes]:
        """A few values at once, without waiting. Raises Unavailable."""
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]: ...

    async def forget(self, after: int, upto: int, compacted: int) -> None:
        """Remove what changes in (after, upto] superseded, and deletions there; remember `compacted`."""
        ...

    async def close(self) -> None: ...


class LogStore:
    """Implements types.Store."""

    def __init__(self, rows: Rows, log: Log, *, forgotten: int = 0) -> None:
        self._rows = rows
        self._log = log
        self._forgotten = forgotten
        self._waiting: deque[Write] = deque()
        self._waiting_bytes = 0
        self._busy = False
        self._idle: asyncio.Future[None] | None = None
        self._closed = False
        self._hub = broadcast.Broadcaster()
        self._expiry = expiry.Expiry(self._expire, self._is_current)
        self._expiring: set[asyncio.Future[int]] = set()
        self._compacting = asyncio.Lock()

    @property
    def revision(self) -> int:
        return self._log.revision

    # Reading

    async def get(self, key: str) -> Entry | None:
        self._check_open()
        live = self._log.live.get(key)
        return self._entry(key, live) if live else None

    def _entry(self, key: str, live: Live) -> Entry:
        return Entry(key, self._rows.values((live.revision,))[0], live.revision, live.created)

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        self._check_open()
        log = self._log
        log.check_readable(revision or log.revision)
        low, high = max(prefix, start), keys.upper_bound(prefix)
        if not revision or revision == log.revision:
            found = log.keys.between(low, high, limit)
            if len(found) <= INLINE:
                return self._page(found, low, high)
        async with self._rows.snapshot() as snapshot:
            log.check_readable(revision or log.revision)
            if not revision or revision == log.revision:
                return await self._range_now(snapshot, low, high, limit)
            return await self._range_then(snapshot, prefix, low, limit, revision)

    def _page(self, found: Sequence[str], low: str, high: str) -> Page:
        lives = [self._log.live[key] for key in found]
        values = self._rows.values([live.revision for live in lives])
        entries = [Entry(k, v, live.revision, live.created) for k, v, live in zip(found, values, lives, strict=True)]
        return Page(entries, self.revision, self._log.keys.count(low, high) - len(found))

    async def _range_now(self, snapshot: Snapshot, low: str, high: str, limit: int) -> Page:
        log, now = self._log, self.revision
        found = log.keys.between(low, high, limit)
        remaining = log.keys.count(low, high) - len(found)
        rows = await snapshot.rows([log.live[key].revision for key in found])
        return Page([_as_entry(row) for row in rows], now, remaining)

    async def _range_then(self, snapshot: Snapshot, prefix: str, low: str, limit: int, revision: int) -> Page:
        """Take what lives now and undo what happened since."""
        log = self._log
        then = {key: log.live[key].revision for key in log.keys.between(low, keys.upper_bound(prefix))}
        for key, previous in (await snapshot.superseded(prefix, revision)).items():
            if key < low:
                continue
            if previous:
                then[key] = previous
            else:
                then.pop(key, None)
        found = sorted(then)
        page = found[:limit] if limit else found
        rows = await snapshot.rows([then[key] for key in page])
        return Page([_as_entry(row) for row in rows], revision, len(found) - len(page))

    # Writing

    async def put(self, key: str, value: bytes, *, expect: int | None = None, ttl: int = 0) -> int:
        return await self._submit(key, value, expect, time.time() + ttl if ttl > 0 else 0.0)

    async def delete(self, key: str, *, expect: int | None = None) -> int:
        return await self._submit(key, None, expect, 0.0)

    def _submit(self, key: str, value: bytes | None, expect: int | None, expires: float) -> asyncio.Future[int]:
        self._check_open()
        _check_key(key)
        if len(self._waiting) >= WAITING or self._waiting_bytes > WAITING_BYTES:
            raise Unavailable(f"{len(self._waiting)} writes are waiting for the disk already")
        loop = asyncio.get_running_loop()
        write = Write(key, value, expect, expires, loop.create_future())
        self._waiting.append(write)
        self._waiting_bytes += len(value) if value else 0
        if not self._busy:
            self._busy = True
            loop.call_soon(self._flush)
        return write.answer

    def _flush(self) -> None:
        """Write what waits, as one batch. Runs once per batch, never while one is being written."""
        writes: list[Write] = []
        size = 0
        while self._waiting and len(writes) < BATCH and size < BATCH_BYTES:
            write = self._waiting.popleft()
            taken = len(write.value) if write.value else 0
            self._waiting_bytes -= taken
            if not write.answer.done():
                writes.append(write)
                size += taken
        if not writes:
            self._busy = False
            if self._idle is not None and not self._idle.done():
                self._idle.set_result(None)
            return
        records, outcomes = self._log.decide(writes)
        if records:
            self._rows.append(records, lambda failure: self._committed(records, outcomes, failure))
        else:
            self._committed(records, outcomes, None)

    def _committed(self, records: Sequence[Record], outcomes: Sequence[Outcome], failure: Unavailable | None) -> None:
        if failure is None:
            self._log.apply(records)
            self._publish(records)
            for record in records:
                if record.expires:
                    self._expiry.add(record.expires, record.key, record.revision)
        for write, revision, current in outcomes:
            if write.answer.done():
                continue
            if failure is not None:
                write.answer.set_exception(Unavailable(*failure.args))
            elif revision:
                write.answer.set_result(revision)
            else:
                write.answer.set_exception(self._refusal(write.key, current))
        asyncio.get_running_loop().call_soon(self._flush)

    def _refusal(self, key: str, current: Live | None) -> StoreError:
        try:
            return Conflict(key, self._entry(key, current) if current else None)
        except Unavailable as unreadable:
            return unreadable

    def _publish(self, records: Sequence[Record]) -> None:
        heard = [(record, watchers) for record in records if (watchers := self._hub.interested(record.key))]
        before = [record.previous for record, _ in heard if record.previous]
        try:
            values = dict(zip(before, self._rows.values(before), strict=True))
        except Unavailable as unreadable:
            self._hub.fail(unreadable)
            return
        for record, watchers in heard:
            event = Event(record.revision, record.key, record.value, values.get(record.previous))
            for watcher in watchers:
                watcher.offer(event)

    # Expiry

    def restore_expiry(self, due: Sequence[tuple[float, str, int]]) -> None:
        """Keys with a time to live from an earlier run: (expires, key, revision)."""
        for expires, key, revision in due:
            self._expiry.add(expires, key, revision)

    def _is_current(self, key: str, revision: int) -> bool:
        live = self._log.live.get(key)
        return live is not None and live.revision == revision

    def _expire(self, due: Sequence[tuple[str, int]]) -> None:
        for key, revision in due:
            try:
                answer = self._submit(key, None, revision, 0.0)
            except Unavailable:
                self._expiry.retry(key, revision)
                continue
            self._expiring.add(answer)
            answer.add_done_callback(partial(self._expired, key, revision))

    def _expired(self, key: str, revision: int, answer: asyncio.Future[int]) -> None:
        self._expiring.discard(answer)
        # A Conflict means that somebody wrote the key in between: it lives on, with its own time.
        if isinstance(answer.exception(), Unavailable) and not self._closed:
            self._expiry.retry(key, revision)

    # Watching and compaction

    def watch(self, prefix: str, *, after: int) -> broadcast.Watcher:
        self._check_open()
        return self._hub.watch(prefix, after, self.revision, self._replay)

    async def _replay(self, prefix: str, after: int, upto: int) -> AsyncIterator[Sequence[Event]]:
        while True:
            self._check_open()
            async with self._rows.snapshot() as snapshot:
                if after < self._log.compacted:
                    raise Compacted(after, self._log.compacted)
                events = await snapshot.changes(prefix, after, upto, REPLAY)
            if events:
                yield events
                after = events[-1].revision
            if len(events) < REPLAY:
                return

    async def compact(self, revision: int) -> None:
        self._check_open()
        self._log.check_compactable(revision)
        self._log.compacted = revision
        # A piece at a time, between batches. What a crash or a full disk leaves, the next compaction removes.
        async with self._compacting:
            while self._forgotten < self._log.compacted:
                upto = min(self._forgotten + FORGET, self._log.compacted)
                await self._rows.forget(self._forgotten, upto, self._log.compacted)
                self._forgotten = upto

    async def close(self) -> None:
        """Write what waits, then stop. Idempotent; watches end with Unavailable."""
        if self._closed:
            return
        self._closed = True
        self._expiry.close()
        self._hub.fail(Unavailable("the store is closed"))
        if self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        async with self._compacting:
            await self._rows.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed")


def _as_entry(row: Record) -> Entry:
    assert row.value is not None
    return Entry(row.key, row.value, row.revision, row.created)


def _check_key(key: str) -> None:
    if not key:
        raise StoreError("a key must not be empty")
    if not key.isascii():
        try:
            key.encode()
        except UnicodeEncodeError:
            raise StoreError(f"{key!a}: a key must be text that UTF-8 can encode") from None
