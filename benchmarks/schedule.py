"""P12 and P13: pods on many nodes that exist only as objects, from first create to last bind.

`python -m benchmarks.schedule` measures the scheduler's own computing alone, without a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

import msgspec

from benchmarks.figure import Figure
from benchmarks.lab import Lab
from sampan.api.types import core_v1, meta_v1
from sampan.client.client import Client
from sampan.scheduler.plan import Planner
from sampan.scheduler.profile import Profiles
from sampan.scheduler.snapshot import Snapshot

Wish = Literal["plain", "spread", "apart"]

NAMESPACE = "default"
PODS = 3000
WRITERS = 24
LABEL = "sampan.dev/bench"
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
GROUP = 250
"""Pods that keep apart from each other; fewer than nodes, so that all find a place."""


def node(number: int) -> core_v1.Node:
    name = f"bench-{number}"
    labels = {LABEL: "yes", HOST: name, ZONE: f"zone-{number % 3}"}
    allocatable = {"cpu": "32", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = core_v1.NodeCondition(
        type="Ready", status="True", reason="Bench", message="", lastHeartbeatTime=now, lastTransitionTime=now
    )
    status = core_v1.NodeStatus(allocatable=allocatable, capacity=allocatable, conditions=(ready,))
    # A range of its own (RFC 2544), so that nobody looks for one.
    cidr = f"198.{18 + number // 4096}.{number // 16 % 256}.{number % 16 * 16}/28"
    spec = core_v1.NodeSpec(podCIDR=cidr, podCIDRs=(cidr,))
    return core_v1.Node(metadata=meta_v1.ObjectMeta(name=name, labels=labels), spec=spec, status=status)


def pod(number: int, wish: Wish) -> core_v1.Pod:
    labels = {"bench": f"{wish}-{number // GROUP if wish == 'apart' else 0}"}
    requests = {"cpu": "100m", "memory": "128Mi"}
    spec: dict[str, Any] = {
        "containers": [{"name": "c", "image": "none", "resources": {"requests": requests}}],
        "nodeSelector": {LABEL: "yes"},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
    }
    if wish == "spread":
        constraint = {"topologyKey": ZONE, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
        spec["topologySpreadConstraints"] = [constraint | {"labelSelector": {"matchLabels": labels}}]
    if wish == "apart":
        term = {"topologyKey": HOST, "labelSelector": {"matchLabels": labels}}
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    meta = meta_v1.ObjectMeta(name=f"{wish}-{number}", namespace=NAMESPACE, labels=labels)
    return core_v1.Pod(metadata=meta, spec=msgspec.convert(spec, core_v1.PodSpec))


def compute(wish: Wish, nodes: int, pods: int = PODS) -> float:
    """Pods a second of the planner alone."""
    snapshot, profiles = Snapshot(), Profiles()
    planner = Planner(snapshot, seed=1)
    for number in range(nodes):
        snapshot.put_node(node(number))
    made = [pod(number, wish) for number in range(pods)]
    started = time.perf_counter()
    for each in made:
        each = msgspec.structs.replace(each, metadata=msgspec.structs.replace(each.metadata, uid=each.metadata.name))
        profile = profiles.of(each)
        row = planner.choose(profile)
        if row is None:
            raise RuntimeError("a pod found no node")
        snapshot.put_pod(each, profile, snapshot.name(row))
    return pods / (time.perf_counter() - started)


@contextlib.asynccontextmanager
async def crowd(client: Client, nodes: int) -> AsyncIterator[None]:
    """So many nodes without a kubelet. They are gone again before anybody misses their heartbeats."""
    await each_of([node(number) for number in range(nodes)], client)
    try:
        await untainted(client)
        yield
    finally:
        await client.delete_collection(core_v1.Pod, NAMESPACE, labels="bench", grace=0)
        await client.delete_collection(core_v1.Node, labels=LABEL)


async def untainted(client: Client) -> None:
    """New nodes take no pods until somebody has seen that they are ready."""
    async with asyncio.timeout(60):
        while any(each.spec.taints for each in (await client.list(core_v1.Node, labels=LABEL)).items):
            await asyncio.sleep(0.1)


async def each_of(objects: list[Any], client: Client) -> None:
    async def write() -> None:
        while objects:
            await client.create(objects.pop())

    await asyncio.gather(*(write() for _ in range(WRITERS)))


async def through(wish: Wish, nodes: int, place: Lab) -> float:
    """Pods a second through the whole cluster."""
    async with place.client() as client, crowd(client, nodes):
        version = (await client.list(core_v1.Pod, NAMESPACE)).resourceVersion
        bound: set[str] = set()
        complete = asyncio.Event()

        async def watch() -> None:
            async for event in client.watch(core_v1.Pod, NAMESPACE, labels="bench", resourceVersion=version):
                if event.object.spec.nodeName:
                    bound.add(event.object.metadata.name or "")
                    if len(bound) == PODS:
                        complete.set()
                        return

        watching = asyncio.ensure_future(watch())
        try:
            started = time.perf_counter()
            await each_of([pod(number, wish) for number in range(PODS)], client)
            await asyncio.wait_for(complete.wait(), 120)
            return PODS / (time.perf_counter() - started)
        finally:
            watching.cancel()


FIGURES = (
    *(
        Figure(f"P12/{wish}", f"schedule 3,000 pods on 500 nodes, {name}", "pods/s", 1000, "higher", measure)
        for wish, name, measure in (
            ("plain", "plain", partial(through, "plain", 500)),
            ("spread", "zone spread", partial(through, "spread", 500)),
            ("apart", "hostname anti-affinity", partial(through, "apart", 500)),
        )
    ),
    Figure(
        "P13", "schedule 3,000 pods on 5,000 nodes", "pods/s", 1000, "higher", partial(through, "plain", 5000), runs=1
    ),
)


def main() -> None:
    wishes: tuple[Wish, ...] = ("plain", "spread", "apart")
    for nodes in (500, 5000):
        for wish in wishes:
            rate = max(compute(wish, nodes) for _ in range(3))
            print(f"{nodes:5} nodes  {wish:7} {rate:8.0f} pods/s  {1e6 / rate:5.0f} us a pod")


if __name__ == "__main__":
    main()
