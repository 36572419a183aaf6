"""watch: a stream of changes, one line each, framed once for everybody who watches the same resource."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec

from sampan.api import codec
from sampan.api.errors import StatusError, forbidden, gone, invalid_error
from sampan.api.kinds.kind import Kind
from sampan.apiserver import negotiation
from sampan.apiserver.cacher import Cacher, Change, Item, ResourceCache, Subscription, frame
from sampan.apiserver.negotiation import Form, Negotiator
from sampan.apiserver.routes import Route
from sampan.apiserver.table import partial
from sampan.apiserver.verbs import selection
from sampan.apiserver.verbs.read import Reader, number, revision_of
from sampan.apiserver.verbs.selection import Selection
from sampan.http.types import Request, Response

BOOKMARK_EVERY = 60.0
SHORTEST = 1800
PIECE = 256 * 1024
INITIAL_END = "k8s.io/initial-events-end"


class Watcher:
    """Watches of every stored kind."""

    def __init__(self, reader: Reader, cacher: Cacher, negotiator: Negotiator) -> None:
        self._reader = reader
        self._cacher = cacher
        self._negotiator = negotiator
        self._random = random.Random()

    async def watch(self, request: Request, route: Route) -> Response:
        kind = route.kind
        form = self._negotiator.form(request)
        selected = selection.of_request(request, route)
        wanted = request.param("resourceVersion")
        send_initial = request.param("sendInitialEvents")
        match = request.param("resourceVersionMatch")
        bookmarks = request.param("allowWatchBookmarks") in ("true", "1")
        _check_options(send_initial, match)
        seconds = number(request.param("timeoutSeconds"), "timeoutSeconds") or SHORTEST + self._random.randrange(
            SHORTEST
        )
        revision = 0 if wanted in ("", "0") else revision_of(kind, wanted)
        if revision:
            await self._cacher.reach(revision)
        elif wanted == "" and not self._cacher.fresh:
            await self._cacher.catch_up()
        cache = self._cacher.of(kind)
        session = _Session(self, cache, kind, selected, form, request.param("includeObject", "Metadata"))
        initial: list[Item] | None = None
        if send_initial == "true" or (not send_initial and not revision):
            initial = self._reader.select(kind, selected)[1]
            subscription = cache.subscribe()
        elif revision:
            backlog = cache.changes_after(revision)
            if backlog is None:
                error = gone(f"too old resource version: {revision} ({cache.since})")
                return Response(200, _once(_error(error)), negotiation.JSON_HEADERS)
            subscription = cache.subscribe(backlog)
        else:
            subscription = cache.subscribe()
        ends = asyncio.get_running_loop().time() + seconds
        lines = session.stream(subscription, initial, ends, bookmarks, send_initial == "true")
        return Response(200, _Stream(lines, subscription), negotiation.JSON_HEADERS)

    def shape(self, kind: Kind, form: Form, value: bytes, revision: int, include: str, first: bool) -> bytes:
        if form.shape == "Table":
            metadata = b'{"resourceVersion":"%d"}' % revision
            return self._reader.tables(kind).make((value,), metadata, include, head=first)
        return partial(value)

    def current(self) -> int:
        return self._cacher.revision

    def own(self, kind: Kind, item: Item) -> bytes:
        return self._reader.value(kind, item)


class _Session:
    """One watch: what it selects and how it shows it."""

    def __init__(
        self, watcher: Watcher, cache: ResourceCache, kind: Kind, selected: Selection, form: Form, include: str
    ) -> None:
        self._watcher = watcher
        self._cache = cache
        self._kind = kind
        self._selected = selected
        self._form = form
        self._include = include
        self._plain = form.shape == "object" and kind.storage is None
        self._all = selected.everything and not selected.namespace
        self._prefix = f"{selected.namespace}/" if selected.namespace else ""
        self._first = True

    def _line(self, type: str, change: Change) -> bytes:
        if self._plain:
            return change.frame(type)
        return self._shaped(type, change.item)

    def _shaped(self, type: str, item: Item) -> bytes:
        value = item.value if self._kind.storage is None else self._watcher.own(self._kind, item)
        if self._form.shape == "object":
            return frame(type, value)
        shaped = self._watcher.shape(self._kind, self._form, value, item.revision, self._include, self._first)
        self._first = False
        return frame(type, shaped)

    def _select(self, change: Change) -> bytes:
        """The change's line for this watcher, b"" when it does not concern it."""
        if not self._all:
            if self._prefix and not change.item.key.startswith(self._prefix):
                return b""
            if not self._selected.everything:
                was = change.before is not None and self._selected.matches(change.before)
                is_now = not change.deleted and self._selected.matches(change.item)
                if is_now:
                    return self._line("MODIFIED" if was else "ADDED", change)
                if not was:
                    return b""
                if change.deleted:
                    return self._line("DELETED", change)
                assert change.before is not None
                return self._left(change)
        if change.deleted:
            return self._line("DELETED", change)
        return self._line("ADDED" if change.before is None else "MODIFIED", change)

    def _left(self, change: Change) -> bytes:
        """The object no longer matches: for this watcher it is gone, as it was when it last matched."""
        assert change.before is not None
        old = b'"resourceVersion":"%d"' % change.before.revision
        new = b'"resourceVersion":"%d"' % change.revision
        gone_item = Item.__new__(Item)
        gone_item.key, gone_item.revision = change.item.key, change.revision
        gone_item.value = change.before.value.replace(old, new, 1)
        return self._shaped("DELETED", gone_item)

    def _bookmark(self, revision: int, initial_end: bool = False) -> bytes:
        metadata: dict[str, object] = {"resourceVersion": str(revision)}
        if initial_end:
            metadata["annotations"] = {INITIAL_END: "true"}
        if self._form.shape == "object":
            value = codec.encode({"kind": self._kind.name, "apiVersion": self._kind.api_version, "metadata": metadata})
        elif self._form.shape == "PartialObjectMetadata":
            value = codec.encode(
                {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
            )
        else:
            row = {
                "cells": [],
                "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata},
            }
            value = codec.encode(
                {
                    "kind": "Table",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": {"resourceVersion": str(revision)},
                    "columnDefinitions": None,
                    "rows": [row],
                }
            )
        return frame("BOOKMARK", value)

    async def stream(
        self, subscription: Subscription, initial: list[Item] | None, ends: float, bookmarks: bool, mark_end: bool
    ) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        changes = subscription.changes
        seen = self._watcher.current()
        if initial is not None:
            lines, size = [], 0
            for item in initial:
                line = self._shaped("ADDED", item)
                lines.append(line)
                size += len(line)
                if size > PIECE:
                    yield b"".join(lines)
                    lines, size = [], 0
            if mark_end and bookmarks:
                lines.append(self._bookmark(seen, initial_end=True))
            if lines:
                yield b"".join(lines)
            initial = None
        next_mark = loop.time() + BOOKMARK_EVERY if bookmarks else ends
        while True:
            lines = []
            size = 0
            while changes and size < PIECE:
                line = self._select(changes.popleft())
                if line:
                    lines.append(line)
                    size += len(line)
            if lines:
                yield b"".join(lines)
                continue
            if subscription.overflow or subscription.failed:
                return
            now = loop.time()
            if now >= ends:
                if bookmarks:
                    yield self._bookmark(self._watcher.current())
                return
            if now >= next_mark:
                next_mark = now + BOOKMARK_EVERY
                yield self._bookmark(self._watcher.current())
                continue
            timer = loop.call_at(min(ends, next_mark), subscription.rouse)
            try:
                await subscription.wait()
            finally:
                timer.cancel()


class _Stream:
    """The lines of a watch. Closing it ends the subscription, also when nothing was read yet."""

    def __init__(self, lines: AsyncGenerator[bytes, None], subscription: Subscription) -> None:
        self._lines = lines
        self._subscription = subscription

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._lines)

    async def aclose(self) -> None:
        await self._lines.aclose()
        self._subscription.close()


async def _once(line: bytes) -> AsyncIterator[bytes]:
    yield line


def _error(error: StatusError) -> bytes:
    return frame("ERROR", msgspec.json.encode(error.status))


def _check_options(send_initial: str, match: str) -> None:
    errors = []
    if send_initial and match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        errors.append(forbidden("resourceVersionMatch", text))
    if match and not send_initial:
        errors.append(
            forbidden(
                "resourceVersionMatch",
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )
        )
    if errors:
        raise invalid_error("ListOptions", "meta.k8s.io", "", errors)
