from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sampan.api.types import apps_v1, core_v1
from sampan.api.types.autoscaling_v2 import HorizontalPodAutoscaler
from sampan.apiserver import metricsapi
from sampan.http.types import Connection, Request, Response
from sampan.testing.cluster import Cluster

MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: app, image: web, resources: {requests: {cpu: 100m, memory: 64Mi}}}
"""
AUTOSCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 3
  metrics:
    - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
"""


class Busy:
    """The servers of all nodes: every pod that runs uses `cpu` processors."""

    def __init__(self) -> None:
        self.cpu = 0.5
        self.cluster: Cluster | None = None
        self._rounds = itertools.count()

    async def send(
        self, address: str, port: int, request: Request, *, scheme: str = "https", node: bool = False
    ) -> Response:
        assert self.cluster is not None
        number = next(self._rounds)
        at = time.time() + 100 + number
        lines = []
        for pod in (await self.cluster.client.list(core_v1.Pod)).items:
            if pod.status.phase == "Running":
                labels = f'{{container="app",namespace="{pod.metadata.namespace}",pod="{pod.metadata.name}"}}'
                lines.append(f"container_cpu_usage_seconds_total{labels} {number * self.cpu} {int(at * 1000)}")
                lines.append(f"container_memory_working_set_bytes{labels} 1048576 {int(at * 1000)}")
        return Response(200, "\n".join(lines).encode())

    async def connect(self, *_: Any, **__: Any) -> tuple[Response, Connection]:
        raise OSError("not here")


@pytest.fixture
async def busy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Busy]:
    monkeypatch.setattr(metricsapi, "PAUSE", 0.0)
    made = Busy()
    async with Cluster(connector=made) as cluster:
        made.cluster = cluster
        yield made


async def test_busy_pods_become_more(busy: Busy) -> None:
    cluster = busy.cluster
    assert cluster is not None
    await cluster.apply(MANIFESTS)
    await cluster.wait_for(apps_v1.Deployment, "web", lambda found: found.status.readyReplicas == 1)
    await cluster.apply(AUTOSCALER)
    await cluster.wait_for(apps_v1.Deployment, "web", lambda found: found.status.readyReplicas == 3)
    found = await cluster.wait_for(HorizontalPodAutoscaler, "web", lambda found: found.status.desiredReplicas == 3)
    said = {each.type: (each.status, each.reason) for each in found.status.conditions}
    assert said == {
        "AbleToScale": ("True", "SucceededRescale"),
        "ScalingActive": ("True", "ValidMetricFound"),
        "ScalingLimited": ("True", "TooManyReplicas"),
    }
    current = found.status.currentMetrics[0].resource
    assert current is not None
    assert (current.current.averageUtilization, current.current.averageValue) == (500, "500m")
    await cluster.wait_until(
        core_v1.Event,
        lambda events: any(each.reason == "SuccessfulRescale" for each in events),
    )


async def test_a_target_without_pods_is_left_alone(busy: Busy) -> None:
    cluster = busy.cluster
    assert cluster is not None
    await cluster.apply(MANIFESTS.replace("replicas: 1", "replicas: 0"))
    await cluster.apply(AUTOSCALER)
    found = await cluster.wait_for(HorizontalPodAutoscaler, "web", lambda found: len(found.status.conditions) == 2)
    assert ("ScalingActive", "ScalingDisabled") in [(each.type, each.reason) for each in found.status.conditions]
    assert (await cluster.client.get(apps_v1.Deployment, "web", "default")).spec.replicas == 0


async def test_what_cannot_be_scaled_is_told(busy: Busy) -> None:
    cluster = busy.cluster
    assert cluster is not None
    for name, target in (("kind", "kind: Nothing, name: web"), ("gone", "kind: Deployment, name: gone")):
        text = AUTOSCALER.replace("kind: Deployment, name: web", target).replace("{name: web}", f"{{name: {name}}}")
        await cluster.apply(text)
        found = await cluster.wait_for(HorizontalPodAutoscaler, name, lambda found: found.status.conditions)
        (said,) = found.status.conditions
        assert (said.type, said.status, said.reason) == ("AbleToScale", "False", "FailedGetScale")
        assert said.message is not None
        assert said.message.endswith(('no matches for kind "Nothing" in group "apps"', '"gone" not found'))


async def test_an_autoscaler_that_goes_is_forgotten_and_may_come_again(busy: Busy) -> None:
    cluster = busy.cluster
    assert cluster is not None
    await cluster.apply(MANIFESTS)
    await cluster.wait_for(apps_v1.Deployment, "web", lambda found: found.status.readyReplicas == 1)
    await cluster.apply(AUTOSCALER)
    await cluster.wait_for(apps_v1.Deployment, "web", lambda found: found.status.readyReplicas == 3)
    await cluster.client.delete(HorizontalPodAutoscaler, "web", "default")
    await cluster.wait_gone(HorizontalPodAutoscaler, "web")
    await cluster.apply(AUTOSCALER.replace("maxReplicas: 3", "maxReplicas: 2"))
    await cluster.wait_for(apps_v1.Deployment, "web", lambda found: found.status.readyReplicas == 2)
