"""P14 to P16: pods on the real node, from create to Ready and from delete to gone."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from benchmarks.figure import Figure
from benchmarks.lab import IMAGE, Lab
from sampan.api.types import core_v1, meta_v1
from sampan.client.client import Client

BURST = 50
SEQUENCE = 10
NAMESPACE = "default"


def pod(name: str) -> core_v1.Pod:
    container = core_v1.Container(
        name="c", image=IMAGE, imagePullPolicy="Never", env=(core_v1.EnvVar(name="TOKEN", value="x"),)
    )
    spec = core_v1.PodSpec(containers=(container,), terminationGracePeriodSeconds=2, automountServiceAccountToken=False)
    return core_v1.Pod(metadata=meta_v1.ObjectMeta(name=name, namespace=NAMESPACE), spec=spec)


@dataclass(slots=True)
class Seen:
    """When each pod became Ready and was gone, as a watch told."""

    ready: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(holds), 120)


@contextlib.asynccontextmanager
async def watched(client: Client) -> AsyncIterator[Seen]:
    seen = Seen()
    version = (await client.list(core_v1.Pod, NAMESPACE)).resourceVersion

    async def watch() -> None:
        async for event in client.watch(core_v1.Pod, NAMESPACE, resourceVersion=version):
            now, name = time.perf_counter(), event.object.metadata.name or ""
            if event.type == "DELETED":
                seen.gone[name] = now
            elif any(c.type == "Ready" and c.status == "True" for c in event.object.status.conditions):
                seen.ready.setdefault(name, now)
            async with seen.changed:
                seen.changed.notify_all()

    task = asyncio.ensure_future(watch())
    try:
        yield seen
    finally:
        task.cancel()


async def one_by_one(place: Lab) -> tuple[float, float]:
    starts, ends = [], []
    async with place.client() as client, watched(client) as seen:
        for number in range(SEQUENCE):
            name = f"s{number}-{time.time_ns()}"
            started = time.perf_counter()
            await client.create(pod(name))
            await seen.until(lambda name=name: name in seen.ready)
            starts.append(seen.ready[name] - started)
            started = time.perf_counter()
            await client.delete(core_v1.Pod, name, NAMESPACE)
            await seen.until(lambda name=name: name in seen.gone)
            ends.append(seen.gone[name] - started)
    return 1000 * statistics.median(starts), statistics.median(ends)


async def start_one(place: Lab) -> float:
    return (await one_by_one(place))[0]


async def end_one(place: Lab) -> float:
    return (await one_by_one(place))[1]


async def burst(place: Lab) -> float:
    async with place.client() as client, watched(client) as seen:
        names = [f"b{number}-{time.time_ns()}" for number in range(BURST)]
        started = time.perf_counter()
        await asyncio.gather(*(client.create(pod(name)) for name in names))
        await seen.until(lambda: all(name in seen.ready for name in names))
        took = max(seen.ready[name] for name in names) - started
        await asyncio.gather(*(client.delete(core_v1.Pod, name, NAMESPACE) for name in names))
        await seen.until(lambda: all(name in seen.gone for name in names))
    return took


FIGURES = (
    Figure("P14", "one pod, create to Ready, image present", "ms", 150, "lower", start_one),
    Figure("P15", "50 pods at once, all Ready", "s", 2.0, "lower", burst),
    Figure("P16", "pod deleted to gone, process exits at SIGTERM", "s", 0.3, "lower", end_one),
)
