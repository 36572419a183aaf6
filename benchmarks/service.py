"""P18: requests a second through a ClusterIP, a connection each, against direct to the pod behind it."""

from __future__ import annotations

import re
import statistics
import time

from msgspec.structs import replace

from benchmarks.figure import Figure
from benchmarks.lab import Lab, call
from benchmarks.pods import NAMESPACE, pod, watched
from sampan.api.types import core_v1, discovery_v1, meta_v1

PORT = 8080
TURNS = 8


async def ratio(place: Lab) -> float:
    """The median of turns, each of them a second direct and a second through the service."""
    name = f"svc-{time.time_ns()}"
    labels = {"app": name}
    port = core_v1.ServicePort(port=80, targetPort=PORT)
    service = core_v1.Service(
        metadata=meta_v1.ObjectMeta(name=name, namespace=NAMESPACE),
        spec=core_v1.ServiceSpec(selector=labels, ports=(port,)),
    )
    made = pod(name)
    async with place.client() as client, watched(client) as seen:
        await client.create(replace(made, metadata=replace(made.metadata, labels=labels)))
        service = await client.create(service)
        await seen.until(lambda: name in seen.ready)
        direct = (await client.get(core_v1.Pod, name, NAMESPACE)).status.podIP
        await served(place, name)
        try:
            turns = []
            for _ in range(TURNS):
                alone = await requests(f"http://{direct}:{PORT}/index.html")
                turns.append(await requests(f"http://{service.spec.clusterIP}/index.html") / alone)
        finally:
            await client.delete(core_v1.Service, name, NAMESPACE)
            await client.delete(core_v1.Pod, name, NAMESPACE)
    return statistics.median(turns)


async def served(place: Lab, name: str) -> None:
    """Return when a slice has the ready endpoint; the rules follow within milliseconds, wrk asks again."""
    selection = f"kubernetes.io/service-name={name}"
    async with place.client() as client:
        async for event in client.watch(discovery_v1.EndpointSlice, NAMESPACE, labels=selection):
            for endpoint in event.object.endpoints:
                if endpoint.conditions is not None and endpoint.conditions.ready:
                    return


async def requests(url: str) -> float:
    out = await call("wrk", "-t1", "-c16", "-d1s", url)
    if "Non-2xx" in out:
        raise RuntimeError(out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])  # type: ignore[index]


FIGURES = (Figure("P18", "through a ClusterIP against direct, requests/s", "ratio", 0.98, "higher", ratio),)
