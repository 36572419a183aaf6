"""The log's index and its rules: which key lives at which revision, and who wins a compare-and-swap.

Pure: nothing here waits or touches a disk. Values stay with the rows (see mvcc.Rows); the index holds
two numbers a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sampan.store import keys
from sampan.store.types import Compacted, FutureRevision


class Live(NamedTuple):
    """Where a live key stands: its newest revision, and the one that brought it into being."""

    revision: int
    created: int


class Record(NamedTuple):
    """One row of the log. `value` None is a deletion; `previous` is the row it supersedes (0: none).

    `expires` is Unix time in seconds (0: never).
    """

    revision: int
    key: str
    value: bytes | None
    created: int
    previous: int
    expires: float


@dataclass(slots=True, eq=False)
class Write:
    """One caller that waits. `value` None asks for a deletion; `expires` is Unix time in seconds (0: never)."""

    key: str
    value: bytes | None
    expect: int | None
    expires: float
    answer: asyncio.Future[int]


class Outcome(NamedTuple):
    """What a write comes to: `revision`, or 0 when it lost against `current` (None: nothing stands there)."""

    write: Write
    revision: int
    current: Live | None


class Log:
    """The index over committed rows. `decide` looks ahead without changing it, `apply` moves it on."""

    def __init__(self) -> None:
        self.revision = 0
        self.compacted = 0
        self.live: dict[str, Live] = {}
        self.keys = keys.SortedKeys()

    def load(self, rows: Iterable[tuple[int, str, int, bool]], compacted: int) -> None:
        """Start from stored rows in order of revision: (revision, key, created, is a deletion)."""
        live: dict[str, Live] = {}
        revision = compacted
        for revision, key, created, deleted in rows:
            if deleted:
                live.pop(key, None)
            else:
                live[key] = Live(revision, created)
        self.live = live
        self.keys = keys.SortedKeys(live)
        self.revision = max(revision, compacted)
        self.compacted = compacted

    def decide(self, writes: Sequence[Write]) -> tuple[list[Record], list[Outcome]]:
        """Give every write its answer, each seeing those before it. The records must become durable together."""
        ahead: dict[str, Live | None] = {}
        records: list[Record] = []
        outcomes: list[Outcome] = []
        revision = self.revision
        for write in writes:
            key = write.key
            current = ahead[key] if key in ahead else self.live.get(key)
            found = current.revision if current else 0
            if (write.expect is not None and write.expect != found) or (write.value is None and not current):
                outcomes.append(Outcome(write, 0, current))
                continue
            revision += 1
            created = current.created if current else revision
            records.append(Record(revision, key, write.value, created, found, write.expires))
            outcomes.append(Outcome(write, revision, None))
            ahead[key] = None if write.value is None else Live(revision, created)
        return records, outcomes

    def apply(self, records: Sequence[Record]) -> None:
        """The records are durable."""
        for revision, key, value, created, _, _ in records:
            if value is None:
                del self.live[key]
                self.keys.remove(key)
            else:
                if key not in self.live:
                    self.keys.add(key)
                self.live[key] = Live(revision, created)
        if records:
            self.revision = records[-1].revision

    def check_readable(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        if revision < self.compacted:
            raise Compacted(revision, self.compacted)

    def check_compactable(self, revision: int) -> None:
        """Compacting twice to one revision is fine, going back is not."""
        self.check_readable(revision)
