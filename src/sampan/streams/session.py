"""One exec or attach session on the node: a process on one side, a client on the other, whatever it speaks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from sampan.api.types import meta_v1
from sampan.host.containers import Process
from sampan.http.types import Request
from sampan.streams import channels, status

log = logging.getLogger(__name__)

HEARTBEAT = 30.0
"""Seconds between pings: the only sign of a peer that is gone while we do not read what it sent."""


@dataclass(frozen=True, slots=True)
class Options:
    """Which streams the client wants. With `tty` there is no stderr of its own."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, request: Request) -> Options:
        """From the API's parameters (stdin=true) or the kubelet's (input=1)."""

        def given(*names: str) -> bool:
            return any(request.param(name).lower() in ("1", "t", "true") for name in names)

        tty = given("tty")
        stderr = given("stderr", "error") and not tty
        return cls(given("stdin", "input"), given("stdout", "output"), stderr, tty)


Start = Callable[[Options], Awaitable[Process]]


class Input(Protocol):
    """Where what the client sends goes to."""

    async def write(self, data: bytes) -> None: ...

    async def end(self) -> None: ...

    async def resize(self, data: bytes) -> None: ...


class Wire(Protocol):
    """The client, whatever it speaks. `as_status` says whether it understands a Status."""

    as_status: bool

    async def open(self, options: Options) -> None:
        """Wait for the streams that the client has to open. Raises TimeoutError, ConnectionError."""
        ...

    async def listen(self, input: Input) -> None:
        """Pass on what the client sends until it leaves."""
        ...

    async def send(self, channel: int, data: bytes) -> None: ...

    async def ping(self) -> None: ...


class _ToProcess:
    """The Input of a process. One that reads no more may still have something to say: its session goes on."""

    def __init__(self, process: Process, options: Options) -> None:
        self._process = process
        self._open = options.stdin
        self._sizes = Sizes()

    async def write(self, data: bytes) -> None:
        if self._open and data:
            try:
                await self._process.write_stdin(data)
            except OSError as error:
                log.debug("the process reads no more: %s", error)
                self._open = False

    async def end(self) -> None:
        if self._open:
            self._open = False
            try:
                await self._process.close_stdin()
            except OSError as error:
                log.debug("the process reads no more: %s", error)

    async def resize(self, data: bytes) -> None:
        for width, height in self._sizes.feed(data):
            try:
                await self._process.resize(width, height)
            except OSError as error:
                log.debug("the terminal is gone: %s", error)


class Sizes:
    """Terminal sizes out of a stream of JSON objects `{"Width": columns, "Height": rows}`."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, data: bytes) -> list[tuple[int, int]]:
        """The sizes that `data` completes; what is no size is dropped."""
        self._text += data.decode(errors="replace")
        sizes: list[tuple[int, int]] = []
        while "}" in self._text:
            part, _, self._text = self._text.partition("}")
            try:
                size: Any = json.loads(part + "}")
                width, height = int(size["Width"]), int(size["Height"])
            except (ValueError, KeyError, TypeError):
                continue
            if 0 < width < 65536 and 0 < height < 65536:
                sizes.append((width, height))
        self._text = self._text[-256:]
        return sizes


async def converse(wire: Wire, options: Options, start: Start, *, attach: bool) -> None:
    """One session from its streams to its status. The caller closes the connection."""
    try:
        await wire.open(options)
    except ConnectionError:
        return
    except TimeoutError:
        await _report(wire, status.failed("timed out waiting for client to create streams"))
        return
    doing = "attaching to container" if attach else "executing command in container"
    try:
        process = await start(options)
    except Exception as error:
        log.info("error %s: %s", doing, error)
        await _report(wire, status.failed(f"error {doing}: {error}"))
        return
    try:
        await first(
            wire.listen(_ToProcess(process, options)),
            _talk(wire, process, options, doing, attach=attach),
            _heartbeat(wire),
        )
    finally:
        await process.close()


async def _talk(wire: Wire, process: Process, options: Options, doing: str, *, attach: bool) -> None:
    """The process's output, then how it ended."""
    wanted = {1: options.stdout, 2: options.stderr}
    output = process.output()
    try:
        async for descriptor, data in output:
            if wanted.get(descriptor) and data:
                await wire.send(descriptor, data)
        end = status.exited(0 if attach else await process.wait())
    except ConnectionError:
        return
    except Exception as error:
        log.warning("error %s: %s", doing, error)
        end = status.failed(f"error {doing}: {error}")
    finally:
        if isinstance(output, AsyncGenerator):
            await output.aclose()
    await _report(wire, end)


async def _report(wire: Wire, end: meta_v1.Status) -> None:
    data = status.encoded(end, as_status=wire.as_status)
    if data:
        try:
            await wire.send(channels.ERROR, data)
        except ConnectionError:
            log.debug("the client left before it heard the end")


async def _heartbeat(wire: Wire) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        await wire.ping()


async def first(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run until one of them ends, then cancel the others. A broken connection is an end like any other."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_until_broken(job)) for job in jobs]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _until_broken(job: Coroutine[Any, Any, None]) -> None:
    try:
        await job
    except ConnectionError as error:
        log.debug("the session's connection broke: %s", error)
