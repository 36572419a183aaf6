"""Servers on loopback for probes and hooks: real sockets that answer as a test asks."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sampan.node.probes import grpc

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port where `talk` serves every connection. Leaves when all of them have ended."""
    sessions: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        sessions.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # a probe leaves as soon as it knows enough
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        if sessions:
            await asyncio.wait(sessions, timeout=10)
        await listener.wait_closed()


class Site:
    """An HTTP server: what is answered to which path; requests are kept."""

    def __init__(self, answers: dict[str, str] | None = None, default: str = "200 OK") -> None:
        self.answers = answers or {}
        self.default = default
        self.requests: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.requests.append(head)
        target = head.split(" ", 2)[1]
        status, *headers = self.answers.get(target, self.default).split("\n")
        lines = [f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "", ""]
        writer.write("\r\n".join(lines).encode())
        await writer.drain()


async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An HTTP server as it meets TLS: it answers whatever comes, and a request it can read with 200."""
    data = await reader.read(65536)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n" if data.startswith(b"GET ") else b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


class Health:
    """A gRPC health server that speaks just enough HTTP/2; `status` None answers with trailers alone."""

    def __init__(self, status: int | None = grpc.SERVING, *, split: bool = False) -> None:
        self.status = status
        self.split = split
        self.services: list[str] = []
        self.acknowledged = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(grpc.PREFACE)) == grpc.PREFACE
        writer.write(grpc.encode(grpc.Frame(grpc.SETTINGS, 0, 0, b"\x00\x03\x00\x00\x00\x64")))
        writer.write(grpc.encode(grpc.Frame(grpc.PING, 0, 0, b"12345678")))
        while True:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            kind, flags = head[3], head[4]
            if kind == grpc.PING and flags & grpc.ACK:
                self.acknowledged = payload == b"12345678"
                self._answer(writer)
                await writer.drain()
            if kind == grpc.DATA:
                assert payload[0] == 0 and int.from_bytes(payload[1:5], "big") == len(payload) - 5
                self.services.append(payload[7:].decode())

    def _answer(self, writer: asyncio.StreamWriter) -> None:
        if self.status is None:
            block = b"\x88"  # :status 200 of the static table
            flags = grpc.END_HEADERS | grpc.END_STREAM
            writer.write(grpc.encode(grpc.Frame(grpc.HEADERS, flags, 1, block)))
            return
        writer.write(grpc.encode(grpc.Frame(grpc.HEADERS, grpc.END_HEADERS, 1, b"\x88")))
        body = b"\x08" + bytes((self.status,)) if self.status else b""
        message = b"\x00" + struct.pack(">I", len(body)) + body
        if self.split:
            writer.write(grpc.encode(grpc.Frame(grpc.DATA, 0, 1, message[:3])))
            padded = b"\x02" + message[3:] + b"\x00\x00"
            writer.write(grpc.encode(grpc.Frame(grpc.DATA, grpc.PADDED, 1, padded)))
        else:
            writer.write(grpc.encode(grpc.Frame(grpc.DATA, 0, 1, message)))
