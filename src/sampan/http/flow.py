"""Back-pressure in both directions, shared by servers and clients: what is read but not yet wanted, and drains."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable

from sampan.http.errors import BodyTooLarge, Disconnected
from sampan.http.types import CHUNK

HIGH = 4 * CHUNK
"""Bytes that wait for a reader before the peer is asked to pause; reading resumes at half of it."""


class Inbox:
    """Bytes that arrived and wait for their one reader. `pause` and `resume` act on the transport."""

    __slots__ = ("_chunks", "_ended", "_error", "_on_read", "_paused", "_size", "_waiter", "pause", "resume")

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._error: Exception | None = None
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._on_read: Callable[[], None] | None = None
        self.pause = pause
        self.resume = resume

    def on_first_read(self, action: Callable[[], None]) -> None:
        """Call `action` once when somebody wants the content (100 Continue)."""
        self._on_read = action

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size >= HIGH and not self._paused:
            self._paused = True
            self.pause()
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        if not self._ended:
            self._ended, self._error = True, error
            self._wake()

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def drained(self) -> bool:
        """Whether all content came and was read."""
        return self._ended and not self._chunks and self._error is None

    @property
    def failed(self) -> bool:
        return self._error is not None

    @property
    def hungry(self) -> bool:
        """Whether somebody waits for bytes right now."""
        return self._waiter is not None

    @property
    def wanted(self) -> bool:
        """Whether the peer was told that its content is welcome (100 Continue)."""
        return self._on_read is None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self, size: int = CHUNK) -> bytes:
        """At least one byte; b"" at the end; raises what broke the connection."""
        if self._on_read is not None:
            action, self._on_read = self._on_read, None
            action()
        while not self._chunks:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = self._chunks.popleft()
        if len(chunk) > size:
            self._chunks.appendleft(chunk[size:])
            chunk = chunk[:size]
        self._size -= len(chunk)
        if self._paused and self._size <= HIGH // 2:
            self._paused = False
            self.resume()
        return chunk

    def rest(self) -> bytes:
        """What has arrived and was not read, taken out at once."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        return data

    # The Body protocol of types.py.

    async def read(self, limit: int) -> bytes:
        parts, size = [], 0
        while chunk := await self.take():
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(limit)
            parts.append(chunk)
        return b"".join(parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.take():
            yield chunk


class Gate:
    """Writers wait here while the transport's buffer is full."""

    __slots__ = ("_lost", "_open", "_waiters")

    def __init__(self) -> None:
        self._open = True
        self._lost = False
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def open(self) -> bool:
        return self._open

    def pause(self) -> None:
        self._open = False

    def resume(self) -> None:
        self._open = True
        self._release()

    def lose(self) -> None:
        self._open, self._lost = False, True
        self._release()

    def _release(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        """Return when there is room; raises Disconnected."""
        while not self._open and not self._lost:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        if self._lost:
            raise Disconnected("the peer closed the connection")


class Raw:
    """A Connection (types.py) over a transport: what an upgrade leaves."""

    def __init__(self, transport: asyncio.Transport, inbox: Inbox, gate: Gate) -> None:
        self._transport = transport
        self._inbox = inbox
        self._gate = gate

    async def read(self, size: int = CHUNK) -> bytes:
        return await self._inbox.take(size)

    async def write(self, data: bytes) -> None:
        await self._gate.wait()
        self._transport.write(data)
        if not self._gate.open:
            await self._gate.wait()

    async def finish(self) -> None:
        """End our direction; under TLS, which has no half, the connection."""
        if not self._transport.is_closing():
            if self._transport.can_write_eof():
                self._transport.write_eof()
            else:
                self._transport.close()

    def close(self) -> None:
        self._transport.close()


class Closed:
    """A Connection (types.py) that has ended."""

    async def read(self, size: int = CHUNK) -> bytes:
        return b""

    async def write(self, data: bytes) -> None:
        raise Disconnected("the connection is closed")

    def close(self) -> None:
        pass


def notice_silence(sock: socket.socket) -> None:
    """A stream may be silent for long: let the kernel find out within about a minute when its peer is gone."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_KEEPIDLE, 30),
            (socket.TCP_KEEPINTVL, 10),
            (socket.TCP_KEEPCNT, 3),
            (socket.TCP_NODELAY, 1),
        ):
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
