"""A cache of objects of one type, kept by an informer's watch and by the answers to our own writes.

`assume` puts the server's answer to a write into the cache at once, so that whoever decides next sees it and does
not do it twice. The watch brings the same change later; resourceVersions, which grow over the whole store, tell
which of the two is newer. This takes the place of the expectations that other controllers count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from sampan.api.types import meta_v1

T = TypeVar("T", bound=msgspec.Struct)

Key = tuple[str, str]
"""(namespace, name); the namespace is "" for cluster-scoped objects."""

IndexFunction = Callable[[Any], Iterable[str]]
Callback = Callable[[str, Any, Any], None]
"""(type, old, new): ADDED (None, new), MODIFIED (old, new), DELETED (last state, None)."""

NAMESPACE = "namespace"
"""The index that every cache has."""

_EMPTY: Mapping[Key, Any] = {}


def meta(object: Any) -> meta_v1.ObjectMeta:
    return object.metadata  # type: ignore[no-any-return]


def key_of(object: Any) -> Key:
    metadata = meta(object)
    return metadata.namespace or "", metadata.name or ""


def revision(object: Any) -> int:
    return int(meta(object).resourceVersion or 0)


class Cache(Generic[T]):
    """Objects by key, with indexes. Callbacks run after the cache has changed, in the order of the changes."""

    def __init__(self, type: type[T], indexes: Mapping[str, IndexFunction] | None = None) -> None:
        self.type = type
        self.revision = 0
        """How far the watch has come: every change up to here is in the cache."""
        self._objects: dict[Key, T] = {}
        self._deleted: set[str] = set()
        self._functions: dict[str, IndexFunction] = {NAMESPACE: lambda object: (meta(object).namespace or "",)}
        self._indexes: dict[str, dict[str, dict[Key, T]]] = {NAMESPACE: {}}
        self._callbacks: list[Callback] = []
        for name, function in (indexes or {}).items():
            self.add_index(name, function)

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, name: str, namespace: str = "") -> T | None:
        return self._objects.get((namespace, name))

    def all(self) -> Collection[T]:
        """A live view; copy it before awaiting."""
        return self._objects.values()

    def by(self, index: str, key: str) -> Collection[T]:
        """A live view of the objects that `index` files under `key`."""
        return self._indexes[index].get(key, _EMPTY).values()

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback` at every change from now on; the result ends that."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Also index what is there already; the same name with another function is an error."""
        if name in self._functions:
            if self._functions[name] is not function:
                raise ValueError(f"index {name!r} of {self.type.__name__} has another function already")
            return
        self._functions[name] = function
        self._indexes[name] = {}
        for key, object in self._objects.items():
            self._file(name, key, object)

    # --- what the watch says ---

    def replace(self, objects: Iterable[T], revision_: int) -> None:
        """A fresh list, complete as of `revision_`."""
        self._deleted.clear()
        listed = {key_of(object): object for object in objects}
        for key, old in list(self._objects.items()):
            if key not in listed and revision(old) <= revision_:
                self._remove(key)
        self.revision = max(self.revision, revision_)
        for object in listed.values():
            self._put(object)

    def reset(self) -> None:
        """The store behind the server is another one: revisions start over."""
        self.revision = 0
        self._deleted.clear()
        for key in list(self._objects):
            self._remove(key)

    def apply(self, type: str, object: T) -> None:
        """One event of the watch: ADDED, MODIFIED, DELETED or BOOKMARK."""
        self.revision = max(self.revision, revision(object))
        if type == "DELETED":
            uid = meta(object).uid or ""
            self._deleted.discard(uid)
            self._forget(object)
        elif type != "BOOKMARK" and (meta(object).uid or "") not in self._deleted:
            self._put(object)

    # --- what our own writes answered ---

    def assume(self, object: T) -> None:
        """The answer to a create, update or patch, unless the watch has already come past it."""
        if revision(object) > self.revision:
            self._put(object)

    def assume_deleted(self, object: T) -> None:
        """`object` is gone for good; events of it that are still under way are ignored."""
        current = self._objects.get(key_of(object))
        uid = meta(object).uid or ""
        if current is not None and meta(current).uid == uid:
            self._deleted.add(uid)
            self._remove(key_of(object))

    # --- inside ---

    def _put(self, object: T) -> None:
        key = key_of(object)
        old = self._objects.get(key)
        if old is not None:
            if revision(old) >= revision(object) and revision(object):
                return
            if meta(old).uid != meta(object).uid:
                self._remove(key)
                old = None
        if old is not None:
            self._unfile(key, old)
        self._objects[key] = object
        for name in self._functions:
            self._file(name, key, object)
        self._notify("ADDED" if old is None else "MODIFIED", old, object)

    def _forget(self, object: T) -> None:
        """Remove it, unless a newer object of the same name has taken its place."""
        key = key_of(object)
        old = self._objects.get(key)
        if old is not None and meta(old).uid == meta(object).uid:
            self._remove(key)

    def _remove(self, key: Key) -> None:
        old = self._objects.pop(key)
        self._unfile(key, old)
        self._notify("DELETED", old, None)

    def _file(self, name: str, key: Key, object: T) -> None:
        index = self._indexes[name]
        for value in self._functions[name](object):
            index.setdefault(value, {})[key] = object

    def _unfile(self, key: Key, object: T) -> None:
        for name, function in self._functions.items():
            index = self._indexes[name]
            for value in function(object):
                filed = index[value]
                filed.pop(key, None)
                if not filed:
                    del index[value]

    def _notify(self, type: str, old: T | None, new: T | None) -> None:
        for callback in tuple(self._callbacks):
            callback(type, old, new)
