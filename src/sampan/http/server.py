"""An HTTP/1.1 server on llhttp: keep-alive, pipelining, streaming with back-pressure, limits for hostile peers.

A handler that answers at once is served without a task. Sources: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httptools

from sampan.http import heads
from sampan.http.errors import BodyTooLarge, Disconnected
from sampan.http.flow import Gate, Inbox, Raw
from sampan.http.types import Handler, Request, Response, Takeover

log = logging.getLogger(__name__)
SWEEP = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds. Times are checked every 5 s."""

    head: int = 64 * 1024
    headers: int = 200
    pipelined: int = 32
    head_time: float = 20.0
    idle_time: float = 180.0
    write_time: float = 60.0
    unread_body: int = 256 * 1024


class _Incoming:
    """One request while it arrives."""

    __slots__ = (
        "body", "complete", "expects", "headers", "inbox", "keep_alive", "method", "size", "url", "version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.size = 0
        self.method = ""
        self.version = "1.1"
        self.keep_alive = True
        self.expects = False
        self.body: list[bytes] = []
        self.inbox: Inbox | None = None
        self.complete = False


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Connection(asyncio.Protocol):
    """Requests of one connection are answered one after the other, in their order."""

    __slots__ = (
        "_certificate", "_incoming", "_parser", "_peer", "_pending", "_raw", "_reading_paused", "_server",
        "_task", "_transport", "closing", "deadline", "gate", "loop",
    )  # fmt: skip

    def __init__(self, server: Server) -> None:
        self._server = server
        self.loop = server.loop
        self._parser = httptools.HttpRequestParser(self)
        self._incoming: _Incoming | None = None
        self._pending: list[_Incoming] = []
        self._task: asyncio.Task[None] | None = None
        self._raw: Inbox | None = None
        self._reading_paused = False
        self.gate = Gate()
        self.closing = False
        self.deadline = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
        tls = transport.get_extra_info("ssl_object")
        self._certificate: bytes | None = tls.getpeercert(True) if tls is not None else None
        self.deadline = self.loop.time() + self._server.limits.head_time
        self._server.connections.add(self)
        self._server.watch_deadlines()

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        self.gate.lose()
        lost = Disconnected("the peer closed the connection")
        if self._raw is not None:
            self._raw.end()
        for incoming in (*self._pending, *([self._incoming] if self._incoming else [])):
            if incoming.inbox is not None:
                incoming.inbox.end(lost)
        if self._task is not None and self._raw is None:
            self._task.cancel()
        self._server.left()

    def eof_received(self) -> bool:
        if self._raw is not None:
            self._raw.end()
            return True
        return False

    def pause_writing(self) -> None:
        self.gate.pause()
        self.deadline = self.loop.time() + self._server.limits.write_time

    def resume_writing(self) -> None:
        self.deadline = 0.0 if self._busy else self.loop.time() + self._server.limits.idle_time
        self.gate.resume()

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.feed(data)
            return
        if self.closing:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except _Refused as refused:
            self._refuse(refused.status, str(refused))
            return
        except httptools.HttpParserError as error:
            # What a callback raised comes wrapped by some versions of the parser.
            cause = error.__context__
            if isinstance(cause, _Refused):
                self._refuse(cause.status, str(cause))
            else:
                self._refuse(400, f"malformed request: {error}")
            return
        self._next()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._incoming = _Incoming()

    def on_url(self, url: bytes) -> None:
        incoming = self._current()
        incoming.url += url
        if len(incoming.url) > self._server.limits.head:
            raise _Refused(414, "the request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        incoming = self._current()
        incoming.size += len(name) + len(value)
        key = name.decode("latin-1").lower()
        if incoming.size > self._server.limits.head or len(incoming.headers) >= self._server.limits.headers:
            raise _Refused(431, "the request's head is too large")
        text = value.decode("latin-1").strip(" \t")
        if "\n" in text or "\r" in text or "\0" in text:
            raise _Refused(400, f"header {key!r} has a line break")
        before = incoming.headers.get(key)
        if before is None:
            incoming.headers[key] = text
        elif key in ("host", "content-length", "authorization", "content-type"):
            raise _Refused(400, f"header {key!r} is given twice")
        else:
            incoming.headers[key] = f"{before}, {text}"

    def on_headers_complete(self) -> None:
        incoming = self._current()
        incoming.method = self._parser.get_method().decode("ascii")
        incoming.version = self._parser.get_http_version()
        incoming.keep_alive = self._parser.should_keep_alive()
        if incoming.version not in ("1.1", "1.0"):
            raise _Refused(505, f"HTTP/{incoming.version} is not supported")
        if "content-length" in incoming.headers and "transfer-encoding" in incoming.headers:
            raise _Refused(400, "both content-length and transfer-encoding are given")
        expect = incoming.headers.get("expect", "")
        if expect:
            if expect.lower() != "100-continue":
                raise _Refused(417, f"expectation {expect!r} is not supported")
            incoming.expects = incoming.version == "1.1"
        self._pending.append(incoming)
        if len(self._pending) >= self._server.limits.pipelined:
            self._pause_reading()

    def on_body(self, body: bytes) -> None:
        incoming = self._current()
        if incoming.inbox is not None:
            incoming.inbox.feed(body)
        else:
            incoming.body.append(body)

    def on_message_complete(self) -> None:
        incoming = self._current()
        incoming.complete = True
        if incoming.inbox is not None:
            incoming.inbox.end()
        self._incoming = None

    def _current(self) -> _Incoming:
        assert self._incoming is not None
        return self._incoming

    # Requests in their order

    @property
    def _busy(self) -> bool:
        return self._task is not None

    def _next(self) -> None:
        """Answer what is ready, as long as nothing has to be awaited."""
        while self._pending and not self._busy and not self.closing:
            incoming = self._pending.pop(0)
            self.deadline = 0.0
            self._answer(incoming)
        if self._reading_paused and len(self._pending) < self._server.limits.pipelined // 2:
            self._resume_reading()
        if not self._busy and not self.closing and not self.deadline:
            # Between requests the idle time counts, within a head the head's time.
            limits = self._server.limits
            self.deadline = self.loop.time() + (limits.head_time if self._incoming else limits.idle_time)

    def _answer(self, incoming: _Incoming) -> None:
        content: bytes | Inbox
        if incoming.complete:
            content = incoming.body[0] if len(incoming.body) == 1 else b"".join(incoming.body)
        else:
            content = incoming.inbox = Inbox(self._pause_reading, self._resume_reading)
            for chunk in incoming.body:
                content.feed(chunk)
            if incoming.expects:
                content.on_first_read(self._continue)
        try:
            target = incoming.url.decode("ascii")
        except UnicodeDecodeError:
            self._refuse(400, "the request target is not ASCII")
            return
        request = Request(incoming.method, target, incoming.headers, content, self._peer, self._certificate)
        try:
            answer = self._server.handler(request)
        except Exception:
            log.exception("the handler of %s %s failed", incoming.method, request.raw_path)
            answer = Response(500, b"internal error\n")
        if isinstance(answer, Response) and isinstance(answer.body, bytes) and answer.takeover is None:
            if incoming.complete:
                self._write(incoming, answer, answer.body)
                return
        self._task = self.loop.create_task(self._respond(incoming, answer))
        self._task.add_done_callback(self._responded)

    def _continue(self) -> None:
        self._transport.write(heads.CONTINUE)

    def _write(self, incoming: _Incoming, response: Response, body: bytes) -> None:
        """A whole response in one write."""
        tail = heads.length(len(body)) if response.status not in (204, 304) else b"\r\n"
        if not incoming.keep_alive or self._server.closing:
            tail = b"Connection: close\r\n" + tail
        head = heads.head(response.status, response.headers, tail)
        self._transport.write(head if incoming.method == "HEAD" else head + body)
        if not incoming.keep_alive or self._server.closing:
            self._close()

    async def _respond(self, incoming: _Incoming, answer: Response | Awaitable[Response]) -> None:
        try:
            response = answer if isinstance(answer, Response) else await answer
        except BodyTooLarge as error:
            incoming.keep_alive = False
            response = Response(413, f"{error}\n".encode())
        except (Disconnected, asyncio.CancelledError):
            raise
        except Exception:
            log.exception("the handler of %s %s failed", incoming.method, incoming.url.decode("latin-1"))
            response = Response(500, b"internal error\n")
        if response.takeover is not None:
            await self._take_over(incoming, response, response.takeover)
            return
        if isinstance(response.body, bytes):
            await self._skip_rest(incoming)
            self._write(incoming, response, response.body)
            await self.gate.wait()
            return
        await self._stream(incoming, response, response.body)

    async def _skip_rest(self, incoming: _Incoming) -> None:
        """A body that the handler did not want is read away when it is small, else the connection ends."""
        inbox = incoming.inbox
        if inbox is None or inbox.drained or not incoming.keep_alive:
            return
        if incoming.expects and not inbox.ended:
            incoming.keep_alive = False
            return
        skipped = 0
        while chunk := await inbox.take():
            skipped += len(chunk)
            if skipped > self._server.limits.unread_body:
                incoming.keep_alive = False
                return

    async def _stream(self, incoming: _Incoming, response: Response, body: AsyncIterator[bytes]) -> None:
        chunked = incoming.version == "1.1" and not response.header("Content-Length")
        if not chunked and not response.header("Content-Length"):
            incoming.keep_alive = False
        tail = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        if not incoming.keep_alive:
            tail += b"Connection: close\r\n"
        write = self._transport.write
        write(heads.head(response.status, response.headers, tail + b"\r\n"))
        try:
            async with aclosing(body) as chunks:  # type: ignore[type-var]
                if incoming.method != "HEAD":
                    async for chunk in chunks:
                        if chunk:
                            write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                        if not self.gate.open:
                            await self.gate.wait()
        except Disconnected:
            raise
        except Exception:
            # Half an answer is out: cutting the connection is the only honest end.
            log.exception("the stream of %s %s failed", incoming.method, incoming.url.decode("latin-1"))
            self._transport.abort()
            return
        if chunked and incoming.method != "HEAD":
            write(b"0\r\n\r\n")
        await self._skip_rest(incoming)
        if not incoming.keep_alive or self._server.closing:
            self._close()

    async def _take_over(self, incoming: _Incoming, response: Response, takeover: Takeover) -> None:
        assert self._raw is not None, "only a request with Upgrade can be taken over"
        self._transport.write(heads.head(response.status, response.headers, b"\r\n"))
        raw = Raw(self._transport, self._raw, self.gate)
        try:
            await takeover(raw)
        finally:
            raw.close()

    def _responded(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            if not isinstance(error, ConnectionError):
                log.error("a connection failed", exc_info=error)
            self._transport.abort()
            return
        if self._raw is not None and not self.closing:
            # The handler did not want the upgrade; what follows the request cannot be told from it any more.
            self._close()
            return
        self._next()

    def _upgrade(self, rest: bytes) -> None:
        """A request with Upgrade is the last one: what follows belongs to whoever takes the connection over."""
        self._raw = Inbox(self._pause_reading, self._resume_reading)
        if rest:
            self._raw.feed(rest)
        if self._pending:
            self._pending[-1].keep_alive = False

    # Ends

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is no request, and close: nothing after it can be trusted."""
        if self._busy:
            self._transport.abort()
            return
        body = f"{message}\n".encode()
        plain = (("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close"))
        self._transport.write(heads.head(status, plain, heads.length(len(body))) + body)
        self._close()

    def _close(self) -> None:
        self.closing = True
        self.deadline = self.loop.time() + self._server.limits.write_time
        self._transport.close()

    def expire(self, now: float) -> None:
        """Called by the sweep: end what has been silent or stuck for too long."""
        if not self.deadline or now < self.deadline:
            return
        if self.closing or not self.gate.open:
            self._transport.abort()
        elif self._incoming is not None and not self._busy:
            self._refuse(408, "the request did not arrive in time")
        else:
            self._close()

    def finish(self) -> None:
        """Shutdown: an idle connection closes now, a busy one after its answer."""
        if not self._busy and not self._pending:
            self._close()

    def cut(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()


class Server:
    """Listens on any number of addresses with one handler."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None, limits: Limits | None = None) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.loop = asyncio.get_running_loop()
        self.connections: set[_Connection] = set()
        self.closing = False
        self._tls = tls
        self._listeners: list[asyncio.Server] = []
        self._sweeping: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    async def listen(self, host: str, port: int, *, before_it_exists: bool = False) -> int:
        """Listen and return the port. `before_it_exists` binds an address that an interface gets later."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if before_it_exists:
                sock.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND, which the socket module does not name
            sock.bind((host, port))
        except OSError:
            sock.close()
            raise
        await self.listen_on(sock)
        bound: tuple[Any, ...] = sock.getsockname()
        return int(bound[1])

    async def listen_on(self, sock: socket.socket) -> None:
        handshake = self.limits.head_time if self._tls else None
        listener = await self.loop.create_server(
            self._connection, sock=sock, ssl=self._tls, backlog=1024, ssl_handshake_timeout=handshake
        )
        self._listeners.append(listener)

    def _connection(self) -> _Connection:
        return _Connection(self)

    def watch_deadlines(self) -> None:
        """One timer for all connections, and none while there are none."""
        if self._sweeping is None:
            self._sweeping = self.loop.call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        now = self.loop.time()
        self._sweeping = None
        for connection in tuple(self.connections):
            connection.expire(now)
        if self.connections:
            self.watch_deadlines()

    def left(self) -> None:
        if not self.connections:
            self._empty.set()

    async def close(self, grace: float = 2.0) -> None:
        """Stop listening, let answers under way finish for `grace` seconds, then cut what is left."""
        self.closing = True
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self.connections):
            connection.finish()
        while self.connections:
            self._empty.clear()
            try:
                async with asyncio.timeout(grace):
                    await self._empty.wait()
            except TimeoutError:
                break
        for connection in tuple(self.connections):
            connection.cut()
        while self.connections:
            self._empty.clear()
            await self._empty.wait()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
