"""The client's Transport over sockets: connections are kept and used again, streams and upgrades get their own."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from sampan.http import heads
from sampan.http.errors import Disconnected, TimedOut
from sampan.http.flow import Closed, notice_silence
from sampan.http.link import Link
from sampan.http.types import Connection, Request, Response

IDLE_TIME = 90.0
"""Seconds after which an unused connection is not used again; servers keep theirs longer."""
IDLE_CONNECTIONS = 32
SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods that may be sent again when nobody knows whether the first time arrived."""
NOT_IN_TARGETS = frozenset(map(chr, (*range(33), 127)))

Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]


class HttpTransport:
    """Requests to one server. `base_url` is http(s)://host[:port][/prefix].

    `headers` go with every request (a callable is asked each time, for tokens that are renewed); those of
    the request win. `max_connections` requests run at once, streams counted; more wait for their turn.
    Times are seconds: `connect_timeout` to reach the server, `answer_timeout` until an answer's head.
    Raises Disconnected, TimedOut or ProtocolError, which are OSErrors.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tls: ssl.SSLContext | None = None,
        headers: Headers | None = None,
        server_hostname: str | None = None,
        max_connections: int = 1024,
        connect_timeout: float = 10.0,
        answer_timeout: float = 120.0,
    ) -> None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"{base_url!r} is no http or https URL")
        self.name = base_url
        self._host = url.hostname
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._authority = url.netloc.rpartition("@")[2]
        self._prefix = url.path.rstrip("/")
        self._headers = headers if headers is not None else {}
        self._tls = tls if url.scheme == "http" or tls is not None else ssl.create_default_context()
        if url.scheme == "http":
            self._tls = None
        self._server_name = server_hostname or getattr(tls, "server_name", None) or url.hostname
        self._connect_timeout = connect_timeout
        self._answer_timeout = answer_timeout
        self._free_slots = max_connections
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: list[Link] = []
        self._busy: set[Link] = set()
        self._closed = False

    async def send(self, request: Request) -> Response:
        link = await self._link()
        retry = link.served > 0 and isinstance(request.content, bytes) and request.method in SAFE
        try:
            return await self._exchange(link, request)
        except Disconnected:
            # The server closed an idle connection just when we chose it: nothing but a new one tells more.
            if not retry or link.received:
                raise
        return await self._exchange(await self._link(new=True), request)

    async def connect(self, request: Request) -> tuple[Response, Connection]:
        """Send a request with Upgrade. When the status is not 101, the body is whole and the connection closed."""
        headers = {"connection": "Upgrade", **request.headers}
        link = await self._link(new=True)
        upgrade = Request(request.method, request.target, headers, request.content)
        response = await self._exchange(link, upgrade)
        if link.upgraded:
            return response, link.raw()
        response.body = await response.read()
        link.abort()
        return response, Closed()

    async def close(self) -> None:
        """End all connections, also those with requests under way."""
        self._closed = True
        for link in (*self._idle, *self._busy):
            link.abort()
        self._idle.clear()

    async def _exchange(self, link: Link, request: Request) -> Response:
        head, chunked = self._head(request)
        try:
            async with asyncio.timeout(self._answer_timeout):
                return await link.exchange(request, head, chunked=chunked)
        except TimeoutError as error:
            if isinstance(error, TimedOut):
                raise
            what = f"{request.method} {self.name}{request.raw_path}"
            raise TimedOut(f"{what}: no answer within {self._answer_timeout:g} s") from error

    def _head(self, request: Request) -> tuple[bytes, bool]:
        """The request's head, and whether the content is to be sent chunked."""
        target = self._prefix + request.target
        if not NOT_IN_TARGETS.isdisjoint(target) or not NOT_IN_TARGETS.isdisjoint(request.method):
            raise ValueError(f"{request.method!r} {target!r}: a blank or control character in method or target")
        own = self._headers() if callable(self._headers) else self._headers
        headers = {name.lower(): value for name, value in own.items()}
        headers.update((name.lower(), value) for name, value in request.headers.items())
        headers.setdefault("host", self._authority)
        headers.pop("transfer-encoding", None)
        chunked = False
        if isinstance(request.content, bytes):
            headers.pop("content-length", None)
            if request.content or request.method in ("POST", "PUT", "PATCH"):
                headers["content-length"] = str(len(request.content))
        elif "content-length" not in headers:
            headers["transfer-encoding"] = "chunked"
            chunked = True
        line = f"{request.method} {target} HTTP/1.1\r\n".encode("ascii")
        return b"".join((line, heads.encoded(tuple(headers.items())), b"\r\n")), chunked

    # The pool

    async def _link(self, *, new: bool = False) -> Link:
        await self._slot()
        try:
            self._check_open()
            link = (None if new else self._reuse()) or await self._open()
            self._check_open(link)
        except BaseException:
            self._release_slot()
            raise
        self._busy.add(link)
        return link

    def _check_open(self, link: Link | None = None) -> None:
        if self._closed:
            if link is not None:
                link.abort()
            raise Disconnected(f"{self.name}: the client is closed")

    def _reuse(self) -> Link | None:
        oldest = asyncio.get_running_loop().time() - IDLE_TIME
        while self._idle:
            link = self._idle.pop()
            if link.idle_since >= oldest and link.usable:
                return link
            link.abort()
        return None

    async def _open(self) -> Link:
        loop = asyncio.get_running_loop()
        name = self._server_name if self._tls is not None else None
        try:
            async with asyncio.timeout(self._connect_timeout):
                transport, link = await loop.create_connection(
                    lambda: Link(self), self._host, self._port, ssl=self._tls, server_hostname=name
                )
        except TimeoutError as error:
            raise TimedOut(f"{self.name}: no connection within {self._connect_timeout:g} s") from error
        except OSError as error:
            raise Disconnected(f"cannot connect to {self.name}: {error}") from error
        notice_silence(transport.get_extra_info("socket"))
        return link

    async def _slot(self) -> None:
        if self._free_slots > 0:
            self._free_slots -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._answer_timeout):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._release_slot()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise TimedOut(f"{self.name}: all connections are in use") from error
            raise

    def _release_slot(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free_slots += 1

    # What a Link tells

    def free(self, link: Link) -> None:
        self._leave(link)
        if self._closed or len(self._idle) >= IDLE_CONNECTIONS:
            link.abort()
        else:
            self._idle.append(link)

    def lost(self, link: Link) -> None:
        self._leave(link)
        if link in self._idle:
            self._idle.remove(link)

    def _leave(self, link: Link) -> None:
        if link in self._busy:
            self._busy.discard(link)
            self._release_slot()
