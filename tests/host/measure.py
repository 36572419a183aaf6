"""What the runtime's steps cost: `python -m tests.host.measure [REPEATS]` prints one table, in milliseconds."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

import uvloop

from sampan.images.store import ImageStore
from tests.host.lab import Lab, add_image, container, lab

Timings = dict[str, list[float]]
SLEEP = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"


async def timed(timings: Timings, name: str, work: Awaitable[object]) -> object:
    began = time.perf_counter()
    result = await work
    timings.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    return result


async def single(place: Lab, timings: Timings) -> None:
    runtime = place.runtime
    assert runtime is not None
    began = time.perf_counter()
    pod = await place.run_sandbox()
    timings.setdefault("run_sandbox", []).append((time.perf_counter() - began) * 1000)
    middle = time.perf_counter()
    id = await runtime.create_container(pod.id, container(SLEEP))
    await runtime.start_container(id)
    timings.setdefault("create + start", []).append((time.perf_counter() - middle) * 1000)
    timings.setdefault("sandbox to started", []).append((time.perf_counter() - began) * 1000)
    await timed(timings, "exec true", runtime.run(id, ["/bin/true"], 10))
    await timed(timings, "stop at SIGTERM", runtime.stop_container(id, 10))
    await timed(timings, "remove sandbox", runtime.remove_sandbox(pod.id))


async def crowd(place: Lab, timings: Timings, count: int) -> None:
    async def one() -> str:
        pod = await place.run_sandbox()
        await place.start(pod, SLEEP)
        return pod.id

    runtime = place.runtime
    assert runtime is not None
    began = time.perf_counter()
    pods = await asyncio.gather(*(one() for _ in range(count)))
    timings.setdefault(f"{count} pods at once, each", []).append((time.perf_counter() - began) * 1000 / count)
    ids = [found.id for found in await runtime.containers()]
    began = time.perf_counter()
    await asyncio.gather(*(runtime.run(id, ["/bin/true"], 30) for id in ids))
    timings.setdefault(f"{count} exec at once, each", []).append((time.perf_counter() - began) * 1000 / count)
    began = time.perf_counter()
    await asyncio.gather(*(runtime.stop_container(id, 30) for id in ids))
    timings.setdefault(f"{count} stops at once, each", []).append((time.perf_counter() - began) * 1000 / count)
    began = time.perf_counter()
    await asyncio.gather(*(runtime.remove_sandbox(id) for id in pods))
    timings.setdefault(f"{count} removals at once, each", []).append((time.perf_counter() - began) * 1000 / count)


async def measure(repeats: int, show: Callable[[str], None]) -> None:
    timings: Timings = {}
    with tempfile.TemporaryDirectory() as directory:
        store = ImageStore(directory)
        await add_image(store)
        async with lab(store) as place:
            await single(place, {})
            for _ in range(repeats):
                await single(place, timings)
            for _ in range(max(1, repeats // 10)):
                await crowd(place, timings, 20)
        store.close()
    show(f"{'step':<30} {'median':>8} {'p90':>8} {'max':>8}")
    for name, values in timings.items():
        ordered = sorted(values)
        high = ordered[min(len(ordered) - 1, int(len(ordered) * 0.9))]
        show(f"{name:<30} {statistics.median(ordered):8.1f} {high:8.1f} {ordered[-1]:8.1f}")


if __name__ == "__main__":
    uvloop.run(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 20, print))
