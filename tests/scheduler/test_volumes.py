from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from sampan.api import kinds
from sampan.api.errors import StatusError
from sampan.api.types import core_v1, meta_v1, storage_v1
from sampan.client.client import Client
from sampan.runtime.clock import settle
from sampan.scheduler.volumebind import VolumeBinder
from sampan.scheduler.volumes import BIND_COMPLETED, Volumes
from tests.scheduler.lab import HOST, Lab, node, pod
from tests.scheduler.test_scheduler import Recording

LOCAL = "kubernetes.io/no-provisioner"


class Store:
    """Claims, volumes and classes by name."""

    def __init__(self) -> None:
        self.claims: dict[str, core_v1.PersistentVolumeClaim] = {}
        self.volumes: dict[str, core_v1.PersistentVolume] = {}
        self.classes: dict[str, storage_v1.StorageClass] = {}

    def view(self) -> Volumes:
        return Volumes(
            lambda namespace, name: self.claims.get(name),
            self.volumes.get,
            self.classes.get,
            lambda name: tuple(v for v in self.volumes.values() if (v.spec.storageClassName or "") == name),
        )

    def claim(self, name: str, bound: str = "", class_: str = "", size: str = "1Gi") -> None:
        self.claims[name] = core_v1.PersistentVolumeClaim(
            metadata=meta_v1.ObjectMeta(
                name=name, namespace="default", uid=f"uid-{name}", annotations={BIND_COMPLETED: "yes"} if bound else {}
            ),
            spec=core_v1.PersistentVolumeClaimSpec(
                volumeName=bound or None,
                storageClassName=class_ or None,
                accessModes=("ReadWriteOnce",),
                resources=core_v1.VolumeResourceRequirements(requests={"storage": size}),
            ),
        )

    def volume(self, name: str, on: str = "", class_: str = "", size: str = "1Gi") -> None:
        requirement = core_v1.NodeSelectorRequirement(key=HOST, operator="In", values=(on,))
        selector = core_v1.NodeSelector(nodeSelectorTerms=(core_v1.NodeSelectorTerm(matchExpressions=(requirement,)),))
        self.volumes[name] = core_v1.PersistentVolume(
            metadata=meta_v1.ObjectMeta(name=name, resourceVersion="7"),
            spec=core_v1.PersistentVolumeSpec(
                capacity={"storage": size},
                accessModes=("ReadWriteOnce",),
                storageClassName=class_ or None,
                nodeAffinity=core_v1.VolumeNodeAffinity(required=selector) if on else None,
            ),
            status=core_v1.PersistentVolumeStatus(phase="Available"),
        )

    def late(self, name: str, provisioner: str) -> None:
        self.classes[name] = storage_v1.StorageClass(
            metadata=meta_v1.ObjectMeta(name=name), provisioner=provisioner, volumeBindingMode="WaitForFirstConsumer"
        )


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def lab(store: Store) -> Lab:
    return Lab(node("a"), node("b"), volumes=store.view())


def using(*claims: str) -> core_v1.Pod:
    return pod(volumes=[{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims])


def test_a_bound_volume_ties_its_pod_to_the_nodes_that_reach_it(store: Store, lab: Lab) -> None:
    store.volume("v", on="a")
    store.claim("c", bound="v")
    assert lab.able(using("c")) == {"a"}
    store.volume("w", on="elsewhere")
    store.claim("d", bound="w")
    assert lab.why(using("d")) == "0/2 nodes are available: 2 node(s) didn't match PersistentVolume's node affinity."


def test_a_claim_that_is_missing_or_unbound_blocks_everywhere(store: Store, lab: Lab) -> None:
    assert lab.why(using("c")) == '0/2 nodes are available: persistentvolumeclaim "c" not found.'
    store.claim("c")
    assert lab.why(using("c")) == "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims."


def test_claims_that_wait_need_a_volume_the_node_reaches(store: Store, lab: Lab) -> None:
    store.late("local", LOCAL)
    store.volume("small", on="a", class_="local", size="1Gi")
    store.volume("large", on="b", class_="local", size="10Gi")
    store.claim("c", class_="local", size="5Gi")
    assert lab.able(using("c")) == {"b"}
    store.claim("d", class_="local", size="50Gi")
    assert lab.why(using("d")) == (
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind."
    )


def test_claims_that_are_provisioned_can_go_anywhere(store: Store, lab: Lab) -> None:
    store.late("dynamic", "example.com/provisioner")
    store.claim("c", class_="dynamic")
    assert lab.able(using("c")) == {"a", "b"}


async def prepared(store: Store, lab: Lab, node: str, *claims: str) -> tuple[Recording, asyncio.Task[None], Any]:
    wire = Recording()
    wire.answer = lambda request: None
    binder = VolumeBinder(Client(wire, kinds.ALL), lab.snapshot)
    task = asyncio.create_task(binder.prepare("default", claims, node))
    await settle()
    return wire, task, binder


async def test_a_free_volume_is_claimed_and_waited_for(store: Store, lab: Lab) -> None:
    store.late("local", LOCAL)
    store.volume("v", on="a", class_="local")
    store.claim("c", class_="local")
    wire, task, binder = await prepared(store, lab, "a", "c")
    ((_, body),) = wire.of("PATCH", "/persistentvolumes/v")
    assert body["spec"]["claimRef"]["name"] == "c"
    assert body["spec"]["claimRef"]["uid"] == "uid-c"
    assert body["metadata"]["resourceVersion"] == "7"
    assert not task.done()
    store.claim("c", bound="v", class_="local")
    binder.changed()
    await asyncio.wait_for(task, 5)


async def test_a_provisioner_is_asked_by_naming_the_node(store: Store, lab: Lab) -> None:
    store.late("dynamic", "example.com/provisioner")
    store.claim("c", class_="dynamic")
    wire, task, binder = await prepared(store, lab, "b", "c")
    ((_, body),) = wire.of("PATCH", "/persistentvolumeclaims/c")
    assert body == {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "b"}}}
    store.claims.clear()
    binder.changed()
    with pytest.raises(StatusError, match="not found"):
        await asyncio.wait_for(task, 5)


def test_a_volume_that_is_promised_to_another_claim_is_not_free(store: Store, lab: Lab) -> None:
    store.late("local", LOCAL)
    store.volume("v", on="a", class_="local")
    store.claim("c", class_="local")
    taken = store.volumes["v"]
    reference = core_v1.ObjectReference(namespace="default", name="other", uid="x")
    store.volumes["v"] = msgspec.structs.replace(taken, spec=msgspec.structs.replace(taken.spec, claimRef=reference))
    assert lab.able(using("c")) == set()
