"""A small DNS client and server for tests, on the codec under test for writing and on nothing of it for sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from typing import NamedTuple

from sampan.network.dns import wire
from sampan.network.dns.wire import Edns, Query, Question, Record

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33, "ANY": 255}


class Said(NamedTuple):
    """An answer for people: code, `authoritative` and the like, records as text, sorted."""

    rcode: int
    flags: int
    answers: list[str]
    authority: list[str]
    additional: int

    @property
    def truncated(self) -> bool:
        return bool(self.flags & wire.TRUNCATED)


def query(name: str, type: str = "A", *, id: int = 7, edns: int = 0) -> bytes:
    asked = Query(id, wire.RECURSE, Question(wire.name(name), TYPES[type]), Edns(edns, False) if edns else None)
    return wire.encode_query(asked)


def read(data: bytes) -> Said:
    message = wire.parse_response(data)
    _, flags, _, _, _, additional = struct.unpack_from("!HHHHHH", data)
    sections = [sorted(shown(record) for record in section) for section in (message.answers, message.authority)]
    return Said(message.rcode, flags, *sections, additional)


def shown(record: Record) -> str:
    data = record.data
    if record.type == wire.A:
        return f"A {socket.inet_ntoa(data)}"
    if record.type == wire.AAAA:
        return f"AAAA {socket.inet_ntop(socket.AF_INET6, data)}"
    if record.type in (wire.CNAME, wire.PTR, wire.NS):
        return f"{ {wire.CNAME: 'CNAME', wire.PTR: 'PTR', wire.NS: 'NS'}[record.type] } {wire.text(data)}"
    if record.type == wire.SRV:
        priority, weight, port = struct.unpack_from("!HHH", data)
        return f"SRV {priority} {weight} {port} {wire.text(data[6:])}"
    if record.type == wire.SOA:
        return f"SOA {wire.text(record.name)}"
    return f"{record.type} {data!r}"


async def udp(address: tuple[str, int], data: bytes, *, deadline: float = 5.0) -> bytes:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setblocking(False)
        asking.connect(address)
        await loop.sock_sendall(asking, data)
        async with asyncio.timeout(deadline):
            return await loop.sock_recv(asking, 65535)


async def tcp(address: tuple[str, int], *messages: bytes) -> list[bytes]:
    """All questions in one go, then the answers."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(b"".join(len(data).to_bytes(2, "big") + data for data in messages))
        async with asyncio.timeout(5):
            return [await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")) for _ in messages]
    finally:
        writer.close()
        await writer.wait_closed()


Answer = Callable[[Query], bytes | None]


class Upstream(NamedTuple):
    port: int
    asked: list[str]


@contextlib.asynccontextmanager
async def upstream(
    answer: Answer, *, over_tcp: Answer | None = None, port: int = 0, address: str = "127.0.0.1"
) -> AsyncIterator[Upstream]:
    """Another DNS server; `answer` returns bytes, or None to be silent."""
    loop = asyncio.get_running_loop()
    asked: list[str] = []

    def react(data: bytes, how: Answer) -> bytes | None:
        parsed = wire.parse_query(data)
        asked.append(wire.text(parsed.question.name))
        return how(parsed)

    class Datagrams(asyncio.DatagramProtocol):
        def connection_made(inner, transport) -> None:
            inner.transport = transport

        def datagram_received(inner, data: bytes, peer: object) -> None:
            said = react(data, answer)
            if said is not None:
                inner.transport.sendto(said, peer)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        said = react(data, over_tcp or answer) or b""
        writer.write(len(said).to_bytes(2, "big") + said)
        await writer.drain()
        writer.close()

    transport, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=(address, port))
    chosen = transport.get_extra_info("sockname")[1]
    server = await asyncio.start_server(connection, address, chosen)
    try:
        yield Upstream(chosen, asked)
    finally:
        transport.close()
        server.close()
        await server.wait_closed()


def says(*records: Record, rcode: int = 0, authority: Sequence[Record] = (), flags: int = 0) -> Answer:
    return lambda asked: wire.encode_response(asked, rcode, records, authority, flags=flags)
