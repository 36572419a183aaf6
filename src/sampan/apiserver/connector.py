"""Connections from the API server to nodes and pods: a small pool per place, those used least are closed first."""

from __future__ import annotations

import ssl
from collections import OrderedDict

from sampan.http.client import HttpTransport
from sampan.http.types import Connection, Request, Response

PLACES = 64


class Connector:
    """A NodeConnector over TCP. `node_tls` proves to nodes who asks; other places are trusted with nothing."""

    def __init__(self, node_tls: ssl.SSLContext, plain_tls: ssl.SSLContext) -> None:
        self._node_tls = node_tls
        self._plain_tls = plain_tls
        self._transports: OrderedDict[tuple[str, str, int, bool], HttpTransport] = OrderedDict()

    async def send(
        self, address: str, port: int, request: Request, *, scheme: str = "https", node: bool = False
    ) -> Response:
        return await (await self._transport(scheme, address, port, node)).send(request)

    async def connect(
        self, address: str, port: int, request: Request, *, scheme: str = "https", node: bool = False
    ) -> tuple[Response, Connection]:
        return await (await self._transport(scheme, address, port, node)).connect(request)

    async def _transport(self, scheme: str, address: str, port: int, node: bool) -> HttpTransport:
        key = (scheme, address, port, node)
        found = self._transports.get(key)
        if found is None:
            host = f"[{address}]" if ":" in address else address
            tls = None if scheme == "http" else self._node_tls if node else self._plain_tls
            found = self._transports[key] = HttpTransport(f"{scheme}://{host}:{port}", tls=tls)
            if len(self._transports) > PLACES:
                _, oldest = self._transports.popitem(last=False)
                await oldest.close()
        self._transports.move_to_end(key)
        return found

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.close()
        self._transports.clear()
