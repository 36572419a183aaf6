"""A few objects and the controllers that plan over them, without a server: what plans ask for simply happens.

For the arithmetic of planners. Whatever depends on what the API server does (admission, finalizers, graceful
deletion, watches) belongs into a test with the fixture `cluster`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from sampan.api.errors import StatusError, already_exists, not_found_error
from sampan.api.kinds.kind import Kind
from sampan.api.patch import merge, strategic
from sampan.api.types import meta_v1
from sampan.client.cache import Cache, IndexFunction, meta
from sampan.runtime.actions import (
    Action,
    Batch,
    Call,
    Create,
    Delete,
    Evict,
    Patch,
    Refused,
    Retry,
    Terminal,
    Update,
    View,
)
from sampan.runtime.clock import rfc3339
from sampan.runtime.controller import Controller
from sampan.testing.objects import document, load
from sampan.testing.plans import drive

T = TypeVar("T", bound=msgspec.Struct)

START = 1_800_000_000.0
"""2027-01-15T08:00:00Z"""


class World:
    """`plan` runs one reconciliation and returns its actions; `refuse` may answer an action with an error."""

    def __init__(self, *controllers: Controller, now: float = START) -> None:
        self.now = now
        self.refuse: Callable[[Action], StatusError | None] = lambda action: None
        self.ended: Exception | None = None
        self._caches: dict[type, Cache[Any]] = {}
        self._serial = itertools.count(1)
        for controller in controllers:
            for type in (controller.primary, *(watch.type for watch in controller.watches), *controller.reads):
                self._cache(type)
            for type, functions in controller.indexes.items():
                for name, function in functions.items():
                    self._index(type, name, function)

    def load(self, manifests: str) -> None:
        """Add objects from YAML."""
        self.add(*load(manifests))

    def add(self, *objects: Any) -> Any:
        """Add or replace objects; identity and times are filled in like the server does. Returns the last one."""
        for object in objects:
            last = self._store(object, meta(object))
        return last

    def get(self, type: type[T], name: str, namespace: str = "default") -> T:
        """Raises LookupError when there is none."""
        found: T | None = self._cache(type).get(name, namespace) or self._cache(type).get(name, "")
        if found is None:
            raise LookupError(f"no {type.__name__} {namespace}/{name}")
        return found

    def all(self, type: type[T]) -> list[T]:
        """In the order in which they came."""
        return list(self._cache(type).all())

    def remove(self, object: Any) -> None:
        cache = self._cache(type(object))
        cache.apply("DELETED", replace(object, metadata=replace(meta(object), resourceVersion=str(next(self._serial)))))

    def view(self, name: str = "", namespace: str = "") -> View:
        return View(self._caches, self.now, (namespace, name))

    def plan(self, controller: Controller, name: str, namespace: str = "default") -> list[Action]:
        """One reconciliation, its actions carried out. What the plan raised at last is in `ended`."""
        object = self._cache(controller.primary).get(name, namespace) or self._cache(controller.primary).get(name)
        key = (meta(object).namespace or "", name) if object is not None else (namespace, name)
        view = View(self._caches, self.now, key)
        if object is not None:
            plan = controller.plan(object, view)
        elif controller.gone is not None:
            plan = controller.gone(key, view)
        else:
            return []
        self.ended = None
        actions: list[Action] = []

        def respond(action: Action) -> Any:
            actions.append(action)
            return self._respond(action)

        try:
            drive(plan, respond)
        except (Retry, Terminal, Refused, StatusError) as error:
            self.ended = error
        return actions

    # --- the agreeable server ---

    def _respond(self, action: Action) -> Any:
        if isinstance(action, Batch):
            return self._batch(action)
        if (error := self.refuse(action)) is not None:
            return error
        try:
            return self._do(action)
        except StatusError as error:
            return error

    def _batch(self, action: Batch) -> Any:
        answers: list[Any] = []
        for at, each in enumerate(action.actions):
            answer = self._respond(each)
            if isinstance(answer, StatusError):
                return Refused(answer, answers, len(action.actions) - at - 1)
            answers.append(answer)
        return answers

    def _do(self, action: Action) -> Any:
        match action:
            case Create(object):
                return self._create(object)
            case Update(object):
                return self._update(object, action.subresource)
            case Patch(object):
                return self._patch(action)
            case Delete(object) | Evict(object):
                return self._delete(object)
            case Call(function):
                return asyncio.run(_await(function, self))
        return None

    def _create(self, object: Any) -> Any:
        metadata, namespace = meta(object), meta(object).namespace or ""
        name = metadata.name or f"{metadata.generateName}{next(self._serial):05}"
        if self._cache(type(object)).get(name, namespace) is not None:
            raise already_exists(type(object).__name__.lower() + "s", "", name)
        return self._store(object, replace(metadata, name=name))

    def _update(self, object: Any, subresource: str) -> Any:
        old = self._cache(type(object)).get(meta(object).name or "", meta(object).namespace or "")
        if old is None:
            raise not_found_error(type(object).__name__.lower() + "s", "", meta(object).name or "")
        status = getattr(object, "status", None)
        if subresource == "status":
            object = replace(old, status=status)
        elif status is not None:
            object = replace(object, status=old.status)
        generation = meta(old).generation or 1
        if getattr(object, "spec", None) != getattr(old, "spec", None):
            generation += 1
        if meta(object).deletionTimestamp is not None and not meta(object).finalizers:
            self.remove(object)
            return object
        return self._store(object, replace(meta(object), generation=generation))

    def _delete(self, object: Any) -> Any:
        """What has finalizers only begins to go."""
        there = self._cache(type(object)).get(meta(object).name or "", meta(object).namespace or "")
        if there is None:
            raise not_found_error(type(object).__name__.lower() + "s", "", meta(object).name or "")
        if not meta(there).finalizers:
            self.remove(there)
            return None
        return self._store(there, replace(meta(there), deletionTimestamp=rfc3339(self.now)))

    def _patch(self, action: Patch) -> Any:
        before = document(action.object)
        if action.how == "strategic":
            module, name = type(action.object).__module__.rpartition(".")[2], type(action.object).__name__
            changed = strategic.apply(before, action.body, f"{module}.{name}")
        else:
            changed = merge.apply(before, action.body)
        return self._update(msgspec.convert(changed, type(action.object)), action.subresource)

    def _store(self, object: Any, metadata: meta_v1.ObjectMeta) -> Any:
        serial = str(next(self._serial))
        complete = replace(
            metadata,
            uid=metadata.uid or serial,
            resourceVersion=serial,
            generation=metadata.generation or 1,
            creationTimestamp=metadata.creationTimestamp or rfc3339(self.now),
        )
        # Through JSON, as objects come back from a server.
        stored = msgspec.json.decode(msgspec.json.encode(replace(object, metadata=complete)), type=type(object))
        self._cache(type(object)).apply("MODIFIED", stored)
        return stored

    def _cache(self, type: type[Any]) -> Cache[Any]:
        return self._caches.setdefault(type, Cache(type))

    def _index(self, type: type[Any], name: str, function: IndexFunction) -> None:
        self._cache(type).add_index(name, function)

    # --- what a `Call` may ask of its client ---

    async def get_object(self, type: type[Any], name: str, namespace: str = "") -> Any:
        found = self._cache(type).get(name, namespace)
        if found is None:
            raise not_found_error(type.__name__.lower() + "s", "", name)
        return found


class _Client:
    """Of a client, the reading of one object from the world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def get(self, type: type[Any], name: str, namespace: str = "", *, kind: Kind | None = None) -> Any:
        return await self._world.get_object(type, name, namespace)


async def _await(function: Callable[[Any], Any], world: World) -> Any:
    result = function(_Client(world))
    return await result if asyncio.iscoroutine(result) else result


def sizes(objects: Collection[Any]) -> dict[str, int]:
    """Name -> spec.replicas."""
    return {meta(each).name or "": each.spec.replicas for each in objects}
