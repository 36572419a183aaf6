"""The fixtures themselves: what they wait for, what they tell, what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.api.user import User
from sampan.testing.cluster import Cluster
from sampan.testing.thread import ServedCluster

CONFIG = "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s}, data: {x: '%s'}}"


async def test_apply_creates_and_then_merges(cluster: Cluster) -> None:
    (made,) = await cluster.apply(CONFIG % ("a", 1))
    (again,) = await cluster.apply(CONFIG % ("a", 2))
    assert made.metadata.uid == again.metadata.uid
    assert again.data == {"x": "2"}
    assert (await cluster.wait_for(core_v1.ConfigMap, "a")).data == {"x": "2"}, "whoever waits sees what he wrote"


async def test_apply_knows_namespaces_and_complains_about_unknown_kinds(cluster: Cluster) -> None:
    await cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    await cluster.apply(CONFIG % ("a", 1), namespace="shop")
    await cluster.client.get(core_v1.ConfigMap, "a", "shop")
    with pytest.raises(LookupError, match=r"does not know example\.org/v1 Rose"):
        await cluster.apply("{apiVersion: example.org/v1, kind: Rose, metadata: {name: a}}")


async def test_waiting_tells_what_is_there(cluster: Cluster) -> None:
    with pytest.raises(TimeoutError, match=r"waited 0.01 s for ConfigMap a\nit does not exist"):
        await cluster.wait_for(core_v1.ConfigMap, "a", timeout=0.01)
    await cluster.apply(CONFIG % ("a", 1))
    with pytest.raises(TimeoutError, match="x: '1'"):
        await cluster.wait_for(core_v1.ConfigMap, "a", lambda each: each.data["x"] == "2", timeout=0.01)
    with pytest.raises(TimeoutError, match="default/a"):
        await cluster.wait_until(core_v1.ConfigMap, lambda found: len(found) == 9, timeout=0.01)


async def test_waiting_tells_events(cluster: Cluster) -> None:
    await cluster.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: big},"
        " spec: {containers: [{name: m, image: i, resources: {requests: {cpu: '999'}}}]}}"
    )
    await cluster.wait_until(core_v1.Event, lambda found: found)
    with pytest.raises(TimeoutError, match="Warning FailedScheduling Pod/big: 0/1 nodes are available"):
        await cluster.wait_for(core_v1.Pod, "big", lambda pod: pod.spec.nodeName, timeout=0.01)


async def test_rbac_judges_everybody_else(cluster: Cluster) -> None:
    alice = cluster.client_as(User("alice", groups=("system:authenticated",)))
    with pytest.raises(StatusError) as refused:
        await alice.list(core_v1.Secret, "default")
    assert refused.value.code == 403
    assert 'User "alice" cannot list resource "secrets"' in str(refused.value)


async def test_clusters_share_nothing(cluster_factory: Any) -> None:
    one, two = await asyncio.gather(cluster_factory(nodes=1), cluster_factory(nodes=2))
    await one.apply(CONFIG % ("a", 1))
    with pytest.raises(StatusError):
        await two.client.get(core_v1.ConfigMap, "a", "default")
    assert len((await two.client.list(core_v1.Node)).items) == 2
    assert one.url != two.url


async def test_nothing_is_left() -> None:
    before = asyncio.all_tasks()
    async with Cluster(nodes=2) as cluster:
        await cluster.apply(CONFIG % ("a", 1))
        directory = cluster.kubeconfig.parent
        assert directory.exists()
    gc.collect()
    assert asyncio.all_tasks() == before
    assert not directory.exists()


async def test_a_failing_body_ends_the_cluster() -> None:
    before = asyncio.all_tasks()

    async def body() -> None:
        async with Cluster():
            raise RuntimeError("the test's own")

    with pytest.raises(RuntimeError, match="the test's own"):
        await body()
    assert asyncio.all_tasks() == before


@pytest.mark.cluster(nodes=0, controllers=(), scheduler=False)
async def test_an_api_server_alone(cluster: Cluster) -> None:
    assert (await cluster.client.list(core_v1.Node)).items == ()
    assert cluster.manager.runners == ()


@pytest.mark.cluster(nodes=2)
def test_served_beside_the_test(served_cluster: ServedCluster) -> None:
    assert served_cluster.url.startswith("https://127.0.0.1:")
    assert "certificate-authority-data" in served_cluster.kubeconfig.read_text()
    (made,) = served_cluster.run(served_cluster.cluster.apply(CONFIG % ("a", 1)))
    assert made.metadata.uid
    assert len(served_cluster.run(served_cluster.cluster.client.list(core_v1.Node)).items) == 2


def test_a_served_cluster_that_cannot_start_says_why() -> None:
    threads = threading.active_count()
    with pytest.raises(TypeError, match="unheard_of"):
        ServedCluster(unheard_of=True).__enter__()
    assert threading.active_count() == threads
