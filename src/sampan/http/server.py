"""An HTTP/1.1 server on llhttp: keep-alive, pipelining, streaming with back-pressure, limits for hostile peers.

Sources: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

from sampan.http.incoming import Limits
from sampan.http.serving import Serving
from sampan.http.types import Handler

__all__ = ["Limits", "Server"]

SWEEP = 5.0
SHUTDOWN = 5.0
"""Seconds that a TLS peer has to say goodbye."""


class Server:
    """Listens on any number of addresses with one handler."""

    def __init__(self, handler: Handler, *, tls: ssl.SSLContext | None = None, limits: Limits | None = None) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.loop = asyncio.get_running_loop()
        self.connections: set[Serving] = set()
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
            lambda: Serving(self),
            sock=sock,
            ssl=self._tls,
            backlog=1024,
            ssl_handshake_timeout=handshake,
            ssl_shutdown_timeout=SHUTDOWN if self._tls else None,
        )
        self._listeners.append(listener)

    def joined(self, connection: Serving) -> None:
        """One timer watches all connections, and none runs while there are none."""
        self.connections.add(connection)
        if self._sweeping is None:
            self._sweeping = self.loop.call_later(SWEEP, self._sweep)

    def _sweep(self) -> None:
        now = self.loop.time()
        self._sweeping = None
        for connection in tuple(self.connections):
            connection.expire(now)
        if self.connections:
            self._sweeping = self.loop.call_later(SWEEP, self._sweep)

    def left(self, connection: Serving) -> None:
        self.connections.discard(connection)
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
        tasks = [task for connection in tuple(self.connections) if (task := connection.cut())]
        if tasks:
            await asyncio.wait(tasks)
        while self.connections:
            self._empty.clear()
            await self._empty.wait()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
