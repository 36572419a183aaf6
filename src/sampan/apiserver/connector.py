"""Connections from the API server to nodes and pods."""

from __future__ import annotations

import ssl

from sampan.apiserver.pool import Pool
from sampan.http.client import HttpTransport
from sampan.http.types import Connection, Request, Response


class Connector:
    """A NodeConnector over TCP. `node_tls` proves to nodes who asks; other places are trusted with nothing."""

    def __init__(self, node_tls: ssl.SSLContext, plain_tls: ssl.SSLContext) -> None:
        self._node_tls = node_tls
        self._plain_tls = plain_tls
        self._pool: Pool[tuple[str, str, int, bool]] = Pool()

    async def send(
        self, address: str, port: int, request: Request, *, scheme: str = "https", node: bool = False
    ) -> Response:
        return await (await self._transport(scheme, address, port, node)).send(request)

    async def connect(
        self, address: str, port: int, request: Request, *, scheme: str = "https", node: bool = False
    ) -> tuple[Response, Connection]:
        return await (await self._transport(scheme, address, port, node)).connect(request)

    async def _transport(self, scheme: str, address: str, port: int, node: bool) -> HttpTransport:
        host = f"[{address}]" if ":" in address else address
        tls = None if scheme == "http" else self._node_tls if node else self._plain_tls
        return await self._pool.get(
            (scheme, address, port, node), lambda: HttpTransport(f"{scheme}://{host}:{port}", tls=tls)
        )

    async def close(self) -> None:
        await self._pool.close()
