"""The watch cache: every object's encoded bytes in memory, and the recent changes for watchers.

One watch of the store feeds all resources, so that the cache's revision is one number for everything: a read is
up to date when that number has reached the store's. Readers get bytes that were encoded once; watchers of one
resource share the frames of its events.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from sampan.api import codec
from sampan.api.errors import StatusError, status_error
from sampan.api.kinds.kind import Kind
from sampan.api.types import meta_v1
from sampan.store import keys
from sampan.store.types import Event as StoreEvent
from sampan.store.types import Store

T = TypeVar("T", bound=msgspec.Struct)

ROOT = "/registry/"
WINDOW_EVENTS = 2048
WINDOW_BYTES = 4 << 20
LOAD_PAGE = 500
PENDING = 4096


def prefix_of(group: str, plural: str) -> str:
    """`/registry/pods/`, `/registry/deployments.apps/`."""
    return f"{ROOT}{plural}.{group}/" if group else f"{ROOT}{plural}/"


class Item:
    """One object as it is now. `value` is its JSON with resourceVersion; what is decoded of it is kept."""

    __slots__ = ("_meta", "_object", "key", "revision", "value")

    def __init__(self, key: str, value: bytes, revision: int) -> None:
        self.key = key
        self.value = codec.with_revision(value, revision)
        self.revision = revision
        self._meta: codec.Meta | None = None
        self._object: Any = None

    @property
    def meta(self) -> codec.Meta:
        meta = self._meta
        if meta is None:
            meta = self._meta = codec.meta(self.value)
        return meta

    def object(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The whole Struct, decoded once."""
        if self._object is None:
            self._object = decoder.decode(self.value)
        found: T = self._object
        return found


class Change:
    """One event of one resource. `item` is the object after it (for a deletion: as it last was), `before` before it."""

    __slots__ = ("_frames", "before", "deleted", "item", "revision")

    def __init__(self, item: Item, before: Item | None, deleted: bool, revision: int) -> None:
        self.item = item
        self.before = before
        self.deleted = deleted
        self.revision = revision
        self._frames: dict[str, bytes] = {}

    def frame(self, type: str) -> bytes:
        """The line of a watch's answer."""
        made = self._frames.get(type)
        if made is None:
            made = self._frames[type] = frame(type, self.item.value)
        return made

    @property
    def size(self) -> int:
        return len(self.item.value)


def frame(type: str, value: bytes) -> bytes:
    return b'{"type":"%b","object":%b}\n' % (type.encode(), value)


class Subscription:
    """One watcher's queue of changes; `overflow` is set when it fell behind PENDING changes."""

    __slots__ = ("_cache", "_wake", "changes", "failed", "overflow")

    def __init__(self, cache: ResourceCache, backlog: Iterable[Change]) -> None:
        self._cache = cache
        self.changes: deque[Change] = deque(backlog)
        self.overflow = False
        self.failed = False
        self._wake: asyncio.Future[None] | None = None

    def offer(self, change: Change) -> None:
        if len(self.changes) >= PENDING:
            self.overflow = True
            self.changes.clear()
            self._cache.unsubscribe(self)
        else:
            self.changes.append(change)
        self.rouse()

    def rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def wait(self) -> None:
        """Return when there may be something to send (a change, an overflow, or `rouse`)."""
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def close(self) -> None:
        self._cache.unsubscribe(self)


class ResourceCache:
    """One resource (a group's plural): its objects by `namespace/name` or `name`, in key order."""

    def __init__(self, group: str, plural: str) -> None:
        self.prefix = prefix_of(group, plural)
        self.plural = plural
        self.group = group
        self.items: dict[str, Item] = {}
        self.order = keys.SortedKeys()
        self.generation = 0
        self.changed = 0
        self.since = 0
        self.read = 0
        self.early: list[StoreEvent] | None = None
        self.bytes = 0
        self._window: deque[Change] = deque()
        self._window_bytes = 0
        self._subscriptions: set[Subscription] = set()

    def load(self, entries: Sequence[tuple[str, bytes, int]]) -> None:
        for key, value, revision in entries:
            name = key[len(self.prefix) :]
            self.items[name] = Item(name, value, revision)
            self.bytes += len(value)
        self.order = keys.SortedKeys(self.items)

    def apply(self, event: StoreEvent) -> None:
        if event.revision <= self.read:
            return  # it was there when this resource was read
        if self.early is not None:
            self.early.append(event)
            return
        name = event.key[len(self.prefix) :]
        before = self.items.get(name)
        if event.value is None:
            if before is None:
                return
            del self.items[name]
            self.order.remove(name)
            self.bytes -= len(before.value)
            change = Change(_last(before, event.revision), before, True, event.revision)
        else:
            item = Item(name, event.value, event.revision)
            if before is None:
                self.order.add(name)
            else:
                self.bytes -= len(before.value)
            self.items[name] = item
            self.bytes += len(item.value)
            change = Change(item, before, False, event.revision)
        self.generation += 1
        self.changed = event.revision
        self._remember(change)
        for subscription in tuple(self._subscriptions):
            subscription.offer(change)

    def _remember(self, change: Change) -> None:
        window = self._window
        window.append(change)
        self._window_bytes += change.size
        while len(window) > WINDOW_EVENTS or (self._window_bytes > WINDOW_BYTES and len(window) > 1):
            oldest = window.popleft()
            self._window_bytes -= oldest.size
            self.since = oldest.revision

    def select(self, namespace: str) -> list[str]:
        """Names in key order, of one namespace or all with ""."""
        low = f"{namespace}/" if namespace else ""
        return self.order.between(low, keys.upper_bound(low))

    def changes_after(self, revision: int) -> list[Change] | None:
        """Changes newer than `revision`, or None when the window does not reach back that far."""
        if revision < self.since:
            return None
        found = []
        for change in reversed(self._window):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    def subscribe(self, backlog: Iterable[Change] = ()) -> Subscription:
        subscription = Subscription(self, backlog)
        self._subscriptions.add(subscription)
        return subscription

    def join(self, subscription: Subscription) -> None:
        """Add a subscription that somebody else has made."""
        self._subscriptions.add(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    @property
    def watchers(self) -> int:
        return len(self._subscriptions)

    def fail(self) -> None:
        for subscription in tuple(self._subscriptions):
            subscription.failed = True
            subscription.rouse()


def _last(before: Item, revision: int) -> Item:
    """A deleted object as watchers see it: what it last was, with the deletion's revision."""
    item = Item.__new__(Item)
    item.key = before.key
    item.revision = revision
    old, new = b'"resourceVersion":"%d"' % before.revision, b'"resourceVersion":"%d"' % revision
    item.value = before.value.replace(old, new, 1)
    item._meta = before._meta
    item._object = None
    return item


class Cacher:
    """All resources. `load` fills it, `run` follows the store for ever."""

    def __init__(self, store: Store, kinds: Sequence[Kind]) -> None:
        self._store = store
        self.revision = 0
        self.resources: dict[str, ResourceCache] = {}
        self._by_type: dict[type, tuple[ResourceCache, msgspec.json.Decoder[Any]]] = {}
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.add(kinds)

    def add(self, kinds: Sequence[Kind]) -> None:
        for kind in kinds:
            if not kind.stored:
                continue
            storage = kind.storage
            group = storage.group if storage else kind.group
            cache = self.resources.setdefault(prefix_of(group, kind.plural), ResourceCache(group, kind.plural))
            if storage is None:
                self._by_type[kind.type] = (cache, msgspec.json.Decoder(kind.type))

    async def open(self, kind: Kind) -> None:
        """Follow a resource from now on; what the store holds of it is there when this returns."""
        prefix = prefix_of(kind.group, kind.plural)
        if prefix in self.resources:
            return
        cache = self.resources[prefix] = ResourceCache(kind.group, kind.plural)
        cache.early = []
        entries: list[tuple[str, bytes, int]] = []
        start, revision = "", 0
        while True:
            page = await self._store.range(prefix, start=start, limit=LOAD_PAGE, revision=revision)
            entries += [(entry.key, entry.value, entry.revision) for entry in page.entries]
            revision = revision or page.revision
            if not page.remaining:
                break
            start = page.entries[-1].key + "\0"
        # Events up to `revision` are in what was read; those after it waited.
        cache.load(entries)
        cache.since = cache.changed = cache.read = revision
        waiting, cache.early = cache.early, None
        for event in waiting:
            cache.apply(event)
        self._by_type[kind.type] = (cache, msgspec.json.Decoder(kind.type))

    def close(self, kind: Kind) -> None:
        """Forget a resource; its watchers are told to go."""
        cache = self.resources.pop(prefix_of(kind.group, kind.plural), None)
        for type in [type for type, (held, _) in self._by_type.items() if held is cache]:
            del self._by_type[type]
        if cache is not None:
            cache.fail()

    def of(self, kind: Kind) -> ResourceCache:
        """The cache of what a kind's objects are stored as. Raises NotFound when it is no longer served."""
        found = self.resources.get(prefix_of(kind.storage.group if kind.storage else kind.group, kind.plural))
        if found is None:
            raise status_error(404, "NotFound", "the server could not find the requested resource")
        return found

    async def load(self) -> None:
        """Read everything there is, page by page at one revision."""
        entries: list[tuple[str, bytes, int]] = []
        start, revision = "", 0
        while True:
            page = await self._store.range(ROOT, start=start, limit=LOAD_PAGE, revision=revision)
            entries += [(entry.key, entry.value, entry.revision) for entry in page.entries]
            revision = revision or page.revision
            if not page.remaining:
                break
            start = page.entries[-1].key + "\0"
        by_prefix: dict[str, list[tuple[str, bytes, int]]] = {}
        for entry in entries:
            by_prefix.setdefault(_prefix(entry[0]), []).append(entry)
        for prefix, cache in self.resources.items():
            cache.since = cache.changed = revision
            cache.load(by_prefix.get(prefix, ()))
        self.revision = revision

    async def run(self) -> None:
        watch = self._store.watch(ROOT, after=self.revision)
        try:
            async for batch in watch:
                for event in batch:
                    cache = self.resources.get(_prefix(event.key))
                    if cache is not None:
                        cache.apply(event)
                self._advance(batch[-1].revision)
        finally:
            watch.close()
            for cache in self.resources.values():
                cache.fail()

    def _advance(self, revision: int) -> None:
        self.revision = revision
        if self._waiting:
            later = []
            for wanted, future in self._waiting:
                if wanted > revision:
                    later.append((wanted, future))
                elif not future.done():
                    future.set_result(None)
            self._waiting = later

    @property
    def fresh(self) -> bool:
        """Whether the cache has seen every committed write."""
        return self.revision >= self._store.revision

    async def reach(self, revision: int) -> None:
        """Return when the cache is at `revision` or later; 504 when the revision does not come."""
        if revision <= self.revision:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        try:
            async with asyncio.timeout(3):
                await future
        except TimeoutError:
            raise _too_large(revision, self.revision) from None

    async def catch_up(self) -> None:
        await self.reach(self._store.revision)

    # The View of contracts.py

    def get(self, type: type[T], name: str, namespace: str = "") -> T | None:
        cache, decoder = self._by_type[type]
        item = cache.items.get(f"{namespace}/{name}" if namespace else name)
        return item.object(decoder) if item is not None else None

    def list(self, type: type[T], namespace: str = "") -> Sequence[T]:
        cache, decoder = self._by_type[type]
        if namespace:
            return [cache.items[name].object(decoder) for name in cache.select(namespace)]
        return [item.object(decoder) for item in cache.items.values()]

    def generation(self, type: type[msgspec.Struct]) -> int:
        return self._by_type[type][0].generation


def _prefix(key: str) -> str:
    return key[: key.index("/", len(ROOT)) + 1]


def _too_large(wanted: int, now: int) -> StatusError:
    details = meta_v1.StatusDetails(
        causes=(meta_v1.StatusCause(reason="ResourceVersionTooLarge", message="Too large resource version"),),
        retryAfterSeconds=1,
    )
    error = status_error(504, "Timeout", f"Too large resource version: {wanted}, current: {now}", details)
    error.headers = (("Retry-After", "1"),)
    return error
