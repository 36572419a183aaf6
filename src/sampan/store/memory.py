"""The store in memory: the same rules, nothing survives. For tests and clusters that live a moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sampan.store import mvcc
from sampan.store.log import Log, Record
from sampan.store.types import Event


class MemoryRows:
    """Rows in a dict, oldest first. Nothing here waits, so a snapshot is the present."""

    def __init__(self) -> None:
        self._rows: dict[int, Record] = {}

    def append(self, records: Sequence[Record], done: mvcc.Done) -> None:
        for record in records:
            self._rows[record.revision] = record
        done(None)

    def values(self, revisions: Sequence[int]) -> list[bytes]:
        return [self._value(revision) for revision in revisions]

    def _value(self, revision: int) -> bytes:
        value = self._rows[revision].value
        assert value is not None
        return value

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[MemoryRows]:
        yield self

    async def rows(self, revisions: Sequence[int]) -> list[Record]:
        return [self._rows[revision] for revision in revisions]

    def _after(self, prefix: str, after: int) -> list[Record]:
        found: list[Record] = []
        for record in reversed(self._rows.values()):
            if record.revision <= after:
                break
            if record.key.startswith(prefix):
                found.append(record)
        found.reverse()
        return found

    async def superseded(self, prefix: str, after: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for record in self._after(prefix, after):
            found.setdefault(record.key, record.previous)
        return found

    async def changes(self, prefix: str, after: int, upto: int, limit: int) -> list[Event]:
        records = [record for record in self._after(prefix, after) if record.revision <= upto]
        return [
            Event(row.revision, row.key, row.value, self._value(row.previous) if row.previous else None)
            for row in records[:limit]
        ]

    async def forget(self, after: int, upto: int, compacted: int) -> None:
        for revision in range(after + 1, upto + 1):
            record = self._rows.get(revision)
            if record is not None:
                self._rows.pop(record.previous, None)
                if record.value is None:
                    del self._rows[revision]

    async def close(self) -> None:
        self._rows.clear()


class MemoryStore(mvcc.LogStore):
    def __init__(self) -> None:
        super().__init__(MemoryRows(), Log())
