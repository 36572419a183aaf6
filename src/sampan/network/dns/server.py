"""The DNS server of one node, at the cluster's DNS address: UDP and TCP.

Each node answers its own pods at an address that every node has on its bridge. No translation leads to it, so
no connection tracking stands between a pod and its answer, and no other node.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

from sampan.api.types import core_v1, discovery_v1
from sampan.client.informer import Informers
from sampan.network import indexes
from sampan.network.dns import wire
from sampan.network.dns.forward import RESOLV_CONF, Forwarder
from sampan.network.dns.resolver import FAILED, Resolver
from sampan.network.dns.wire import Malformed, Query
from sampan.network.dns.zone import BY_IP, Zone, cluster_ips
from sampan.runtime.metrics import Sample
from sampan.runtime.tasks import Group

log = logging.getLogger(__name__)

PORT = 53
MOST_WAITING = 1000
"""Questions that wait for other servers at a time; more are told that we failed."""
MOST_CONNECTIONS = 256
"""TCP connections at a time; more are closed at once."""
IDLE = 10.0
"""Seconds that a TCP connection may rest."""
MOST_UNSENT = 1 << 20
"""Bytes of answers over UDP that wait for the kernel; more are dropped."""
_BUFFER: Final = 1 << 20
_FREEBIND: Final = 15


class DNSServer:
    """`run` never returns. Raises OSError when the address cannot be had."""

    def __init__(
        self,
        informers: Informers,
        *,
        address: str,
        domain: str,
        service_cidr: str,
        pod_cidr: str,
        port: int = PORT,
        resolv_conf: Path = RESOLV_CONF,
        resolver_port: int = PORT,
    ) -> None:
        services = informers.get(core_v1.Service, indexes={BY_IP: cluster_ips})
        slices = informers.get(
            discovery_v1.EndpointSlice,
            indexes={indexes.BY_SERVICE: indexes.service_of, indexes.BY_ADDRESS: indexes.addresses_of},
        )
        zone = Zone(services, slices, domain=domain, service_cidr=service_cidr, pod_cidr=pod_cidr, dns_ip=address)
        self._synced = (services.synced, slices.synced)
        self._resolver = Resolver(zone, Forwarder({address}, resolv_conf, resolver_port))
        self._address = address
        self.port = port
        self.listening = asyncio.Event()
        self.answered: Counter[int] = Counter()
        self._waiting = 0
        self._connections = 0

    async def run(self) -> None:
        for synced in self._synced:
            await synced.wait()
        loop = asyncio.get_running_loop()
        datagrams, listener = self._bind()
        async with Group("dns") as group:
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self, group), sock=datagrams)
            server = await asyncio.start_server(self._connection, sock=listener, backlog=128)
            self.listening.set()
            try:
                await loop.create_future()
            finally:
                self.listening.clear()
                transport.close()
                server.close()

    def samples(self) -> Iterator[Sample]:
        for rcode, count in sorted(self.answered.items()):
            yield Sample("sampan_dns_responses_total", "counter", "DNS answers by code.", {"rcode": str(rcode)}, count)
        yield Sample("sampan_dns_waiting", "gauge", "Questions that wait for other servers.", {}, self._waiting)

    def _bind(self) -> tuple[socket.socket, socket.socket]:
        """Both sockets or none."""
        with contextlib.ExitStack() as undo:
            made = []
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                each = undo.enter_context(socket.socket(socket.AF_INET, kind))
                each.setblocking(False)
                each.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
                if kind == socket.SOCK_DGRAM:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
                else:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    each.bind((self._address, self.port))
                except OSError as error:
                    where = f"{self._address}:{self.port}"
                    raise OSError(error.errno, f"DNS at {where}: {error.strerror}; is another server there?") from error
                self.port = each.getsockname()[1]
                made.append(each)
            undo.pop_all()
            return made[0], made[1]

    # --- answering ---

    def at_once(self, data: bytes, limit: int | None) -> bytes | Query | None:
        """The answer, the query if others must be asked first, or nothing for what is no query.

        `limit` is what the way back carries; None: what the query says.
        """
        try:
            query = wire.parse_query(data)
        except Malformed as error:
            if error.rcode is None:
                return None
            self.answered[error.rcode] += 1
            return wire.encode_error(data, error.rcode)
        reply = self._resolver.at_once(query)
        if reply is None:
            if self._waiting < MOST_WAITING:
                return query
            reply = FAILED
        self.answered[reply.rcode] += 1
        return reply.encode(query, limit or largest(query))

    async def later(self, query: Query, limit: int | None) -> bytes:
        self._waiting += 1
        try:
            reply = await self._resolver.later(query)
        finally:
            self._waiting -= 1
        self.answered[reply.rcode] += 1
        return reply.encode(query, limit or largest(query))

    # --- TCP ---

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One query after the other (RFC 7766)."""
        self._connections += 1
        served = False
        try:
            while self._connections <= MOST_CONNECTIONS or served:
                async with asyncio.timeout(IDLE):
                    data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                    answer = self.at_once(data, 0xFFFF)
                    if isinstance(answer, Query):
                        answer = await self.later(answer, 0xFFFF)
                    if answer is None:
                        return
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    await writer.drain()
                    served = True
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            log.debug("connection from %s: %s", writer.get_extra_info("peername"), error or type(error).__name__)
        finally:
            self._connections -= 1
            writer.close()


def largest(query: Query) -> int:
    """Bytes of an answer over UDP."""
    return min(max(query.edns.size, wire.PLAIN), wire.LARGEST) if query.edns is not None else wire.PLAIN


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DNSServer, group: Group) -> None:
        self._server = server
        self._group = group

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        transport = cast("asyncio.DatagramTransport", transport)
        self._transport = transport

    def datagram_received(self, data: bytes, peer: tuple[str | Any, int]) -> None:
        answer = self._server.at_once(data, None)
        if isinstance(answer, Query):
            self._group.start("question", self._later(answer, peer))
        elif answer is not None:
            self._send(answer, peer)

    def error_received(self, error: Exception) -> None:
        """The kernel tells of a client that is gone."""
        log.debug("an answer could not be delivered: %s", error)

    async def _later(self, query: Query, peer: tuple[str | Any, int]) -> None:
        self._send(await self._server.later(query, None), peer)

    def _send(self, data: bytes, peer: tuple[str | Any, int]) -> None:
        if not self._transport.is_closing() and _unsent(self._transport) < MOST_UNSENT:
            self._transport.sendto(data, peer)


def _unsent(transport: asyncio.DatagramTransport) -> int:
    size: Callable[[], int] | None = getattr(transport, "get_write_buffer_size", None)
    return size() if size is not None else 0
