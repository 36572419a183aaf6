"""Plain TCP as a Connection of types.py: what a port-forward's two ends need."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from sampan.http.errors import Disconnected
from sampan.http.flow import Gate, Inbox, Raw
from sampan.http.types import Connection


class _Link(asyncio.Protocol):
    def __init__(self, made: Callable[[Raw], None] | None = None) -> None:
        self._made = made
        self._gate = Gate()
        self._inbox = Inbox(self._pause, self._resume)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is no subclass of asyncio's.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        self.raw = Raw(transport, self._inbox, self._gate)
        if self._made is not None:
            self._made(self.raw)

    def data_received(self, data: bytes) -> None:
        self._inbox.feed(data)

    def eof_received(self) -> bool:
        self._inbox.end()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._gate.lose()
        self._inbox.end(Disconnected(f"the connection broke: {error}") if error else None)

    def pause_writing(self) -> None:
        self._gate.pause()

    def resume_writing(self) -> None:
        self._gate.resume()

    def _pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()


async def connect(host: str, port: int) -> Connection:
    """A TCP connection. Raises OSError."""
    _, link = await asyncio.get_running_loop().create_connection(_Link, host, port)
    return link.raw


async def wrap(sock: socket.socket) -> Connection:
    """A connected stream socket as a Connection, which then owns it."""
    _, link = await asyncio.get_running_loop().create_connection(_Link, sock=sock)
    return link.raw


class Listener:
    """Accepts TCP connections and runs `serve` for each; `close` ends all of them."""

    def __init__(self, serve: Callable[[Connection], Awaitable[None]]) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> int:
        """Returns the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Link(self._start), host, port)
        return int(self._server.sockets[0].getsockname()[1])

    def _start(self, raw: Raw) -> None:
        async def session() -> None:
            try:
                await self._serve(raw)
            finally:
                raw.close()

        # A room that imports nothing of ours makes its own tasks; `close` waits for them.
        task = asyncio.get_running_loop().create_task(session())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
