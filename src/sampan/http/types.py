"""Requests and responses: what a handler sees, whether a socket or a function call brought it.

The same types serve the server, the client and calls inside one process.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from urllib.parse import parse_qs, unquote, urlencode

from sampan.http.errors import BodyTooLarge

CHUNK = 64 * 1024


class Body(Protocol):
    """A request's or response's content as it arrives. Raises BodyTooLarge, Disconnected, Timeout of http.errors."""

    async def read(self, limit: int) -> bytes:
        """All of it; raises BodyTooLarge past `limit` bytes."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


@dataclass(slots=True)
class Request:
    """One request. `target` is the raw path with query as sent; header names are lower case.

    `context` belongs to the handler chain (the user, the attributes); the transport never reads it.
    `peer_certificate` is DER when the client proved a certificate that the server's CA signed.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Body = b""
    peer: str = ""
    peer_certificate: bytes | None = None
    context: dict[str, Any] = field(default_factory=dict)
    _query: dict[str, list[str]] | None = None

    @property
    def raw_path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        raw = self.raw_path
        return unquote(raw) if "%" in raw else raw

    @property
    def query(self) -> dict[str, list[str]]:
        if self._query is None:
            raw = self.target.partition("?")[2]
            self._query = parse_qs(raw, keep_blank_values=True) if raw else {}
        return self._query

    def param(self, name: str, default: str = "") -> str:
        values = self.query.get(name)
        return values[0] if values else default

    async def read(self, limit: int) -> bytes:
        return self.content if isinstance(self.content, bytes) else await self.content.read(limit)


class Connection(Protocol):
    """A connection taken over after an upgrade: plain bytes both ways, with back-pressure."""

    async def read(self, size: int = CHUNK) -> bytes:
        """At least one byte; b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns when the peer keeps up; raises Disconnected."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Finishing(Protocol):
    """A Connection that can end its own direction alone."""

    async def finish(self) -> None:
        """Nothing more will be written; the peer may still send. What cannot do half closes entirely."""
        ...


Takeover = Callable[[Connection], Awaitable[None]]


@dataclass(slots=True)
class Response:
    """`body` is bytes, or an iterator that is sent chunk by chunk with back-pressure and always closed.

    `takeover` (status 101) receives the raw connection after the head has been sent; only servers use it.
    """

    status: int = 200
    body: bytes | AsyncIterator[bytes] = b""
    headers: Iterable[tuple[str, str]] = ()
    takeover: Takeover | None = None

    def header(self, name: str) -> str:
        return next((v for k, v in self.headers if k.lower() == name), "")

    async def read(self, limit: int | None = None) -> bytes:
        """The whole body. Raises BodyTooLarge as soon as more than `limit` bytes have come."""
        if not isinstance(self.body, bytes):
            found, size = [], 0
            async for chunk in self.body:
                found.append(chunk)
                size += len(chunk)
                if limit is not None and size > limit:
                    raise BodyTooLarge(limit)
            return b"".join(found)
        if limit is not None and len(self.body) > limit:
            raise BodyTooLarge(limit)
        return self.body


Handler = Callable[[Request], Response | Awaitable[Response]]
"""A handler may answer at once (no task is made: the fast path of reads) or return an awaitable."""


class Transport(Protocol):
    """The client's side: send a request, get a response. Streams (watch, logs) come as an iterator body."""

    async def send(self, request: Request) -> Response: ...

    async def connect(self, request: Request) -> tuple[Response, Connection]:
        """Send an upgrade request; the response is 101 and the connection is ours."""
        ...

    async def close(self) -> None: ...


def target(path: str, query: Mapping[str, str | int | bool] | None = None) -> str:
    """`/p?a=b` from a path and parameters; true becomes `true`, empty values are left out."""
    if not query:
        return path
    pairs = [(k, str(v).lower() if isinstance(v, bool) else str(v)) for k, v in query.items() if v not in ("", None)]
    return f"{path}?{urlencode(pairs)}" if pairs else path
