"""The health check node ports: a load balancer asks which nodes have endpoints of a service.

Source: the documentation of service.spec.healthCheckNodePort; 200 where there are some, 503 where there are none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from sampan.network.proxy.ruleset import Health

log = logging.getLogger(__name__)

SECONDS = 5.0
"""A client that has not asked by then is cut off."""
LONGEST = 8192
MOST = 64
"""Connections at a time, of one port."""


class HealthServers:
    """One listener per port. `update` opens and closes as needed; a port that is taken is reported and tried again."""

    def __init__(self) -> None:
        self._servers: dict[int, asyncio.Server] = {}
        self._answers: dict[int, bytes] = {}
        self._open: dict[int, set[_Connection]] = {}

    async def update(self, wanted: Mapping[int, Health]) -> None:
        for port in self._servers.keys() - wanted.keys():
            self._close(port)
        self._answers = {port: answer(health) for port, health in wanted.items()}
        for port in wanted.keys() - self._servers.keys():
            await self._listen(port)

    def close(self) -> None:
        for port in list(self._servers):
            self._close(port)

    async def _listen(self, port: int) -> None:
        connections = self._open.setdefault(port, set())
        loop = asyncio.get_running_loop()
        try:
            self._servers[port] = await loop.create_server(
                lambda: _Connection(connections, lambda: self._answers.get(port, b"")),
                "0.0.0.0",  # noqa: S104 (load balancers ask on the node's own addresses)
                port,
            )
        except OSError as error:
            log.warning("health check node port %d: %s", port, error)

    def _close(self, port: int) -> None:
        self._servers.pop(port).close()
        for connection in tuple(self._open.pop(port, ())):
            connection.cut()


class _Connection(asyncio.Protocol):
    """One request, one answer."""

    def __init__(self, others: set[_Connection], answer: Callable[[], bytes]) -> None:
        self._others = others
        self._answer = answer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        self._others.add(self)
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self.cut)
        if len(self._others) > MOST:
            self.cut()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\r\n\r\n" in self._received or b"\n\n" in self._received:
            self._transport.write(self._answer())
            self._transport.close()
        elif len(self._received) > LONGEST:
            self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        self._others.discard(self)

    def cut(self) -> None:
        self._transport.abort()


def answer(health: Health) -> bytes:
    """The whole response."""
    body = msgspec.json.encode(
        {
            "service": {"namespace": health.namespace, "name": health.name},
            "localEndpoints": health.endpoints,
            "serviceProxyHealthy": True,
        }
    )
    status = "200 OK" if health.endpoints else "503 Service Unavailable"
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
        f"X-Load-Balancing-Endpoint-Weight: {health.endpoints}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
