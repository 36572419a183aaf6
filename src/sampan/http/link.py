"""One connection of the client: a request, its answer, and then the next one or the pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Protocol, cast

import httptools

from sampan.http import heads
from sampan.http.errors import Disconnected, ProtocolError
from sampan.http.flow import Gate, Inbox, Raw
from sampan.http.types import Body, Request, Response

WHOLE = 1024 * 1024
"""An answer that declares at most this many bytes is handed over whole, a longer or undeclared one as a stream."""
HEAD_LIMIT = 256 * 1024


class Pool(Protocol):
    """Whom a Link tells about itself."""

    name: str

    def free(self, link: Link) -> None: ...

    def lost(self, link: Link) -> None: ...


class Stream(AsyncGenerator[bytes, None]):
    """An answer's body as it arrives. Closing it before its end closes the connection."""

    def __init__(self, link: Link, inbox: Inbox) -> None:
        self._link: Link | None = link
        self._inbox = inbox

    async def asend(self, value: None) -> bytes:
        if self._link is None:
            raise StopAsyncIteration
        try:
            chunk = await self._inbox.take()
        except ConnectionError:
            self._drop()
            raise
        if chunk:
            return chunk
        link, self._link = self._link, None
        link.done()
        raise StopAsyncIteration

    async def athrow(self, typ: Any, val: BaseException | object = None, tb: TracebackType | None = None, /) -> bytes:
        self._drop()
        raise val if isinstance(val, BaseException) else typ

    async def aclose(self) -> None:
        self._drop()

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            if self._inbox.drained:
                link.done()
            else:
                link.abort()

    def __del__(self) -> None:
        if self._link is not None and not self._link.loop.is_closed():
            self._drop()


class Link(asyncio.Protocol):
    """`on_done` is told once per request when the connection is free again (`reusable`) or of no more use."""

    def __init__(self, pool: Pool) -> None:
        self.loop = asyncio.get_running_loop()
        self.served = 0
        self.idle_since = 0.0
        self.received = False
        self.reusable = False
        self._pool = pool
        self._parser = heads.answer_parser(self)
        self._gate = Gate()
        self._inbox = Inbox(self._pause, self._resume)
        self._streaming = False
        self._raw = False
        self._lost = False
        self._tls = False
        self._head: asyncio.Future[Response] | None = None
        self._method = ""
        self._quiet = 0
        self._sender: asyncio.Task[None] | None = None
        self._begin()

    def _begin(self) -> None:
        self._status = 0
        self._headers: list[tuple[str, str]] = []
        self._in_body = False
        self._parts: list[bytes] = []
        self._complete = False
        self._surplus = False
        self._until_close = False
        self.received = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no subclass of asyncio's.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        self._tls = transport.get_extra_info("ssl_object") is not None

    def data_received(self, data: bytes) -> None:
        if self._raw:
            self._inbox.feed(data)
            return
        if self._head is None and not self._in_body:
            self.abort()  # bytes that answer no request
            return
        if not self.received:
            data = heads.with_reason(data)
        self.received = True
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._raw = True
            if rest := data[upgrade.args[0] :]:
                self._inbox.feed(rest)
            self._answer(Response(self._status, b"", tuple(self._headers)))
            return
        except httptools.HttpParserError as error:
            self._fail(ProtocolError(f"the answer is no HTTP: {error}"))
            return
        if self._quiet > HEAD_LIMIT:
            self._fail(ProtocolError(f"the answer's head is larger than {HEAD_LIMIT} bytes"))
            return
        self._decide()

    def eof_received(self) -> bool:
        if self._raw:
            self._inbox.end()
            return not self._tls
        self._ended_by_close()
        return False

    def _ended_by_close(self) -> None:
        """An answer without a declared length ends with the connection."""
        if self._in_body and self._until_close and not self._complete:
            self._finish(False)
            self._decide()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._gate.lose()
        self._stop_sending()
        if error is None:
            self._ended_by_close()
        if self._raw:
            self._inbox.end()
        where = "in the middle of an answer" if self.received else "without an answer"
        self._fail(Disconnected(f"{self._pool.name}: the connection was closed {where}"))
        self._pool.lost(self)

    def pause_writing(self) -> None:
        self._gate.pause()

    def resume_writing(self) -> None:
        self._gate.resume()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._surplus = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:
            self._headers.append((name.decode("latin-1"), value.decode("latin-1").strip(" \t")))
            if len(self._headers) > 1000:
                raise ProtocolError("the answer has more than 1000 headers")

    def on_headers_complete(self) -> None:
        self._quiet = 0
        if self._surplus:
            return
        self._status = self._parser.get_status_code()
        if 100 <= self._status < 200:
            return
        self._in_body = True
        names = {name.lower() for name, _ in self._headers}
        bodyless = self._method == "HEAD" or self._status in (204, 304)
        self._until_close = not bodyless and not names & {"content-length", "transfer-encoding"}
        if self._method == "HEAD":
            self._finish(self._parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        self._quiet = 0
        if self._complete:
            self._surplus = True
        elif self._streaming:
            self._inbox.feed(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        self._quiet = 0
        if not self._in_body:
            # 100 Continue and its kind come before the answer.
            if self._status != 101:
                self._headers = []
            return
        if not self._complete:
            self._finish(self._parser.should_keep_alive() and not self._until_close)

    def _finish(self, keep_alive: bool) -> None:
        self._complete = True
        self.reusable = keep_alive and self._sender is None
        self._inbox.end()

    # Requests

    async def exchange(self, request: Request, head: bytes, *, chunked: bool) -> Response:
        """Send and wait for the answer's head (all of a short one). Raises Disconnected, ProtocolError, and what
        reading the request's content raises."""
        if self._lost or self._transport.is_closing():
            raise Disconnected(f"{self._pool.name}: the connection was closed")
        self._begin()
        self._method = request.method
        self.reusable = False
        self.served += 1
        future: asyncio.Future[Response] = self.loop.create_future()
        self._head = future
        try:
            content = request.content
            if isinstance(content, bytes):
                self._transport.write(head + content if content else head)
            else:
                self._transport.write(head)
                # The answer may come before all of the content is out.
                self._sender = self.loop.create_task(self._send(content, chunked))
            return await future
        except BaseException:
            # With the answer there, the connection may be somebody else's by now.
            if self._raw or not future.done() or future.cancelled() or future.exception() is not None:
                self.abort()
            raise

    async def _send(self, content: Body, chunked: bool) -> None:
        try:
            async for chunk in content:
                if chunk:
                    self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                    await self._gate.wait()
            if chunked:
                self._transport.write(b"0\r\n\r\n")
            self._sender = None
        except Exception as error:
            self._fail(error)

    def _decide(self) -> None:
        """Hand the answer over when its shape is known."""
        if self._head is None or not self._in_body:
            return
        headers = tuple(self._headers)
        if self._complete:
            self._answer(Response(self._status, b"".join(self._parts), headers))
            self.done()
            return
        declared = next((v for k, v in headers if k.lower() == "content-length"), "")
        if declared.isdigit() and int(declared) <= WHOLE:
            return
        self._streaming = True
        for part in self._parts:
            self._inbox.feed(part)
        self._answer(Response(self._status, Stream(self, self._inbox), headers))

    def _answer(self, response: Response) -> None:
        head, self._head = self._head, None
        if head is not None and not head.done():
            head.set_result(response)

    def _fail(self, error: Exception) -> None:
        head, self._head = self._head, None
        if head is not None and not head.done():
            head.set_exception(error)
        self._inbox.end(error)
        self._transport.abort()

    def raw(self) -> Raw:
        """The connection after 101."""
        return Raw(self._transport, self._inbox, self._gate)

    @property
    def usable(self) -> bool:
        return not self._lost and not self._transport.is_closing()

    @property
    def upgraded(self) -> bool:
        return self._raw

    # Ends

    def done(self) -> None:
        """The answer is complete; the connection goes back to the pool or ends."""
        self._stop_sending()
        # More than one answer to one request: who knows whose the next one would be.
        if self.reusable and not self._surplus and not self._lost and not self._transport.is_closing():
            self._inbox = Inbox(self._pause, self._resume)
            self._parser = heads.answer_parser(self)
            self._streaming = self._in_body = False
            self.idle_since = self.loop.time()
            self._pool.free(self)
        else:
            self._transport.close()

    def abort(self) -> None:
        self._stop_sending()
        self._transport.abort()

    def _stop_sending(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.cancel()

    def _pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
