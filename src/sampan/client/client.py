"""The typed client: the only door to the API for every component, in process and remote alike.

`Client` speaks Structs; what carries the requests is a Transport of http.types (client.local calls the
API server's handler in the same process, http's own client goes over TLS).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

from sampan.api.errors import StatusError, status_error
from sampan.api.kinds.kind import Kind
from sampan.api.types import meta_v1
from sampan.client.metadata import ACCEPT, PartialObjectMetadata
from sampan.http.types import Request, Response, Transport, target

T = TypeVar("T", bound=msgspec.Struct)

PatchType = Literal["json", "merge", "strategic", "apply"]
PATCH_MEDIA_TYPES: Mapping[str, str] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


UNREACHABLE: tuple[type[Exception], ...] = (OSError, msgspec.MsgspecError)
"""What a request may raise besides StatusError when the server or the way to it fails; trying again may help."""

FAILURES: tuple[type[Exception], ...] = (StatusError, *UNREACHABLE)
"""Everything that a request may raise."""


class Page(NamedTuple, Generic[T]):
    """One answer of `list`: objects, the resourceVersion to watch from, the token of the next page."""

    items: Sequence[T]
    resourceVersion: str
    continue_: str


class WatchEvent(NamedTuple, Generic[T]):
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; errors are raised as StatusError."""

    type: str
    object: T


class _List(msgspec.Struct):
    items: list[msgspec.Raw] = []
    metadata: meta_v1.ListMeta = msgspec.field(default_factory=lambda: meta_v1.ListMeta())


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_STATUS = msgspec.json.Decoder(meta_v1.Status)
_BARE = msgspec.json.Decoder(PartialObjectMetadata)
_LIST = msgspec.json.Decoder(_List)
_EVENT = msgspec.json.Decoder(_Event)


class Client:
    """Methods take a Struct class that some Kind declares, such as core_v1.Pod. All raise StatusError.

    `kind` reads or writes the resource of that kind as `type` (PartialObjectMetadata of anything).
    """

    def __init__(self, transport: Transport, kinds: Sequence[Kind], *, user_agent: str = "sampan") -> None:
        self.transport = transport
        self.kinds = tuple(kinds)
        self._kinds = {kind.type: kind for kind in kinds}
        self._decoders: dict[type, msgspec.json.Decoder[Any]] = {}
        self._headers = {"user-agent": user_agent, "accept": "application/json"}

    def kind(self, type: type[msgspec.Struct]) -> Kind:
        return self._kinds[type]

    async def get(
        self, type: type[T], name: str, namespace: str = "", *, subresource: str = "", kind: Kind | None = None
    ) -> T:
        path = (kind or self.kind(type)).path(namespace, name, subresource)
        response = await self.raw("GET", path, headers=_accept(kind))
        return self._decode(type, await response.read())

    async def list(
        self,
        type: type[T],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        continue_: str = "",
        resourceVersion: str = "",
        kind: Kind | None = None,
    ) -> Page[T]:
        query = {
            "labelSelector": labels,
            "fieldSelector": fields,
            "limit": limit or "",
            "continue": continue_,
            "resourceVersion": resourceVersion,
        }
        path = (kind or self.kind(type)).path(namespace)
        response = await self.raw("GET", path, query, headers=_accept(kind))
        page = _LIST.decode(await response.read())
        decode = self._decoder(type).decode
        items = tuple(decode(raw) for raw in page.items)
        return Page(items, page.metadata.resourceVersion or "", page.metadata.continue_ or "")

    async def create(self, object: T, namespace: str = "", *, name: str = "", subresource: str = "") -> T:
        """Create; `name` and `subresource` address pods/binding and the like (`create(Binding, ..., name=pod)`)."""
        kind = self.kind(type(object))
        meta: meta_v1.ObjectMeta | None = getattr(object, "metadata", None)
        path = kind.path(namespace or (meta.namespace or "" if meta else ""), name, subresource)
        return await self._write("POST", path, object)

    async def update(self, object: T, *, subresource: str = "") -> T:
        meta: meta_v1.ObjectMeta = object.metadata  # type: ignore[attr-defined]
        path = self.kind(type(object)).path(meta.namespace or "", meta.name or "", subresource)
        return await self._write("PUT", path, object)

    async def patch(
        self,
        type: type[T],
        name: str,
        namespace: str = "",
        *,
        body: Any,
        how: PatchType = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
        kind: Kind | None = None,
    ) -> T:
        path = (kind or self.kind(type)).path(namespace, name, subresource)
        query = {"fieldManager": field_manager, "force": force or ""}
        headers = {"content-type": PATCH_MEDIA_TYPES[how], **_accept(kind)}
        response = await self.raw("PATCH", path, query, msgspec.json.encode(body), headers)
        return self._decode(type, await response.read())

    async def delete(
        self,
        type: type[T],
        name: str,
        namespace: str = "",
        *,
        grace: int | None = None,
        propagation: str | None = None,
        uid: str | None = None,
        resourceVersion: str | None = None,
        kind: Kind | None = None,
    ) -> T | None:
        """None when the object is gone; the object when it waits for its grace period or finalizers."""
        path = (kind or self.kind(type)).path(namespace, name)
        body = _delete_options(grace, propagation, uid, resourceVersion)
        answer = await (await self.raw("DELETE", path, None, body, _accept(kind))).read()
        bare = _BARE.decode(answer)
        remains = bare.kind != "Status" and bare.metadata.deletionTimestamp is not None
        return self._decode(type, answer) if remains else None

    async def delete_collection(
        self,
        type: type[T],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        grace: int | None = None,
        propagation: str | None = None,
        kind: Kind | None = None,
    ) -> None:
        query = {"labelSelector": labels, "fieldSelector": fields}
        body = _delete_options(grace, propagation, None, None)
        await (await self.raw("DELETE", (kind or self.kind(type)).path(namespace), query, body)).read()

    async def watch(
        self,
        type: type[T],
        namespace: str = "",
        *,
        resourceVersion: str = "",
        labels: str = "",
        fields: str = "",
        timeout: int = 0,
        kind: Kind | None = None,
    ) -> AsyncGenerator[WatchEvent[T], None]:
        """Events after `resourceVersion`, bookmarks included; ends when the server ends the watch."""
        query: dict[str, str | int | bool] = {
            "watch": True,
            "allowWatchBookmarks": True,
            "resourceVersion": resourceVersion,
            "labelSelector": labels,
            "fieldSelector": fields,
            "timeoutSeconds": timeout or "",
        }
        response = await self.raw("GET", (kind or self.kind(type)).path(namespace), query, headers=_accept(kind))
        decode = self._decoder(type).decode
        async with aclosing(lines(response)) as stream:
            async for line in stream:
                event = _EVENT.decode(line)
                if event.type == "ERROR":
                    raise StatusError(_STATUS.decode(event.object))
                yield WatchEvent(event.type, decode(event.object))

    async def post(self, path: str, body: msgspec.Struct) -> bytes:
        """Create at a path that is no object's own, such as a pod's eviction; returns the answer's body."""
        return await (await self.raw("POST", path, None, msgspec.json.encode(body))).read()

    async def raw(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int | bool] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send and raise StatusError for 4xx and 5xx; the body may still be a stream."""
        merged = {**self._headers, **({"content-type": "application/json"} if body else {}), **(headers or {})}
        response = await self.transport.send(Request(method, target(path, query), merged, body))
        if response.status >= 400:
            raise await failure(response)
        return response

    async def _write(self, method: str, path: str, object: T) -> T:
        kind = self.kind(type(object))
        if getattr(object, "kind", None) is None:
            object = msgspec.structs.replace(object, apiVersion=kind.api_version, kind=kind.name)
        response = await self.raw(method, path, None, msgspec.json.encode(object))
        return self._decode(type(object), await response.read())

    def _decoder(self, type: type[T]) -> msgspec.json.Decoder[T]:
        decoder = self._decoders.get(type)
        if decoder is None:
            decoder = self._decoders[type] = msgspec.json.Decoder(type)
        return decoder

    def _decode(self, type: type[T], body: bytes) -> T:
        return self._decoder(type).decode(body)


def _accept(kind: Kind | None) -> Mapping[str, str]:
    """Who reads a kind as another type wants only what all kinds have: the metadata."""
    return {"accept": ACCEPT} if kind is not None else {}


def _delete_options(grace: int | None, propagation: str | None, uid: str | None, resourceVersion: str | None) -> bytes:
    preconditions = meta_v1.Preconditions(uid=uid, resourceVersion=resourceVersion) if uid or resourceVersion else None
    return msgspec.json.encode(
        meta_v1.DeleteOptions(
            apiVersion="v1",
            kind="DeleteOptions",
            gracePeriodSeconds=grace,
            propagationPolicy=propagation,
            preconditions=preconditions,
        )
    )


async def failure(response: Response) -> StatusError:
    """The error that a refused response carries; a body that is no Status becomes the message."""
    body = await response.read()
    try:
        status = _STATUS.decode(body)
    except msgspec.DecodeError:
        status = meta_v1.Status()
    if status.status != "Failure":
        return status_error(response.status, "", body.decode(errors="replace").strip() or f"HTTP {response.status}")
    return StatusError(status)


async def lines(response: Response) -> AsyncGenerator[bytes, None]:
    """The response's body, line by line, without empty ones; the body is closed when the reader stops."""
    if isinstance(response.body, bytes):
        for line in response.body.splitlines():
            if line:
                yield line
        return
    rest = b""
    try:
        async for chunk in response.body:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if line:
                    yield line
    finally:
        if isinstance(response.body, AsyncGenerator):
            await response.body.aclose()
    if rest:
        yield rest
