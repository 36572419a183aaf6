"""P11: memory of the API server's process after 40,000 writes."""

from __future__ import annotations

import asyncio
import json

from benchmarks.figure import Figure
from benchmarks.lab import Lab, pss
from benchmarks.requests import CONFIG_MAP, CONFIG_MAPS, ensure_namespace

WRITES = 40_000
WORKERS = 64


async def memory(place: Lab) -> float:
    # Of these writes alone: what other figures have left in the process would count too.
    await place.down("--purge")
    await place.up()
    await ensure_namespace(place, "written")
    path = CONFIG_MAPS.replace("default", "written")
    body = json.dumps(CONFIG_MAP)
    numbers = iter(range(WRITES))
    async with place.client() as client:

        async def worker() -> None:
            for number in numbers:
                response = await client.raw("POST", path, None, body.replace("NAME", f"w-{number}").encode())
                await response.read()

        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(worker())
    used = pss(place.pids()["apiserver"]) / (1 << 20)
    async with place.client() as client:
        await (await client.raw("DELETE", path)).read()
    return used


FIGURES = (Figure("P11", "API server memory after 40,000 writes", "MiB", 250, "lower", memory, runs=1),)
