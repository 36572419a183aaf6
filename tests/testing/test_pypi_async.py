"""kr8s and lightkube, each in its asynchronous form, against a cluster in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import kr8s
import lightkube
import pytest
from kr8s.asyncio.objects import ConfigMap as Kr8sConfigMap
from kr8s.asyncio.objects import Deployment as Kr8sDeployment
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Pod

from sampan.api.types import apps_v1
from sampan.testing.cluster import Cluster

WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "web:1"}]},
        },
    },
}


@pytest.fixture(autouse=True)
def leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kr8s writes its keys into files that it forgets."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


# --- kr8s

# It warns of every Kubernetes that is newer than itself.
newer = pytest.mark.filterwarnings("ignore:Kubernetes version:UserWarning")


@contextlib.asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator[Any]:
    api = await kr8s.asyncio.api(kubeconfig=str(cluster.kubeconfig))
    try:
        yield api
    finally:
        # It has no public way to close its connections.
        await api._session.aclose()


@newer
async def test_kr8s(cluster: Cluster) -> None:
    async with connected(cluster) as api:
        body = {"metadata": {"name": "a", "namespace": "default", "labels": {"of": "test"}}, "data": {"x": "1"}}
        made = await Kr8sConfigMap(body, api=api)
        await made.create()
        assert await made.exists()
        await made.patch({"data": {"y": "2"}})
        assert dict(made.data) == {"x": "1", "y": "2"}
        names = [each.name async for each in api.get("configmaps", namespace="default", label_selector="of=test")]
        assert names == ["a"]
        await made.delete()
        assert not await made.exists()


@newer
async def test_kr8s_waits_for_a_deployment(cluster: Cluster) -> None:
    async with connected(cluster) as api:
        deployment = await Kr8sDeployment(WEB, api=api)
        await deployment.create()
        async with asyncio.timeout(20):
            await deployment.wait("condition=Available")
        await deployment.scale(3)
        await cluster.wait_for(apps_v1.Deployment, "web", lambda each: each.status.readyReplicas == 3)
        pods = await deployment.pods()
        assert {pod.status.phase for pod in pods} == {"Running"}
        assert len(pods) == 3


@newer
async def test_kr8s_watches(cluster: Cluster) -> None:
    async with connected(cluster) as api:
        seen: list[str] = []

        async def follow() -> None:
            async for type, each in api.watch("configmaps", namespace="default", label_selector="of=test"):
                seen.append(f"{type} {each.name}")
                if type == "DELETED":
                    return

        body = {"metadata": {"name": "a", "namespace": "default", "labels": {"of": "test"}}}
        made = await Kr8sConfigMap(body, api=api)
        async with asyncio.timeout(20):
            await made.create()
            following = asyncio.ensure_future(follow())
            while not seen:
                await asyncio.sleep(0.01)
            await made.delete()
            await following
        assert seen == ["ADDED a", "DELETED a"]


# --- lightkube


def light(cluster: Cluster) -> lightkube.AsyncClient:
    return lightkube.AsyncClient(config=KubeConfig.from_file(str(cluster.kubeconfig)), trust_env=False)


async def test_lightkube(cluster: Cluster) -> None:
    client = light(cluster)
    made = await client.create(ConfigMap(metadata=ObjectMeta(name="a", namespace="default"), data={"x": "1"}))
    assert made.metadata is not None and made.metadata.uid
    made.data = {"x": "2"}
    assert (await client.replace(made)).data == {"x": "2"}
    patched = await client.patch(ConfigMap, "a", {"data": {"y": "3"}}, namespace="default")
    assert patched.data == {"x": "2", "y": "3"}
    listed = [each.metadata.name async for each in client.list(ConfigMap, namespace="default")]
    assert "a" in listed
    await client.delete(ConfigMap, "a", namespace="default")
    with pytest.raises(ApiError) as absent:
        await client.get(ConfigMap, "a", namespace="default")
    assert absent.value.status.code == 404
    await client.close()


async def test_lightkube_follows_a_deployment(cluster: Cluster) -> None:
    client = light(cluster)
    await client.create(Deployment.from_dict(WEB))
    async with asyncio.timeout(20):
        await client.wait(Deployment, "web", for_conditions=["Available"], namespace="default")
        async for _, pod in client.watch(Pod, namespace="default", labels={"app": "web"}):
            if pod.status is not None and pod.status.phase == "Running":
                break
    await client.close()
