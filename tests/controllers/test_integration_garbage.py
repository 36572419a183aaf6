"""Deletion on a whole cluster: dependents in the background, in the foreground and left behind; namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.types import apps_v1, core_v1, networking_v1
from sampan.testing.cluster import Cluster
from tests.covers import covers

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "web:1"}]}
"""
CONTROLLER = """
apiVersion: v1
kind: ReplicationController
metadata: {name: %s}
spec:
  replicas: 2
  selector: {app: %s}
  template:
    metadata: {labels: {app: %s}}
    spec: {containers: [{name: main, image: "web:1"}]}
"""


def controller(name: str = "web") -> str:
    return CONTROLLER % (name, name, name)


async def running(cluster: Cluster, count: int = 2) -> tuple[core_v1.Pod, ...]:
    def all_run(found: Any) -> bool:
        return len(found) == count and all(pod.status.phase == "Running" for pod in found)

    return await cluster.wait_until(core_v1.Pod, all_run)


def config(name: str, *owners: tuple[str, str], block: bool = True, finalizers: tuple[str, ...] = ()) -> str:
    listed = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": uid, "blockOwnerDeletion": block}
        for owner, uid in owners
    ]
    metadata = {"name": name, "ownerReferences": listed, "finalizers": list(finalizers)}
    return str({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


# --- the three ways


@covers("[sig-api-machinery] Garbage collector should delete RS created by deployment when not orphaning [Conformance]")
async def test_in_the_background_the_owner_goes_at_once(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENT)
    await running(cluster)
    assert await cluster.client.delete(apps_v1.Deployment, "web", "default", propagation="Background") is None
    await cluster.wait_until(apps_v1.ReplicaSet, lambda found: not found)
    await cluster.wait_until(core_v1.Pod, lambda found: not found)


@covers("[sig-api-machinery] Garbage collector should delete pods created by rc when not orphaning [Conformance]")
async def test_pods_go_with_their_controller(cluster: Cluster) -> None:
    await cluster.apply(controller())
    await running(cluster)
    await cluster.client.delete(core_v1.ReplicationController, "web", "default", propagation="Background")
    await cluster.wait_until(core_v1.Pod, lambda found: not found)


@covers(
    "[sig-api-machinery] Garbage collector should keep the rc around until all its pods are deleted if the"
    " deleteOptions says so [Conformance] [Serial]"
)
async def test_in_the_foreground_the_owner_waits(cluster: Cluster) -> None:
    await cluster.apply(controller())
    pods = await running(cluster)
    for pod in pods:
        body = {"metadata": {"finalizers": ["example.org/hold"]}}
        await cluster.client.patch(core_v1.Pod, pod.metadata.name or "", "default", body=body)
    remains = await cluster.client.delete(core_v1.ReplicationController, "web", "default", propagation="Foreground")
    assert remains is not None and remains.metadata.finalizers == ("foregroundDeletion",)
    await cluster.wait_until(core_v1.Pod, lambda found: all(pod.metadata.deletionTimestamp for pod in found))
    await cluster.client.get(core_v1.ReplicationController, "web", "default")
    for pod in pods:
        body = {"metadata": {"finalizers": None}}
        await cluster.client.patch(core_v1.Pod, pod.metadata.name or "", "default", body=body)
    await cluster.wait_gone(core_v1.ReplicationController, "web")
    await cluster.wait_until(core_v1.Pod, lambda found: not found)


async def test_a_foreground_deletion_reaches_grandchildren_first(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENT)
    await running(cluster)
    ends: list[str] = []
    for type in (apps_v1.Deployment, apps_v1.ReplicaSet, core_v1.Pod):
        cluster.informers.get(type).subscribe(
            lambda event, old, new: ends.append(old.__class__.__name__) if event == "DELETED" else None
        )
    await cluster.client.delete(apps_v1.Deployment, "web", "default", propagation="Foreground")
    await cluster.wait_gone(apps_v1.Deployment, "web")
    assert (await cluster.client.list(core_v1.Pod, "default")).items == ()
    assert ends[-1] == "Deployment"


@covers(
    "[sig-api-machinery] Garbage collector should orphan RS created by deployment when"
    " deleteOptions.PropagationPolicy is Orphan [Conformance]"
)
async def test_a_replica_set_is_left_behind(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENT)
    await running(cluster)
    await cluster.client.delete(apps_v1.Deployment, "web", "default", propagation="Orphan")
    await cluster.wait_gone(apps_v1.Deployment, "web")
    (left,) = await cluster.wait_until(apps_v1.ReplicaSet, lambda found: len(found) == 1)
    assert left.metadata.ownerReferences == ()
    assert left.metadata.deletionTimestamp is None
    await running(cluster)


@covers(
    "[sig-api-machinery] Garbage collector should orphan pods created by rc if delete options say so"
    " [Conformance] [Serial]"
)
async def test_pods_are_left_behind(cluster: Cluster) -> None:
    await cluster.apply(controller())
    await running(cluster)
    await cluster.client.delete(core_v1.ReplicationController, "web", "default", propagation="Orphan")
    await cluster.wait_gone(core_v1.ReplicationController, "web")
    left = await cluster.wait_until(core_v1.Pod, lambda found: all(not pod.metadata.ownerReferences for pod in found))
    assert len(left) == 2


# --- several owners


@covers(
    "[sig-api-machinery] Garbage collector should not delete dependents that have both valid owner and owner that's"
    " waiting for dependents to be deleted [Conformance] [Serial]"
)
async def test_a_dependent_with_another_owner_stays(cluster: Cluster) -> None:
    goes, stays = await cluster.apply(config("goes") + "\n---\n" + config("stays"))
    owners = (("goes", goes.metadata.uid), ("stays", stays.metadata.uid))
    await cluster.apply(config("child", *owners))
    await cluster.client.delete(core_v1.ConfigMap, "goes", "default", propagation="Foreground")
    await cluster.wait_gone(core_v1.ConfigMap, "goes")
    child = await cluster.wait_for(core_v1.ConfigMap, "child", lambda each: len(each.metadata.ownerReferences) == 1)
    assert child.metadata.ownerReferences[0].name == "stays"
    await cluster.client.delete(core_v1.ConfigMap, "stays", "default")
    await cluster.wait_gone(core_v1.ConfigMap, "child")


@covers("[sig-api-machinery] Garbage collector should not be blocked by dependency circle [Conformance]")
async def test_a_circle_goes_too(cluster: Cluster) -> None:
    one, two, three = await cluster.apply("\n---\n".join(config(name) for name in ("one", "two", "three")))
    for object, owner in ((one, two), (two, three), (three, one)):
        await cluster.apply(config(object.metadata.name, (owner.metadata.name, owner.metadata.uid)))
    await cluster.client.delete(core_v1.ConfigMap, "one", "default", propagation="Foreground")
    for name in ("one", "two", "three"):
        await cluster.wait_gone(core_v1.ConfigMap, name)


async def test_an_owner_that_never_was_takes_its_dependents_along(cluster: Cluster) -> None:
    await cluster.apply(config("child", ("nobody", "00000000-0000-0000-0000-000000000000")))
    await cluster.wait_gone(core_v1.ConfigMap, "child")


async def test_an_owner_of_another_name_but_the_uid_is_not_it(cluster: Cluster) -> None:
    """The coordinates must lead to the very uid: a reference with a wrong name dangles."""
    (owner,) = await cluster.apply(config("owner"))
    await cluster.apply(config("child", ("other", owner.metadata.uid)))
    await cluster.wait_gone(core_v1.ConfigMap, "child")
    await cluster.client.get(core_v1.ConfigMap, "owner", "default")


async def test_a_dependent_that_does_not_block_is_not_waited_for(cluster: Cluster) -> None:
    (owner,) = await cluster.apply(config("owner"))
    await cluster.apply(config("child", ("owner", owner.metadata.uid), block=False, finalizers=("example.org/hold",)))
    await cluster.client.delete(core_v1.ConfigMap, "owner", "default", propagation="Foreground")
    await cluster.wait_gone(core_v1.ConfigMap, "owner")
    child = await cluster.wait_for(core_v1.ConfigMap, "child", lambda each: each.metadata.deletionTimestamp)
    assert child.metadata.finalizers == ("example.org/hold",)


async def test_many_dependents(cluster: Cluster) -> None:
    (owner,) = await cluster.apply(config("owner"))
    await cluster.apply("\n---\n".join(config(f"c{at}", ("owner", owner.metadata.uid)) for at in range(300)))
    await cluster.client.delete(core_v1.ConfigMap, "owner", "default", propagation="Background")
    await cluster.wait_until(core_v1.ConfigMap, lambda found: not [e for e in found if e.metadata.ownerReferences])


# --- namespaces


@covers(
    "[sig-api-machinery] Namespaces should ensure that all pods are removed when a namespace is deleted"
    " [Conformance] [Serial]"
)
async def test_a_namespace_takes_everything_along(cluster: Cluster) -> None:
    await cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    await cluster.wait_for(core_v1.ServiceAccount, "default", namespace="shop")
    await cluster.apply(DEPLOYMENT, namespace="shop")
    await cluster.wait_for(apps_v1.Deployment, "web", lambda d: d.status.readyReplicas == 2, namespace="shop")
    going = await cluster.client.delete(core_v1.Namespace, "shop")
    assert going is not None and going.status.phase == "Terminating"
    await cluster.wait_gone(core_v1.Namespace, "shop")
    for type in (core_v1.Pod, apps_v1.Deployment, apps_v1.ReplicaSet, core_v1.ConfigMap, core_v1.ServiceAccount):
        assert (await cluster.client.list(type, "shop")).items == ()


@covers(
    "[sig-api-machinery] Namespaces should ensure that all services are removed when a namespace is deleted"
    " [Conformance] [Serial]"
)
async def test_a_namespace_that_comes_again_is_empty(cluster: Cluster) -> None:
    service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {a: b}, ports: [{port: 80}]}}"
    for _ in range(2):
        await cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
        assert (await cluster.client.list(core_v1.Service, "shop")).items == ()
        await cluster.apply(service, namespace="shop")
        await cluster.client.delete(core_v1.Namespace, "shop")
        await cluster.wait_gone(core_v1.Namespace, "shop")


@covers("[sig-api-machinery] OrderedNamespaceDeletion namespace deletion should delete pod first [Conformance]")
async def test_pods_go_before_what_protects_them(cluster: Cluster) -> None:
    await cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    await cluster.wait_for(core_v1.ServiceAccount, "default", namespace="shop")
    await cluster.apply(
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: held, finalizers: [example.org/hold]}
        spec: {containers: [{name: main, image: i}]}
        ---
        apiVersion: networking.k8s.io/v1
        kind: NetworkPolicy
        metadata: {name: closed}
        spec: {podSelector: {}}
        """,
        namespace="shop",
    )
    await cluster.client.delete(core_v1.Namespace, "shop")

    def remains(namespace: core_v1.Namespace) -> bool:
        return any(c.type == "NamespaceContentRemaining" and c.status == "True" for c in namespace.status.conditions)

    namespace = await cluster.wait_for(core_v1.Namespace, "shop", remains)
    told = {each.type: each.message for each in namespace.status.conditions}
    assert told["NamespaceContentRemaining"] == "Some resources are remaining: pods. has 1 resource instances"
    assert told["NamespaceFinalizersRemaining"] == (
        "Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances"
    )
    assert (await cluster.client.get(networking_v1.NetworkPolicy, "closed", "shop")).metadata.deletionTimestamp is None
    await cluster.client.patch(core_v1.Pod, "held", "shop", body={"metadata": {"finalizers": None}})
    await cluster.wait_gone(core_v1.Namespace, "shop", timeout=20)


async def test_nothing_new_comes_into_a_namespace_that_goes(cluster: Cluster) -> None:
    await cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    await cluster.apply(config("held", finalizers=("example.org/hold",)), namespace="shop")
    await cluster.client.delete(core_v1.Namespace, "shop")
    with pytest.raises(StatusError) as refused:
        await cluster.apply(config("new"), namespace="shop")
    assert refused.value.code == 403
    assert "because it is being terminated" in str(refused.value)
    await cluster.client.patch(core_v1.ConfigMap, "held", "shop", body={"metadata": {"finalizers": None}})
    await cluster.wait_gone(core_v1.Namespace, "shop", timeout=20)


@covers("[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace [Conformance]")
async def test_the_root_certificate_is_put_back(cluster: Cluster) -> None:
    await cluster.wait_for(core_v1.ConfigMap, "kube-root-ca.crt")
    await cluster.client.delete(core_v1.ConfigMap, "kube-root-ca.crt", "default")
    again = await cluster.wait_for(core_v1.ConfigMap, "kube-root-ca.crt")
    await cluster.client.patch(core_v1.ConfigMap, "kube-root-ca.crt", "default", body={"data": {"ca.crt": "forged"}})
    await cluster.wait_for(core_v1.ConfigMap, "kube-root-ca.crt", lambda each: each.data == again.data)
