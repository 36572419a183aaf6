"""Questions about the world, put to the resolvers of the host.

Each question leaves from a socket of its own, so from a port that nobody can guess, and is asked once however
many wait for it: a resolver that asks us back waits for itself and gets nothing, instead of a storm.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection
from pathlib import Path

from sampan.network.dns import wire
from sampan.network.dns.cache import AnswerCache, Key
from sampan.network.dns.wire import Edns, Malformed, Message, Query

log = logging.getLogger(__name__)

RESOLV_CONF = Path("/etc/resolv.conf")
PORT = 53
ATTEMPT = 1.5
"""Seconds for one server to answer."""
TOGETHER = 4.5
"""Seconds for all attempts: less than the 5 after which clients ask again."""
LOOK = 5.0
"""Seconds between looks at the file."""
MOST_SERVERS = 3


class Unanswered(Exception):
    """No resolver, or none that answers."""


class Forwarder:
    """`own` are addresses that would lead back to us."""

    def __init__(self, own: Collection[str], resolv_conf: Path = RESOLV_CONF, port: int = PORT) -> None:
        self._own = frozenset(own)
        self._path = resolv_conf
        self._port = port
        self._servers: tuple[str, ...] = ()
        self._looked = float("-inf")
        self._version: tuple[int, int] | None = None
        self._cache = AnswerCache()
        self._pending: dict[Key, asyncio.Future[Message]] = {}

    def cached(self, query: Query) -> Message | None:
        return self._cache.get(_key(query), asyncio.get_running_loop().time())

    async def ask(self, query: Query) -> Message:
        """Raises Unanswered."""
        key = _key(query)
        pending = self._pending.get(key)
        if pending is not None:
            return await asyncio.shield(pending)
        pending = self._pending[key] = asyncio.get_running_loop().create_future()
        try:
            message = await self._ask(query)
            self._cache.put(key, message, asyncio.get_running_loop().time())
            pending.set_result(message)
            return message
        except Unanswered as error:
            pending.set_exception(error)
            pending.exception()  # it is no loss when nobody else waited
            raise
        finally:
            pending.cancel()
            del self._pending[key]

    async def _ask(self, query: Query) -> Message:
        servers = self._resolvers()
        if not servers:
            raise Unanswered(f"{self._path} names no resolver to ask")
        last: Message | None = None
        try:
            async with asyncio.timeout(TOGETHER):
                for server in (*servers, *servers):
                    message = await self._attempt(server, query)
                    if message is not None and message.rcode in (wire.NOERROR, wire.NXDOMAIN):
                        self._prefer(server)
                        return message
                    last = message or last
        except TimeoutError:
            pass
        if last is None:
            raise Unanswered(f"no answer from {', '.join(servers)}")
        return last

    async def _attempt(self, server: str, query: Query) -> Message | None:
        """None when it does not answer, or nothing that makes sense."""
        asked = Query(int.from_bytes(os.urandom(2), "big"), query.flags, query.question, Edns(wire.LARGEST, False))
        if query.edns is not None:
            asked = asked._replace(edns=Edns(wire.LARGEST, query.edns.dnssec))
        try:
            async with asyncio.timeout(ATTEMPT):
                message = await _over_udp(server, self._port, asked)
                if message.flags & wire.TRUNCATED:
                    message = await _over_tcp(server, self._port, asked)
                return message
        except (OSError, EOFError, Malformed) as error:  # TimeoutError is an OSError
            log.debug("resolver %s: %s", server, error or type(error).__name__)
            return None

    def _prefer(self, server: str) -> None:
        if self._servers and self._servers[0] != server and server in self._servers:
            self._servers = (server, *(each for each in self._servers if each != server))

    def _resolvers(self) -> tuple[str, ...]:
        """As the file has them, the one that answered last first."""
        now = asyncio.get_running_loop().time()
        if now - self._looked >= LOOK:
            self._looked = now
            try:
                status = self._path.stat()
                version = status.st_mtime_ns, status.st_ino
                if version != self._version:
                    self._servers = servers_of(self._path.read_text(errors="replace"), self._own)
                    self._version = version
            except OSError as error:
                log.warning("cannot read %s: %s", self._path, error.strerror)
                self._servers, self._version = (), None
        return self._servers


def servers_of(text: str, own: Collection[str]) -> tuple[str, ...]:
    """The first three resolvers of a resolv.conf(5), without ourselves."""
    fields = [line.split() for line in text.splitlines()]
    found = [line[1] for line in fields if len(line) > 1 and line[0] == "nameserver"]
    return tuple(dict.fromkeys(each for each in found if each not in own))[:MOST_SERVERS]


def _key(query: Query) -> Key:
    flags = query.flags & (wire.RECURSE | wire.UNCHECKED) | (query.edns is not None and query.edns.dnssec)
    return query.question.name.lower(), query.question.type, query.question.class_, flags


def _fits(message: Message, query: Query) -> bool:
    asked, answered = query.question, message.question
    return message.id == query.id and (asked.name.lower(), asked[1:]) == (answered.name.lower(), answered[1:])


class _Exchange(asyncio.DatagramProtocol):
    """One datagram there, one that fits back; whatever else comes is ignored."""

    def __init__(self, query: Query, answer: asyncio.Future[Message]) -> None:
        self._query = query
        self._answer = answer

    def datagram_received(self, data: bytes, peer: object) -> None:
        try:
            message = wire.parse_response(data)
        except Malformed as error:
            log.debug("from %s: %s", peer, error)
            return
        if _fits(message, self._query) and not self._answer.done():
            self._answer.set_result(message)

    def error_received(self, error: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)


async def _over_udp(server: str, port: int, query: Query) -> Message:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Message] = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Exchange(query, answer), remote_addr=(server, port))
    try:
        transport.sendto(wire.encode_query(query))
        return await answer
    finally:
        transport.close()


async def _over_tcp(server: str, port: int, query: Query) -> Message:
    reader, writer = await asyncio.open_connection(server, port)
    try:
        data = wire.encode_query(query)
        writer.write(len(data).to_bytes(2, "big") + data)
        message = wire.parse_response(await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")))
        if not _fits(message, query):
            raise Malformed(None, "an answer to another question")
        return message
    finally:
        writer.transport.abort()
