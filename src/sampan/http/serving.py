"""One connection of the server: its requests are answered one after the other, in their order.

A handler that answers at once is served without a task.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from sampan.http import heads
from sampan.http.errors import BodyTooLarge, Disconnected, TimedOut
from sampan.http.flow import HIGH, Gate, Inbox, Raw, notice_silence
from sampan.http.incoming import Incoming, Reader, Refused
from sampan.http.types import Request, Response, Takeover

if TYPE_CHECKING:
    from sampan.http.server import Server

log = logging.getLogger(__name__)
LINGER = 1.0
"""Seconds in which a connection that ends in the middle of a request still takes bytes, so that its answer arrives."""


class Serving(asyncio.Protocol):
    """`deadline` is loop time; 0 while nothing is expected of the peer."""

    __slots__ = (
        "_active", "_certificate", "_in_head", "_inbox_full", "_lingering", "_open_ended", "_paused", "_peer", "_raw",
        "_reader", "_server", "_taken", "_task", "_tls", "_transport", "closing", "deadline", "gate", "loop",
    )  # fmt: skip

    def __init__(self, server: Server) -> None:
        self._server = server
        self.loop = server.loop
        self._reader = Reader(server.limits)
        self._active: Incoming | None = None
        self._task: asyncio.Task[None] | None = None
        self._raw: Inbox | None = None
        self._taken = False
        self._paused = False
        self._inbox_full = False
        self._in_head = False
        self._open_ended = False
        self._lingering: asyncio.TimerHandle | None = None
        self.gate = Gate()
        self.closing = False
        self.deadline = 0.0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no subclass of asyncio's.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        self._peer = _address(transport.get_extra_info("peername"))
        tls = transport.get_extra_info("ssl_object")
        self._tls = tls is not None
        self._certificate: bytes | None = tls.getpeercert(True) if tls is not None else None
        self.deadline = self.loop.time() + self._server.limits.head_time
        self._server.joined(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.closing = True
        self.gate.lose()
        if self._lingering is not None:
            self._lingering.cancel()
        if self._raw is not None:
            self._raw.end()
        current = self._reader.current
        if current is not None and current.inbox is not None:
            current.inbox.end(Disconnected("the peer closed the connection"))
        if self._task is not None and not self._taken:
            self._task.cancel()
        self._server.left(self)

    def eof_received(self) -> bool:
        if self._raw is not None:
            self._raw.end()
            return not self._tls
        return False

    def pause_writing(self) -> None:
        self.gate.pause()
        limits = self._server.limits
        self.deadline = self.loop.time() + (limits.stream_time if self._open_ended else limits.write_time)

    def resume_writing(self) -> None:
        self.gate.resume()
        if not self.closing:
            self.deadline = 0.0
            self._advance()

    def data_received(self, data: bytes) -> None:
        if self._raw is not None:
            self._raw.feed(data)
            return
        if self.closing:
            return
        try:
            rest = self._reader.feed(data)
        except Refused as refused:
            self._refuse(refused.status, str(refused))
            return
        if rest is not None:
            # What follows belongs to whoever takes the connection over.
            self._raw = Inbox(self._pause, self._resume)
            if rest:
                self._raw.feed(rest)
        self._advance()

    # Requests in their order

    def _advance(self) -> None:
        """Answer what is ready, as long as nothing has to be awaited and the peer reads its answers."""
        ready = self._reader.ready
        while ready and self._active is None and self.gate.open and not self.closing:
            self._in_head = False
            self._answer(ready.popleft())
        if not self.closing:
            self._set_reading()
            self._set_deadline()

    def _set_reading(self) -> None:
        reader = self._reader
        full = self._inbox_full or reader.queued > HIGH or len(reader.ready) >= self._server.limits.pipelined
        if not self.gate.open and self._active is None:
            full = True
        if self.closing:
            full = False
        if full != self._paused and not self._transport.is_closing():
            self._paused = full
            (self._transport.pause_reading if full else self._transport.resume_reading)()

    def _set_deadline(self) -> None:
        if not self.gate.open:
            return  # set by pause_writing
        limits = self._server.limits
        if self._active is not None or self._raw is not None:
            inbox = self._active.inbox if self._active is not None else None
            waits = inbox is not None and not inbox.ended
            self.deadline = self.loop.time() + limits.body_time if waits else 0.0
        elif not self._reader.in_head:
            self.deadline = self.loop.time() + limits.idle_time
            self._in_head = False
        elif not self._in_head:
            self.deadline = self.loop.time() + limits.head_time
            self._in_head = True

    def _answer(self, incoming: Incoming) -> None:
        content: bytes | Inbox
        if incoming.body:
            self._reader.queued -= sum(map(len, incoming.body))
        if incoming.complete:
            content = incoming.body[0] if len(incoming.body) == 1 else b"".join(incoming.body)
        else:
            content = incoming.inbox = Inbox(self._pause, self._resume)
            for chunk in incoming.body:
                content.feed(chunk)
            if incoming.expects:
                content.on_first_read(self._continue)
        incoming.body = []
        target = incoming.url.decode("latin-1")
        if not target.startswith("/"):
            target = _origin_form(target)
        request = Request(incoming.method, target, incoming.headers, content, self._peer, self._certificate)
        try:
            answer = self._server.handler(request)
            if isinstance(answer, Response) and incoming.complete:
                if isinstance(answer.body, bytes) and answer.takeover is None:
                    self._write(incoming, answer, answer.body)
                    return
        except Exception:
            log.exception("the handler of %s %s failed", incoming.method, request.raw_path)
            answer = Response(500, b"internal error\n")
        self._active = incoming
        # A room that imports nothing of ours makes its own tasks: `_responded` looks at each one's end.
        self._task = self.loop.create_task(self._respond(incoming, answer))
        self._task.add_done_callback(functools.partial(self._responded, answer))

    def _continue(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(heads.CONTINUE)

    def _write(self, incoming: Incoming, response: Response, body: bytes) -> None:
        """A whole response in one write. Raises ValueError for headers that cannot be sent."""
        lines, close, declared = heads.fields(response.headers)
        if close or self._server.closing:
            incoming.keep_alive = False
        if response.status in heads.BODYLESS:
            tail, body = b"\r\n", b""
        elif incoming.method == "HEAD":
            tail = heads.length(len(body) if declared is None else declared)
            body = b""
        else:
            tail = heads.length(len(body))
        if not incoming.keep_alive:
            tail = b"Connection: close\r\n" + tail
        elif incoming.version == "1.0":
            tail = b"Connection: keep-alive\r\n" + tail
        self._transport.write(heads.head(response.status, lines, tail) + body)
        if not incoming.keep_alive:
            self._close(linger=not incoming.complete)

    async def _respond(self, incoming: Incoming, answer: Response | Awaitable[Response]) -> None:
        try:
            response = answer if isinstance(answer, Response) else await answer
            heads.fields(response.headers)
            if response.takeover is not None and not incoming.upgrade:
                raise ValueError("only a request with Connection: Upgrade can be taken over")
        except BodyTooLarge as error:
            incoming.keep_alive = False
            response = _plain(413, str(error))
        except TimedOut:
            response = _plain(408, "the request's body did not arrive in time")
        except Disconnected:
            raise
        except Exception:
            log.exception("the handler of %s %s failed", incoming.method, incoming.url.decode("latin-1"))
            response = _plain(500, "internal error")
        if response.takeover is not None:
            await self._take_over(response, response.takeover)
        elif isinstance(response.body, bytes):
            self._judge_rest(incoming)
            self._write(incoming, response, response.body)
            await self._skip_rest(incoming)
            await self.gate.wait()
        else:
            self._judge_rest(incoming)
            await self._stream(incoming, response, response.body)

    def _judge_rest(self, incoming: Incoming) -> None:
        """A body that the handler did not want ends the connection when it is large or was not sent for."""
        inbox = incoming.inbox
        if inbox is None or inbox.drained:
            return
        declared = incoming.headers.get("content-length", "0")
        large = not inbox.ended and int(declared) > self._server.limits.unread_body
        if large or inbox.failed or (incoming.expects and not inbox.wanted):
            incoming.keep_alive = False

    async def _skip_rest(self, incoming: Incoming) -> None:
        """Read away what the handler left of a body: after it comes the next request."""
        inbox = incoming.inbox
        if inbox is None or not incoming.keep_alive:
            return
        skipped = 0
        try:
            while chunk := await inbox.take():
                skipped += len(chunk)
                if skipped > self._server.limits.unread_body:
                    self._close(linger=True)
                    return
        except TimedOut:
            self._close()

    async def _stream(self, incoming: Incoming, response: Response, body: AsyncIterator[bytes]) -> None:
        lines, close, left = heads.fields(response.headers)
        chunked = incoming.version == "1.1" and left is None
        if close or self._server.closing or (left is None and not chunked):
            incoming.keep_alive = False
        tail = b"Transfer-Encoding: chunked\r\n\r\n" if chunked else heads.length(left) if left is not None else b"\r\n"
        if not incoming.keep_alive:
            tail = b"Connection: close\r\n" + tail
        write = self._transport.write
        self._open_ended = True
        write(heads.head(response.status, lines, tail))
        try:
            if incoming.method != "HEAD" and response.status not in heads.BODYLESS:
                async for chunk in body:
                    if left is not None:
                        left -= len(chunk)
                        if left < 0:
                            raise ValueError("the body is longer than its Content-Length")
                    if chunk:
                        write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                    if not self.gate.open:
                        await self.gate.wait()
                if left:
                    raise ValueError(f"the body ends {left} bytes before its Content-Length")
                if chunked:
                    write(b"0\r\n\r\n")
            self._open_ended = False
        except Disconnected:
            raise
        except Exception:
            # Half an answer is out: cutting the connection is the only honest end.
            log.exception("the stream of %s %s failed", incoming.method, incoming.url.decode("latin-1"))
            self._transport.abort()
            return
        finally:
            close_body = getattr(body, "aclose", None)
            if close_body is not None:
                await close_body()
        if not incoming.keep_alive or self._server.closing:
            self._close(linger=not incoming.complete)
        await self._skip_rest(incoming)

    async def _take_over(self, response: Response, takeover: Takeover) -> None:
        assert self._raw is not None
        self._taken = self._open_ended = True
        notice_silence(self._transport.get_extra_info("socket"))
        tail = b"Connection: Upgrade\r\n\r\n"
        self._transport.write(heads.head(response.status, heads.fields(response.headers).lines, tail))
        raw = Raw(self._transport, self._raw, self.gate)
        try:
            await takeover(raw)
        finally:
            raw.close()

    def _responded(self, answer: Response | Awaitable[Response], task: asyncio.Task[None]) -> None:
        incoming, self._active, self._task = self._active, None, None
        if task.cancelled():
            if isinstance(answer, Coroutine):
                answer.close()  # it may not have begun
            self._transport.abort()
            return
        error = task.exception()
        if error is not None:
            if not isinstance(error, ConnectionError):
                log.error("a connection failed", exc_info=error)
            self._transport.abort()
        elif incoming is not None and incoming.upgrade:
            # Taken over and left, or not wanted: what follows the request cannot be told from it any more.
            self._close()
        elif not self.closing:
            self._advance()

    # Ends

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is no request, and close. Nothing can be said while another answer is under way."""
        reader = self._reader
        if self._active is not None or any(incoming is not reader.current for incoming in reader.ready):
            self._transport.abort()
            return
        response = _plain(status, message)
        lines = heads.fields(response.headers).lines
        assert isinstance(response.body, bytes)
        tail = b"Connection: close\r\n" + heads.length(len(response.body))
        self._transport.write(heads.head(status, lines, tail) + response.body)
        self._close(linger=True)

    def _close(self, *, linger: bool = False) -> None:
        """End after what was written. Bytes that we leave unread would make the kernel discard it: `linger` takes
        them for a moment."""
        if self.closing:
            return
        self.closing = True
        self.deadline = self.loop.time() + self._server.limits.write_time
        self._set_reading()
        if linger:
            if not self._tls and not self._transport.is_closing():
                self._transport.write_eof()
            self._lingering = self.loop.call_later(LINGER, self._transport.close)
        else:
            self._transport.close()

    def expire(self, now: float) -> None:
        """Called by the sweep: end what has been silent or stuck for too long."""
        if not self.deadline or now < self.deadline:
            return
        if self.closing or not self.gate.open:
            self._transport.abort()
        elif self._active is not None:
            inbox = self._active.inbox
            if inbox is not None and inbox.hungry:
                inbox.end(TimedOut("the request's body did not arrive in time"))
            else:
                self._set_deadline()  # it is the handler that lets the peer wait
        elif self._reader.in_head:
            self._refuse(408, "the request did not arrive in time")
        else:
            self._close()

    def finish(self) -> None:
        """Shutdown: an idle connection closes now, a busy one after its answer."""
        if self._active is None and not self._reader.ready:
            self._close()

    def cut(self) -> asyncio.Task[None] | None:
        """End at once; returns the task that still has to see it."""
        task = self._task
        if task is not None:
            task.cancel()
        self._transport.abort()
        return task

    def _pause(self) -> None:
        self._inbox_full = True
        self._set_reading()

    def _resume(self) -> None:
        self._inbox_full = False
        self._set_reading()


def _plain(status: int, message: str) -> Response:
    return Response(status, f"{message}\n".encode(), (("Content-Type", "text/plain; charset=utf-8"),))


def _origin_form(target: str) -> str:
    """`http://host/path?q` means `/path?q`; `*` and what CONNECT names stay as they are."""
    if "://" not in target:
        return target
    parts = urlsplit(target)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _address(peer: object) -> str:
    """host:port, with brackets around IPv6; empty for a Unix socket."""
    if not isinstance(peer, tuple):
        return ""
    return f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
