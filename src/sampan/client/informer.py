"""Informers: one list and one watch per type, shared by everybody in the process who reads that type."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Kind
from sampan.client.cache import Cache, IndexFunction, meta
from sampan.client.client import UNREACHABLE, Client

T = TypeVar("T", bound=msgspec.Struct)

log = logging.getLogger(__name__)

WATCH_SECONDS = 300
"""A watch is asked to end after 1 to 2 times this, so that a dead connection is noticed and load spreads."""

SLOWEST = 5.0
"""Seconds between attempts when the server cannot be reached; the first waits 0.05 and each doubles."""


class Informer(Cache[T]):
    """A cache that follows the server. `run` never returns; `synced` is set once the first list is in.

    With `kind`, the resource of that kind is read as `type` (PartialObjectMetadata of anything). managedFields are
    dropped: they are of no use here and weigh more than the rest.
    """

    def __init__(
        self,
        client: Client,
        type: type[T],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        indexes: Mapping[str, IndexFunction] | None = None,
        kind: Kind | None = None,
    ) -> None:
        super().__init__(type, indexes)
        self.synced = asyncio.Event()
        self.kind = kind or client.kind(type)
        self._as_metadata = kind
        self._client = client
        self._namespace = namespace
        self._labels = labels
        self._fields = fields
        self._position = ""

    def assume(self, object: T) -> None:
        """Whether an object belongs to a selection only the server can say, so selections wait for the watch."""
        if not (self._labels or self._fields) and self._namespace in ("", meta(object).namespace):
            super().assume(slim(object))

    async def run(self) -> None:
        loop, delay = asyncio.get_running_loop(), 0.0
        while True:
            started = loop.time()
            try:
                if not self._position:
                    await self._list()
                await self._watch()
            except StatusError as error:
                if error.code == 410:
                    self._position = ""
                self._report(error, delay)
            except UNREACHABLE as error:
                self._report(error, delay)
            delay = 0.0 if loop.time() - started > 1 else min(SLOWEST, max(0.05, delay * 2))
            if delay:
                await asyncio.sleep(delay * random.uniform(0.5, 1))

    async def _list(self) -> None:
        page = await self._client.list(
            self.type, self._namespace, labels=self._labels, fields=self._fields, kind=self._as_metadata
        )
        newest = int(page.resourceVersion or 0)
        if newest < self.revision:
            self.reset()
        self.replace([slim(object) for object in page.items], newest)
        self._position = page.resourceVersion
        self.synced.set()

    async def _watch(self) -> None:
        seconds = int(WATCH_SECONDS * random.uniform(1, 2))
        events = self._client.watch(
            self.type,
            self._namespace,
            resourceVersion=self._position,
            labels=self._labels,
            fields=self._fields,
            timeout=seconds,
            kind=self._as_metadata,
        )
        async with asyncio.timeout(seconds + 30), aclosing(events) as stream:
            async for event in stream:
                self._position = meta(event.object).resourceVersion or self._position
                self.apply(event.type, slim(event.object))

    def _report(self, error: Exception, delay: float) -> None:
        """The first failure is everyday life (a watch too old, a server that restarts); the second deserves a line."""
        level = logging.WARNING if delay else logging.DEBUG
        log.log(level, "%s: list and watch: %s", self.kind.resource, error or type(error).__name__)


def slim(object: T) -> T:
    metadata = meta(object)
    if not getattr(metadata, "managedFields", None):
        return object
    return msgspec.structs.replace(object, metadata=msgspec.structs.replace(metadata, managedFields=()))


class Informers:
    """The shared informers of one process. Ask for them at any time; `run` keeps them all going."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[tuple[Any, ...], Informer[Any]] = {}
        self._running: dict[tuple[Any, ...], asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    def get(
        self,
        type: type[T],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        indexes: Mapping[str, IndexFunction] | None = None,
        kind: Kind | None = None,
    ) -> Informer[T]:
        """The informer of this selection; the same one for everybody who asks for the same."""
        key = _identity(kind or self.client.kind(type), namespace, labels, fields, type)
        informer: Informer[T] | None = self._informers.get(key)
        if informer is None:
            informer = Informer(self.client, type, namespace, labels=labels, fields=fields, kind=kind)
            self._informers[key] = informer
            self._start(key)
        for name, function in (indexes or {}).items():
            informer.add_index(name, function)
        return informer

    def find(self, type: type[T]) -> Informer[T] | None:
        """The informer of all objects of a type, if somebody has asked for it."""
        kind = self.client.kind(type)
        return self._informers.get(_identity(kind, "", "", "", type))

    def drop(self, informer: Informer[Any]) -> None:
        """Stop following; for kinds that are no longer served."""
        for key, known in list(self._informers.items()):
            if known is informer:
                del self._informers[key]
                if task := self._running.pop(key, None):
                    task.cancel()

    async def synced(self) -> None:
        """Wait until every informer asked for so far has its first list."""
        for informer in tuple(self._informers.values()):
            await informer.synced.wait()

    async def run(self) -> None:
        """Never returns. The one place where informers' tasks start."""
        async with asyncio.TaskGroup() as self._group:
            try:
                for key in self._informers:
                    self._start(key)
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None
                self._running.clear()

    def _start(self, key: tuple[Any, ...]) -> None:
        if self._group is not None:
            informer = self._informers[key]
            self._running[key] = self._group.create_task(informer.run(), name=f"informer {informer.kind.resource}")


def _identity(kind: Kind, namespace: str, labels: str, fields: str, type: type) -> tuple[Any, ...]:
    return kind.group, kind.version, kind.plural, namespace, labels, fields, type
