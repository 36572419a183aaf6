"""P17: one event to 1,000 watchers, until the last one has it."""

from __future__ import annotations

import asyncio
import json
import time

from benchmarks.figure import Figure
from benchmarks.lab import Lab
from benchmarks.requests import CONFIG_MAP, CONFIG_MAPS, ensure_namespace

WATCHERS = 1000
OPENING = 50


class Watcher(asyncio.Protocol):
    """One watch, read as raw bytes; counts down `left` when the marker arrives."""

    def __init__(self, request: bytes, counter: Counter) -> None:
        self.request = request
        self.counter = counter
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            self.opened.set_result(None)
        if b'"fan-out-' in data:
            self.counter.arrived()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionResetError("closed before the first byte"))


class Counter:
    def __init__(self) -> None:
        self.left = 0
        self.done = asyncio.Event()

    def expect(self, count: int) -> None:
        self.left = count
        self.done.clear()

    def arrived(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.done.set()


async def fan_out(place: Lab) -> float:
    await ensure_namespace(place, "watched")
    path = CONFIG_MAPS.replace("default", "watched")
    head = f"GET {path}?watch=1 HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {place.token}\r\n\r\n".encode()
    counter = Counter()
    loop = asyncio.get_running_loop()
    watchers: list[Watcher] = []
    tls = place.tls()
    try:
        for _ in range(WATCHERS // OPENING):
            made = [
                loop.create_connection(lambda: Watcher(head, counter), "127.0.0.1", place.port, ssl=tls)
                for _ in range(OPENING)
            ]
            batch = [protocol for _, protocol in await asyncio.gather(*made)]
            await asyncio.gather(*(watcher.opened for watcher in batch))
            watchers += batch
        async with place.client() as client:
            counter.expect(WATCHERS)
            started = time.perf_counter()
            body = json.dumps(CONFIG_MAP).replace("NAME", f"fan-out-{time.time_ns()}").encode()
            await (await client.raw("POST", path, None, body)).read()
            await asyncio.wait_for(counter.done.wait(), 30)
            return 1000 * (time.perf_counter() - started)
    finally:
        for watcher in watchers:
            watcher.transport.close()


FIGURES = (Figure("P17", "one event to 1,000 watchers, last one served", "ms", 50, "lower", fan_out, runs=5),)
