"""grpc.health.v1.Health/Check: one unary call over HTTP/2, written by hand because it is all that we ever call.

Answers' header blocks are skipped, not decoded: the health status is in the message. Sources: RFC 9113 (frames),
RFC 7541 section 6.2.2 (literal fields), the gRPC over HTTP/2 specification, grpc/health/v1/health.proto.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import struct
from collections.abc import AsyncIterator
from typing import NamedTuple

from sampan.node.probes.outcome import AGENT, Outcome, authority, dial_error

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
ACK, END_STREAM, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
LARGEST_FRAME, LARGEST_MESSAGE = 16384, 4096
STREAM = 1

STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
SERVING = 1


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


class _Broken(Exception):
    """The other side speaks no HTTP/2, or ended the call."""


async def probe(host: str, port: int, service: str, timeout: float, *, tls: bool = False) -> Outcome:
    try:
        async with asyncio.timeout(timeout):
            return await _check(host, port, service, tls)
    except TimeoutError:
        where = authority(host, port)
        return Outcome(
            False, f'timeout: failed to connect service "{where}" within {timeout:g}s: context deadline exceeded'
        )
    except ssl.SSLError as error:
        return Outcome(False, f"error: {error}")
    except OSError as error:
        return Outcome(False, f"error: {dial_error(host, port, error)}")
    except (_Broken, asyncio.IncompleteReadError) as error:
        why = "the connection was closed" if isinstance(error, asyncio.IncompleteReadError) else str(error)
        return Outcome(False, f"error: health rpc failed: {why}")


async def _check(host: str, port: int, service: str, tls: bool) -> Outcome:
    context = _trusting() if tls else None
    reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host if tls else None)
    try:
        writer.write(call(authority(host, port), service, "https" if tls else "http"))
        status = await _status(reader, writer, service)
    finally:
        writer.transport.abort()
    if status == SERVING:
        return Outcome(True)
    name = STATUSES[status] if status < len(STATUSES) else str(status)
    return Outcome(False, f'service unhealthy (responded with "{name}")')


@functools.cache
def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: str) -> int:
    """The number in the answer's message."""
    message = b""
    async for frame in _frames(reader):
        if frame.kind == SETTINGS and not frame.flags & ACK:
            writer.write(encode(Frame(SETTINGS, ACK, 0, b"")))
        elif frame.kind == PING and not frame.flags & ACK:
            writer.write(encode(Frame(PING, ACK, 0, frame.payload)))
        elif frame.kind == GOAWAY:
            raise _Broken("the server goes away")
        elif frame.stream == STREAM:
            if frame.kind == RST_STREAM:
                raise _Broken(f"the server reset the stream (error {int.from_bytes(frame.payload, 'big')})")
            if frame.kind == DATA:
                message += unpadded(frame)
                if len(message) >= 5 and len(message) >= 5 + (size := int.from_bytes(message[1:5], "big")):
                    return health_status(message[5 : 5 + size])
                if len(message) > LARGEST_MESSAGE:
                    raise _Broken(f"the answer is larger than {LARGEST_MESSAGE} bytes")
            if frame.kind in (HEADERS, DATA) and frame.flags & END_STREAM:
                raise _Broken(f'no grpc.health.v1.Health there, or it does not know service "{service}"')
    raise _Broken("the connection was closed")


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[Frame]:
    while True:
        head = await reader.readexactly(9)
        length = int.from_bytes(head[:3], "big")
        if length > LARGEST_FRAME:
            raise _Broken("the server speaks no HTTP/2")
        payload = await reader.readexactly(length)
        yield Frame(head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload)


def encode(frame: Frame) -> bytes:
    head = len(frame.payload).to_bytes(3, "big") + struct.pack(">BBI", frame.kind, frame.flags, frame.stream)
    return head + frame.payload


def unpadded(frame: Frame) -> bytes:
    if not frame.flags & PADDED:
        return frame.payload
    return frame.payload[1 : len(frame.payload) - frame.payload[0]]


def call(where: str, service: str, scheme: str) -> bytes:
    """Everything that the client sends: preface, settings, the request's headers and its message."""
    fields = (
        (":method", "POST"),
        (":scheme", scheme),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", where),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", AGENT),
    )
    block = b"".join(literal(name.encode(), value.encode()) for name, value in fields)
    name = service.encode()
    request = b"\x0a" + varint(len(name)) + name if name else b""
    message = b"\x00" + struct.pack(">I", len(request)) + request
    return b"".join(
        (
            PREFACE,
            encode(Frame(SETTINGS, 0, 0, b"")),
            encode(Frame(HEADERS, END_HEADERS, STREAM, block)),
            encode(Frame(DATA, END_STREAM, STREAM, message)),
        )
    )


def literal(name: bytes, value: bytes) -> bytes:
    """A header field without indexing and without Huffman coding."""
    return b"\x00" + _length(len(name)) + name + _length(len(value)) + value


def _length(size: int) -> bytes:
    """An integer with a prefix of 7 bits."""
    return bytes((size,)) if size < 127 else b"\x7f" + varint(size - 127)


def varint(number: int) -> bytes:
    """Seven bits a byte, the least significant first (protobuf and HPACK agree)."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def health_status(message: bytes) -> int:
    """Field 1 of HealthCheckResponse; left out means UNKNOWN."""
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0
