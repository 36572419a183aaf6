"""Quantities that manifests give as numbers, as `cpu: 1`: every way to write an object takes them."""

from __future__ import annotations

import pytest
import yaml

from sampan.api.types import apps_v1, core_v1
from sampan.client.client import PATCH_MEDIA_TYPES
from sampan.testing.cluster import Cluster

RESOURCES = "{requests: {cpu: 1, memory: 1000}, limits: {cpu: 1.5}}"
FORM = {"cpu": "1", "memory": "1k"}, {"cpu": "1500m"}
POD = f"""
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec: {{containers: [{{name: c, image: i, resources: {RESOURCES}}}]}}
"""
DEPLOYMENT = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: d}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: d}}}}
  template:
    metadata: {{labels: {{app: d}}}}
    spec: {{containers: [{{name: c, image: i, resources: {RESOURCES}}}]}}
"""


def form(spec: core_v1.PodSpec) -> tuple[object, object]:
    found = spec.containers[0].resources
    assert found is not None
    return dict(found.requests), dict(found.limits)


async def test_a_pod_with_numbers(cluster: Cluster) -> None:
    await cluster.apply(POD)
    assert form((await cluster.client.get(core_v1.Pod, "p", "default")).spec) == FORM


@pytest.mark.parametrize("content_type", ["application/json", "application/yaml"])
async def test_a_template_with_numbers(cluster: Cluster, content_type: str) -> None:
    body = yaml.safe_dump(yaml.safe_load(DEPLOYMENT), default_flow_style=True).encode()
    if content_type == "application/json":
        await cluster.apply(DEPLOYMENT)
    else:
        await cluster.client.raw(
            "POST", "/apis/apps/v1/namespaces/default/deployments", None, body, {"content-type": content_type}
        )
    assert form((await cluster.client.get(apps_v1.Deployment, "d", "default")).spec.template.spec) == FORM


@pytest.mark.parametrize("patch", ["merge", "strategic"])
async def test_a_patch_with_numbers(cluster: Cluster, patch: str) -> None:
    await cluster.apply(DEPLOYMENT)
    body = b'{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":2}}}]}}}}'
    where = "/apis/apps/v1/namespaces/default/deployments/d"
    await cluster.client.raw("PATCH", where, None, body, {"content-type": PATCH_MEDIA_TYPES[patch]})
    found = await cluster.client.get(apps_v1.Deployment, "d", "default")
    assert form(found.spec.template.spec)[1] == {"cpu": "2"}


async def test_server_side_apply_with_numbers(cluster: Cluster) -> None:
    where = "/apis/apps/v1/namespaces/default/deployments/d"
    for _ in range(2):
        await cluster.client.raw(
            "PATCH",
            where,
            {"fieldManager": "me"},
            DEPLOYMENT.encode(),
            {"content-type": "application/apply-patch+yaml"},
        )
    found = await cluster.client.get(apps_v1.Deployment, "d", "default")
    assert form(found.spec.template.spec) == FORM and found.metadata.generation == 1
