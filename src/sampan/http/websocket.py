"""WebSocket (RFC 6455) over a connection that was taken over; wsproto frames, this reads, writes and ends.

Kubernetes uses neither extensions nor compression, so none is offered.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from wsproto import ConnectionType, events
from wsproto.connection import Connection as Framing
from wsproto.connection import ConnectionState
from wsproto.frame_protocol import CloseReason

from sampan.http.errors import Disconnected, ProtocolError, UpgradeRefused
from sampan.http.types import Connection, Request, Response, Transport

MESSAGE_LIMIT = 4 * 1024 * 1024
"""Bytes of one message unless its reader says otherwise."""
GOODBYE = 5.0
"""Seconds that the peer has to answer a close frame."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PLAIN = (("Content-Type", "text/plain; charset=utf-8"),)


class WebSocket:
    """One reader calls `receive`; any number of writers call `send`. After the end `close_code` says why:
    1006 means that the connection broke without a word."""

    def __init__(self, connection: Connection, kind: ConnectionType, subprotocol: str, limit: int) -> None:
        self.subprotocol = subprotocol
        self.close_code = 0
        self.close_reason = ""
        self._connection = connection
        self._framing = Framing(kind)
        self._limit = limit
        self._messages: deque[bytes | str] = deque()
        self._parts: list[bytes] = []
        self._size = 0
        self._text = False
        self._receiving = False
        self._ended = asyncio.Event()

    async def receive(self) -> bytes | str | None:
        """The next message; None after the end, be it a close frame, a broken connection or a peer that
        violates the protocol or the limit (which it is told)."""
        self._receiving = True
        try:
            while not self._messages:
                if self._ended.is_set():
                    return None
                await self._read()
            return self._messages.popleft()
        finally:
            self._receiving = False

    async def send(self, data: bytes | str) -> None:
        """Returns when the peer keeps up. Raises Disconnected, also after a close frame in either direction."""
        if self._framing.state is not ConnectionState.OPEN:
            raise Disconnected("the websocket is closed")
        event = events.TextMessage(data) if isinstance(data, str) else events.BytesMessage(data)
        await self._connection.write(self._framing.send(event))

    async def ping(self, payload: bytes = b"") -> None:
        """Its answer is taken silently by `receive`."""
        if self._framing.state is not ConnectionState.OPEN:
            raise Disconnected("the websocket is closed")
        await self._connection.write(self._framing.send(events.Ping(payload)))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, wait a little for the peer's, and end the connection. Idempotent."""
        try:
            async with asyncio.timeout(GOODBYE):
                await self._say_goodbye(code, reason)
                if self._receiving:
                    await self._ended.wait()
                while not self._ended.is_set():
                    await self._read()
        except (TimeoutError, ConnectionError):
            self._end(1006, "the peer did not say goodbye")
        finally:
            self._connection.close()

    async def _say_goodbye(self, code: int, reason: str) -> None:
        if self._framing.state in (ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING):
            await self._connection.write(self._framing.send(events.CloseConnection(code, reason)))

    def _end(self, code: int, reason: str) -> None:
        if not self._ended.is_set():
            self.close_code, self.close_reason = code, reason
            self._ended.set()

    async def _read(self) -> None:
        """Take in what came; at least one read of the connection."""
        try:
            data = await self._connection.read()
        except ConnectionError:
            data = b""
        if not data:
            self._end(1006, "the connection was closed")
            return
        self._framing.receive_data(data)
        for event in self._framing.events():
            if isinstance(event, events.Message):
                if not self._collect(event):
                    await self._fail(1009, f"a message is larger than {self._limit} bytes")
                    return
            elif isinstance(event, events.Ping):
                await self._pong(event)
            elif isinstance(event, events.CloseConnection):
                await self._closed(event)
                return

    async def _pong(self, ping: events.Ping) -> None:
        if self._framing.state is ConnectionState.OPEN:
            try:
                await self._connection.write(self._framing.send(ping.response()))
            except ConnectionError:
                self._end(1006, "the connection was closed")

    async def _closed(self, event: events.CloseConnection) -> None:
        if self._framing.state is ConnectionState.OPEN:
            # No close frame of the peer: the parser's verdict on what it sent.
            await self._fail(int(event.code), event.reason or "a violation of the protocol")
            return
        self._end(int(event.code), event.reason or "")
        try:
            await self._say_goodbye(CloseReason.NORMAL_CLOSURE if event.code == 1005 else int(event.code), "")
        except ConnectionError:
            pass  # it is gone already, and we know why

    async def _fail(self, code: int, reason: str) -> None:
        self._end(code, reason)
        try:
            await self._say_goodbye(code, reason)
        except ConnectionError:
            pass  # the reason to tell it is gone with it
        self._connection.close()

    def _collect(self, event: events.Message[Any]) -> bool:
        """False when the message grows too large."""
        text = isinstance(event.data, str)
        part = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
        self._size += len(part)
        if self._size > self._limit:
            return False
        self._parts.append(part)
        self._text = self._text or text
        if event.message_finished:
            whole = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._messages.append(whole.decode() if self._text else whole)
            self._parts, self._size, self._text = [], 0, False
        return True


# Handshakes


def requested(request: Request) -> bool:
    """Whether this request asks for a WebSocket."""
    headers = request.headers
    return headers.get("upgrade", "").lower() == "websocket" and "upgrade" in headers.get("connection", "").lower()


def offered(request: Request) -> tuple[str, ...]:
    """The subprotocols that the client offers, in its order."""
    given = request.headers.get("sec-websocket-protocol", "")
    return tuple(name for part in given.split(",") if (name := part.strip()))


def accept(
    request: Request,
    protocols: Sequence[str],
    serve: Callable[[WebSocket], Awaitable[None]],
    *,
    limit: int = MESSAGE_LIMIT,
    headers: Sequence[tuple[str, str]] = (),
) -> Response:
    """Answer a handshake: 101 and `serve` runs with the first subprotocol of the client that we speak, or a 4xx.

    "" among `protocols` serves clients that offer none. `serve` may leave closing to us.
    """
    if request.method != "GET" or not requested(request):
        return Response(400, b"this is no websocket handshake\n", PLAIN)
    if request.headers.get("sec-websocket-version") != "13":
        return Response(426, b"only websocket version 13 is spoken\n", (*PLAIN, ("Sec-WebSocket-Version", "13")))
    key = request.headers.get("sec-websocket-key", "")
    if not _is_key(key):
        return Response(400, b"sec-websocket-key is not 16 bytes in base64\n", PLAIN)
    chosen = next((name for name in offered(request) or ("",) if name in protocols), None)
    if chosen is None:
        spoken = ", ".join(name for name in protocols if name)
        return Response(403, f"none of the offered subprotocols is spoken here: {spoken}\n".encode(), PLAIN)

    async def run(connection: Connection) -> None:
        socket = WebSocket(connection, ConnectionType.SERVER, chosen, limit)
        try:
            await serve(socket)
        finally:
            await socket.close()

    answer = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", _answer_to(key)), *headers]
    if chosen:
        answer.append(("Sec-WebSocket-Protocol", chosen))
    return Response(101, b"", tuple(answer), run)


async def connect(
    transport: Transport,
    target: str,
    protocols: Sequence[str] = (),
    *,
    headers: Mapping[str, str] | None = None,
    limit: int = MESSAGE_LIMIT,
) -> WebSocket:
    """A WebSocket to `target` (path and query). Raises UpgradeRefused with the server's answer, ProtocolError
    for a wrong handshake, and what the transport raises."""
    key = base64.b64encode(os.urandom(16)).decode()
    own = {"upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": key}
    if protocols:
        own["sec-websocket-protocol"] = ", ".join(protocols)
    response, connection = await transport.connect(Request("GET", target, {**(headers or {}), **own}))
    if response.status != 101:
        raise UpgradeRefused(response.status, await response.read())
    chosen = response.header("sec-websocket-protocol")
    if response.header("sec-websocket-accept") != _answer_to(key) or (chosen and chosen not in protocols):
        connection.close()
        raise ProtocolError(f"{target}: the server's websocket handshake is wrong")
    return WebSocket(connection, ConnectionType.CLIENT, chosen, limit)


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _answer_to(key: str) -> str:
    # RFC 6455 names SHA-1; it proves that we read the handshake and nothing more.
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
