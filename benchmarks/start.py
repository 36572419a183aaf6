"""P1 and P2: from the command to an answering API server, and to a Ready node, nothing of it running before."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.lab import Lab


async def answers(port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except OSError:
        return False
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        return b" 200 " in (await reader.read()).split(b"\r\n")[0]
    finally:
        writer.close()


async def poll(place: Lab, started: float) -> float:
    while not await answers(place.port):
        await asyncio.sleep(0.01)
    return time.perf_counter() - started


async def start() -> tuple[float, float]:
    place = Lab(Path(tempfile.mkdtemp(prefix="sampan-bench-", dir="/var/tmp")), name="bench-start", number=1)
    try:
        started = time.perf_counter()
        polling = asyncio.ensure_future(poll(place, started))
        await place.up()
        return await polling, place.ready - place.started
    finally:
        await place.down("--purge")
        shutil.rmtree(place.root)


async def api_ready(_: Lab) -> float:
    return (await start())[0]


async def node_ready(_: Lab) -> float:
    return (await start())[1]


FIGURES = (
    Figure("P1", "API answers /readyz, cold start", "s", 1.0, "lower", api_ready, runs=5),
    Figure("P2", "node Ready, cold start", "s", 2.0, "lower", node_ready, runs=5),
)
