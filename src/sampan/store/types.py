"""The store's vocabulary: an MVCC log of bytes under string keys.

Every change gets the next revision of the whole store (1, 2, 3, ...). A key's `revision` is that of
its newest change. The model is etcd's (KV, Watch and Compact of its v3 API), so that a real etcd can
stand behind the same protocol.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol


class Entry(NamedTuple):
    """One live key. `created` is the revision of the put that brought it into being."""

    key: str
    value: bytes
    revision: int
    created: int


class Event(NamedTuple):
    """One change. `value` is None for a deletion; `previous` is the value before, None for a creation."""

    revision: int
    key: str
    value: bytes | None
    previous: bytes | None


class Page(NamedTuple):
    """One answer of `range`: entries in key order at `revision`; `remaining` counts what `limit` left out."""

    entries: Sequence[Entry]
    revision: int
    remaining: int


class StoreError(Exception):
    """Anything the store refuses; the message is for a person."""


class Conflict(StoreError):
    """A compare-and-swap lost. `entry` is what stands there now, None when nothing does."""

    def __init__(self, key: str, entry: Entry | None) -> None:
        super().__init__(f"{key}: expected another revision, found {entry.revision if entry else 'nothing'}")
        self.key = key
        self.entry = entry


class Compacted(StoreError):
    """The revision asked for has been compacted away; `oldest` is the oldest that can still be read."""

    def __init__(self, requested: int, oldest: int) -> None:
        super().__init__(f"revision {requested} has been compacted, the oldest is {oldest}")
        self.requested = requested
        self.oldest = oldest


class FutureRevision(StoreError):
    """The revision asked for has not been written yet; `newest` is the newest there is."""

    def __init__(self, requested: int, newest: int) -> None:
        super().__init__(f"revision {requested} is newer than {newest}")
        self.requested = requested
        self.newest = newest


class SlowWatcher(StoreError):
    """The watcher read too slowly and was cut off; start again from a fresh list."""


class Unavailable(StoreError):
    """The backend cannot answer now (disk full, etcd without leader, closed)."""


class Watch(Protocol):
    """Ordered batches of events with one prefix; every event of one revision comes in one batch.

    Iterating raises Compacted, SlowWatcher or Unavailable. `close` is idempotent and never blocks.
    """

    def __aiter__(self) -> AsyncIterator[Sequence[Event]]: ...

    def close(self) -> None: ...


class Store(Protocol):
    """What the API server needs of its state. All methods may be called concurrently from one event loop."""

    @property
    def revision(self) -> int:
        """The newest committed revision."""
        ...

    async def get(self, key: str) -> Entry | None: ...

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Live keys with `prefix`, from key `start` on, as of `revision` (0: now). Raises Compacted, FutureRevision."""
        ...

    async def put(self, key: str, value: bytes, *, expect: int | None = None, ttl: int = 0) -> int:
        """Write and return the new revision once it is durable.

        `expect` compares first: 0 means "must not exist", n means "its revision is n", None means "whatever".
        `ttl` in seconds deletes the key afterwards by itself (0: never). Raises Conflict, Unavailable.
        """
        ...

    async def delete(self, key: str, *, expect: int | None = None) -> int:
        """Delete and return the deletion's revision. Raises Conflict (also when nothing is there), Unavailable."""
        ...

    def watch(self, prefix: str, *, after: int) -> Watch:
        """Every event with a revision greater than `after`. Raises Compacted at the first read."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget what was superseded at or before `revision`; older reads and watches raise Compacted."""
        ...

    async def close(self) -> None: ...
