"""A process without a kernel and a server for it: what the protocols carry is real bytes over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sampan.http.client import HttpTransport
from sampan.http.types import Request, Response
from sampan.streams.commands import Options, serve_remote_command
from tests.http.conftest import serving


class Program:
    """A process whose output the test writes with `say` and which ends with `exit`."""

    def __init__(self) -> None:
        self.stdin = b""
        self.stdin_closed = asyncio.Event()
        self.received = asyncio.Event()
        self.sizes: list[tuple[int, int]] = []
        self.resized = asyncio.Event()
        self.closed = asyncio.Event()
        self.blocked = asyncio.Event()
        self.blocked.set()
        self._output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._code = 0
        self._exited = asyncio.Event()

    def say(self, descriptor: int, data: bytes) -> None:
        self._output.put_nowait((descriptor, data))

    def exit(self, code: int) -> None:
        self._code = code
        self._exited.set()
        self._output.put_nowait(None)

    # containers.Process

    async def write_stdin(self, data: bytes) -> None:
        await self.blocked.wait()
        self.stdin += data
        self.received.set()

    async def close_stdin(self) -> None:
        self.stdin_closed.set()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while (part := await self._output.get()) is not None:
            yield part

    async def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))
        self.resized.set()

    async def wait(self) -> int:
        await self._exited.wait()
        return self._code

    async def close(self) -> None:
        self.closed.set()


class Node:
    """Starts `program` for whoever asks; `options` is what was asked for."""

    def __init__(self, *, attach: bool = False, failure: Exception | None = None) -> None:
        self.program = Program()
        self.options: Options | None = None
        self.started = asyncio.Event()
        self._attach = attach
        self._failure = failure

    async def handler(self, request: Request) -> Response:
        return await serve_remote_command(request, self._start, attach=self._attach)

    async def _start(self, options: Options) -> Program:
        self.options = options
        self.started.set()
        if self._failure is not None:
            raise self._failure
        return self.program


@asynccontextmanager
async def connected(node: Node) -> AsyncIterator[HttpTransport]:
    async with serving(node.handler) as (_, port):
        transport = HttpTransport(f"http://127.0.0.1:{port}")
        try:
            yield transport
        finally:
            await transport.close()
