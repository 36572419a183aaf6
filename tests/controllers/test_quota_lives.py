"""ResourceQuota with its controller and admission together: what is used follows what lives."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.testing.cluster import Cluster
from tests.covers import covers

CONFORMANCE = "[sig-api-machinery] ResourceQuota should"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {%s containers: [{name: c, image: 'i:1'%s}]}\n"
SIZED = ", resources: {requests: {cpu: 500m, memory: 252Mi}, limits: {cpu: '1', memory: 300Mi}}"
TEMPLATE = "{metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: 'i:1'}]}}"


def quota(hard: str, name: str = "q", more: str = "") -> str:
    return f"apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: {name}}}\nspec: {{hard: {{{hard}}}{more}}}\n"


async def used(cluster: Cluster, name: str = "q", **wanted: str) -> dict[str, str]:
    """What the quota says once all of `wanted` (`__` is a dot, `___` a slash) is so."""
    plain = {key.replace("___", "/").replace("__", "."): value for key, value in wanted.items()}

    def so(found: Any) -> bool:
        have = found.status.used
        return all(have.get(key) == value for key, value in plain.items())

    return dict((await cluster.wait_for(core_v1.ResourceQuota, name, so)).status.used)


LIVES = {
    "configMap": ("count/configmaps", "configmaps", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"),
    "secret": ("secrets", "secrets", "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n"),
    "service": (
        "services",
        "services",
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: 80}]}\n",
    ),
    "replication controller": (
        "replicationcontrollers",
        "replicationcontrollers",
        "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: x}\n"
        f"spec: {{replicas: 0, selector: {{a: b}}, template: {TEMPLATE}}}\n",
    ),
    "replica set": (
        "count/replicasets.apps",
        "replicasets",
        "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: x}\n"
        f"spec: {{replicas: 0, selector: {{matchLabels: {{a: b}}}}, template: {TEMPLATE}}}\n",
    ),
}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            what, marks=covers(f"{CONFORMANCE} create a ResourceQuota and capture the life of a {what}. [Conformance]")
        )
        for what in LIVES
    ],
)
async def test_the_life_of_a_thing(cluster: Cluster, what: str) -> None:
    resource, plural, manifest = LIVES[what]
    before = len(await _all(cluster, plural))
    await cluster.apply(quota(f"{resource}: '{before + 1}'"))
    await used(cluster, **{_word(resource): str(before)})
    (made,) = await cluster.apply(manifest)
    await used(cluster, **{_word(resource): str(before + 1)})
    with pytest.raises(StatusError, match="exceeded quota: q") as refused:
        await cluster.apply(manifest.replace("name: x", "name: y"))
    assert refused.value.code == 403
    await cluster.client.delete(type(made), "x", "default")
    await used(cluster, **{_word(resource): str(before)})


async def _all(cluster: Cluster, plural: str) -> Any:
    types = {"configmaps": core_v1.ConfigMap, "secrets": core_v1.Secret, "services": core_v1.Service}
    return (await cluster.client.list(types[plural], "default")).items if plural in types else ()


def _word(resource: str) -> str:
    return resource.replace("/", "___").replace(".", "__")


@covers(f"{CONFORMANCE} create a ResourceQuota and capture the life of a pod. [Conformance]")
async def test_the_life_of_a_pod(cluster: Cluster) -> None:
    await cluster.apply(quota("pods: '5', requests.cpu: '1', memory: 500Mi, limits.cpu: '2'"))
    await used(cluster, pods="0")
    await cluster.apply(POD % ("fits", "", SIZED))
    found = await used(cluster, pods="1")
    assert found == {"pods": "1", "requests.cpu": "500m", "memory": "252Mi", "limits.cpu": "1"}
    with pytest.raises(StatusError, match=r"exceeded quota: q, requested: memory=252Mi, used: memory=252Mi"):
        await cluster.apply(POD % ("too-much", "", SIZED))
    with pytest.raises(StatusError, match=r"failed quota: q: must specify limits\.cpu for: c"):
        await cluster.apply(POD % ("silent", "", ""))
    await cluster.client.delete(core_v1.Pod, "fits", "default")
    assert await used(cluster, pods="0") == {"pods": "0", "requests.cpu": "0", "memory": "0", "limits.cpu": "0"}


@covers(f"{CONFORMANCE} be able to update and delete ResourceQuota. [Conformance]")
async def test_a_quota_is_changed_and_deleted(cluster: Cluster) -> None:
    await cluster.apply(quota("configmaps: '1'"))
    await used(cluster, configmaps="1")
    manifest = LIVES["configMap"][2]
    with pytest.raises(StatusError, match="exceeded quota"):
        await cluster.apply(manifest)
    await cluster.apply(quota("configmaps: '2'"))
    await cluster.wait_for(core_v1.ResourceQuota, "q", lambda each: each.status.hard.get("configmaps") == "2")
    await cluster.apply(manifest)
    await used(cluster, configmaps="2")
    await cluster.client.delete(core_v1.ResourceQuota, "q", "default")
    await cluster.wait_gone(core_v1.ResourceQuota, "q")
    await cluster.apply(manifest.replace("name: x", "name: y"))


@covers(f"{CONFORMANCE} verify ResourceQuota with best effort scope. [Conformance]")
async def test_best_effort(cluster: Cluster) -> None:
    await cluster.apply(quota("pods: '5'", "best", ", scopes: [BestEffort]"))
    await cluster.apply(quota("pods: '5'", "other", ", scopes: [NotBestEffort]"))
    for name in ("best", "other"):
        await used(cluster, name, pods="0")
    await cluster.apply(POD % ("a", "", ""))
    await used(cluster, "best", pods="1")
    await cluster.apply(POD % ("b", "", SIZED))
    await used(cluster, "other", pods="1")
    await used(cluster, "best", pods="1")
    await cluster.client.delete(core_v1.Pod, "a", "default")
    await used(cluster, "best", pods="0")
    await used(cluster, "other", pods="1")


@covers(f"{CONFORMANCE} verify ResourceQuota with terminating scopes. [Conformance]")
async def test_terminating(cluster: Cluster) -> None:
    await cluster.apply(quota("pods: '5'", "ends", ", scopes: [Terminating]"))
    await cluster.apply(quota("pods: '5'", "stays", ", scopes: [NotTerminating]"))
    for name in ("ends", "stays"):
        await used(cluster, name, pods="0")
    await cluster.apply(POD % ("a", "activeDeadlineSeconds: 3600,", ""))
    await used(cluster, "ends", pods="1")
    await cluster.apply(POD % ("b", "", ""))
    await used(cluster, "stays", pods="1")
    await used(cluster, "ends", pods="1")


@covers(
    f"{CONFORMANCE} manage the lifecycle of a ResourceQuota [Conformance]",
    f"{CONFORMANCE} apply changes to a resourcequota status [Conformance]",
)
async def test_a_quota_itself(cluster: Cluster) -> None:
    await cluster.apply(quota("pods: '5', services: '10'"))
    await used(cluster, pods="0")
    everywhere = await cluster.client.list(core_v1.ResourceQuota, "")
    assert [each.metadata.name for each in everywhere.items] == ["q"]
    patched = await cluster.client.patch(core_v1.ResourceQuota, "q", "default", body={"spec": {"hard": {"pods": "7"}}})
    assert patched.spec.hard == {"pods": "7", "services": "10"}
    found = await cluster.wait_for(core_v1.ResourceQuota, "q", lambda each: each.status.hard.get("pods") == "7")
    assert found.status.used["pods"] == "0"
    wrong = {"status": {"hard": {"pods": "99"}}}
    await cluster.client.patch(core_v1.ResourceQuota, "q", "default", body=wrong, subresource="status")
    await cluster.wait_for(core_v1.ResourceQuota, "q", lambda each: each.status.hard.get("pods") == "7")
    await cluster.client.delete(core_v1.ResourceQuota, "q", "default")
    await cluster.wait_gone(core_v1.ResourceQuota, "q")
