"""Volumes made to measure, what is in use stays, claims for one pod; and all of it on a whole cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.types import core_v1, storage_v1
from sampan.controllers.settings import Settings
from sampan.controllers.volumes import ephemeral, protection, provisioning
from sampan.controllers.volumes.words import Claim, Volume
from sampan.runtime.clock import rfc3339
from sampan.testing.cluster import Cluster
from sampan.testing.plans import names
from sampan.testing.world import World
from tests.controllers.test_volumes import CLAIM, CLASS, claim, reasons, volume
from tests.covers import covers

# --- provisioning


def provisioner(root: str) -> tuple[World, Any]:
    settings = Settings(volume_root=root)
    controllers = (
        provisioning.declare_class(settings),
        provisioning.declare_claims(settings),
        provisioning.declare_volumes(settings),
    )
    here = World(*controllers)
    here.load(CLASS % ("standard", "sampan.dev/local", "WaitForFirstConsumer"))
    here.load("{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {kubernetes.io/hostname: host1}}}")
    return here, controllers


ASKED = {
    "volume.kubernetes.io/storage-provisioner": "sampan.dev/local",
    "volume.kubernetes.io/selected-node": "n1",
}


def test_a_volume_is_made_on_the_chosen_node() -> None:
    here, (_, claims, _) = provisioner("/data/volumes")
    here.load(claim(storage="standard", size="3Gi", **ASKED))
    assert reasons(here.plan(claims, "c")) == ["ProvisioningSucceeded"]
    made = here.get(Volume, "pvc-uid-c")
    assert made.spec.local is not None and made.spec.local.path == "/data/volumes/pvc-uid-c"
    assert made.spec.claimRef is not None and made.spec.claimRef.uid == "uid-c"
    assert dict(made.spec.capacity) == {"storage": "3Gi"}
    assert made.spec.persistentVolumeReclaimPolicy == "Delete"
    required = made.spec.nodeAffinity.required if made.spec.nodeAffinity else None
    assert required is not None
    assert required.nodeSelectorTerms[0].matchExpressions[0].values == ("host1",)
    assert here.plan(claims, "c") == []


@pytest.mark.parametrize("annotations", [{}, {**ASKED, "volume.kubernetes.io/storage-provisioner": "other"}])
def test_what_is_not_asked_of_us(annotations: dict[str, str]) -> None:
    here, (_, claims, _) = provisioner("/data/volumes")
    here.load(claim(storage="standard", **annotations))
    assert here.plan(claims, "c") == []


def test_block_volumes_are_not_possible() -> None:
    here, (_, claims, _) = provisioner("/data/volumes")
    here.load(claim(storage="standard", **ASKED).replace("  accessModes", "  volumeMode: Block\n  accessModes"))
    assert reasons(here.plan(claims, "c")) == ["ProvisioningFailed"]


def test_a_claim_may_grow() -> None:
    here, (_, claims, _) = provisioner("/data/volumes")
    here.load(claim(storage="standard", **ASKED))
    here.plan(claims, "c")
    bound = claim(storage="standard", size="5Gi", volume="pvc-uid-c", **ASKED)
    here.load(bound + "status: {phase: Bound, capacity: {storage: 1Gi}}")
    here.plan(claims, "c")
    assert dict(here.get(Volume, "pvc-uid-c").spec.capacity) == {"storage": "5Gi"}
    assert dict(here.get(Claim, "c").status.capacity) == {"storage": "5Gi"}
    assert here.plan(claims, "c") == []


def limited_class(here: World, parameters: dict[str, str]) -> None:
    there = here.get(storage_v1.StorageClass, "standard")
    here.add(replace(there, parameters=parameters))


def test_a_file_system_of_its_own_is_the_class_s_wish() -> None:
    here, (_, claims, _) = provisioner("/data/volumes")
    limited_class(here, {"fsType": "ext4"})
    here.load(claim(storage="standard", **ASKED))
    here.plan(claims, "c")
    made = here.get(Volume, "pvc-uid-c")
    assert made.spec.local is not None and made.spec.local.fsType == "ext4"


def test_a_file_system_grows_when_its_node_says_so() -> None:
    here, (_, claims, _) = provisioner("/data/volumes")
    limited_class(here, {"fsType": "ext4"})
    here.load(claim(storage="standard", **ASKED))
    here.plan(claims, "c")
    bound = claim(storage="standard", size="5Gi", volume="pvc-uid-c", **ASKED)
    here.load(bound + "status: {phase: Bound, capacity: {storage: 1Gi}}")
    here.plan(claims, "c")
    assert dict(here.get(Volume, "pvc-uid-c").spec.capacity) == {"storage": "5Gi"}
    status = here.get(Claim, "c").status
    assert dict(status.capacity) == {"storage": "1Gi"}
    assert [(each.type, each.status, each.message) for each in status.conditions] == [
        (
            "FileSystemResizePending",
            "True",
            "Waiting for user to (re-)start a pod to finish file system resize of volume on node.",
        )
    ]
    assert here.plan(claims, "c") == []


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [({"fsType": "xfs"}, "fsType xfs"), ({"type": "fast"}, "type"), ({"fsType": ""}, "fsType ")],
)
def test_parameters_that_we_do_not_know(parameters: dict[str, str], wrong: str) -> None:
    here, (_, claims, _) = provisioner("/data/volumes")
    limited_class(here, parameters)
    here.load(claim(storage="standard", **ASKED))
    assert reasons(actions := here.plan(claims, "c")) == ["ProvisioningFailed"]
    assert f"sampan.dev/local knows no {wrong}; give fsType: ext4, or no parameters" in str(actions)
    assert here.all(Volume) == []


def test_data_go_with_a_released_volume(tmp_path: Path) -> None:
    here, (_, claims, volumes) = provisioner(str(tmp_path))
    here.load(claim(storage="standard", **ASKED))
    here.plan(claims, "c")
    data = tmp_path / "pvc-uid-c"
    data.mkdir()
    (data / "file").write_text("x")
    made = here.get(Volume, "pvc-uid-c")
    assert here.plan(volumes, "pvc-uid-c", "") == []
    here.add(replace(made, status=replace(made.status, phase="Released")))
    assert names(here.plan(volumes, "pvc-uid-c", ""))[-1] == "Delete PersistentVolume pvc-uid-c"
    assert not data.exists()


def test_other_peoples_data_stay(tmp_path: Path) -> None:
    here, (_, _, volumes) = provisioner(str(tmp_path))
    (tmp_path / "v").mkdir()
    here.load(volume(phase="Released", policy="Delete"))
    assert here.plan(volumes, "v", "") == []
    assert (tmp_path / "v").exists()


def test_the_class_is_made_once() -> None:
    here, (classes, _, _) = provisioner("/data/volumes")
    here.remove(here.get(storage_v1.StorageClass, "standard"))
    here.load("{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}")
    here.plan(classes, "kube-system", "")
    made = here.get(storage_v1.StorageClass, "standard")
    assert made.metadata.annotations["storageclass.kubernetes.io/is-default-class"] == "true"
    assert made.volumeBindingMode == "WaitForFirstConsumer" and dict(made.parameters) == {"fsType": "ext4"}
    plain = here.get(storage_v1.StorageClass, "directory")
    assert not plain.metadata.annotations and not plain.parameters and plain.provisioner == "sampan.dev/local"
    here.remove(made)
    assert here.plan(classes, "kube-system", "") == []
    without = provisioning.declare_class(Settings())
    assert list(without.plan(here.get(core_v1.Namespace, "kube-system", ""), here.view())) == []


# --- protection

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s, uid: uid-%s}
spec:
  nodeName: "%s"
  containers: [{name: main, image: i}]
  volumes: [%s]
status: {phase: %s}
"""
BY_CLAIM = "{name: data, persistentVolumeClaim: {claimName: c}}"
EPHEMERAL = "{name: data, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce]}}}}"


@pytest.mark.parametrize(
    ("node", "phase", "stays"),
    [("n1", "Running", True), ("n1", "Pending", True), ("", "Pending", False), ("n1", "Succeeded", False)],
)
def test_a_claim_in_use_stays(monkeypatch: pytest.MonkeyPatch, node: str, phase: str, stays: bool) -> None:
    controller = protection.declare_claims(Settings())
    here = World(controller)
    here.load(claim() + "---" + POD % ("p", "p", node, BY_CLAIM, phase))

    async def no(*_: Any) -> bool:
        return False

    monkeypatch.setattr(protection, "_in_use", no)
    going = replace(
        here.get(Claim, "c").metadata,
        deletionTimestamp=rfc3339(here.now),
        finalizers=("kubernetes.io/pvc-protection",),
    )
    here.add(replace(here.get(Claim, "c"), metadata=going))
    here.plan(controller, "c")
    assert bool(here.all(Claim)) is stays


def test_a_bound_volume_stays() -> None:
    controller = protection.declare_volumes(Settings())
    here = World(controller)
    here.load(volume(phase="Bound"))
    made = here.get(Volume, "v")
    going = replace(made.metadata, deletionTimestamp=rfc3339(here.now), finalizers=("kubernetes.io/pv-protection",))
    here.add(replace(made, metadata=going))
    assert here.plan(controller, "v", "") == []
    here.add(replace(here.get(Volume, "v"), status=core_v1.PersistentVolumeStatus(phase="Released")))
    here.plan(controller, "v", "")
    assert here.all(Volume) == []


# --- ephemeral volumes


def test_a_claim_for_one_pod() -> None:
    controller = ephemeral.declare(Settings())
    here = World(controller)
    here.load(POD % ("p", "p", "", EPHEMERAL, "Pending"))
    here.plan(controller, "p")
    made = here.get(Claim, "p-data")
    assert made.metadata.ownerReferences[0].uid == "uid-p" and made.metadata.ownerReferences[0].controller
    assert made.spec.accessModes == ("ReadWriteOnce",)
    assert here.plan(controller, "p") == []
    assert protection.claims_of(here.get(core_v1.Pod, "p")) == ["p-data"]
    here.add(replace(made, metadata=replace(made.metadata, ownerReferences=())))
    assert reasons(here.plan(controller, "p")) == ["FailedScheduling"]


# --- on a whole cluster


@pytest.mark.cluster(nodes=2, settings=Settings(root_ca="x", volume_root="/nowhere/volumes"))
async def test_a_pod_gets_a_volume_made_to_measure(cluster: Cluster) -> None:
    await cluster.wait_for(storage_v1.StorageClass, "standard")
    text = CLAIM.replace('  storageClassName: "%(storage)s"\n', "").replace(", uid: uid-%(name)s", "")
    await cluster.apply(text % {"name": "c", "size": "1Gi", "volume": "", "annotations": ""})
    pending = await cluster.wait_for(Claim, "c", lambda each: each.status.phase == "Pending")
    assert pending.spec.storageClassName == "standard"
    await cluster.apply((POD[: POD.index("status:")] % ("p", "p", "", BY_CLAIM)).replace(", uid: uid-p", ""))
    pod = await cluster.wait_for(core_v1.Pod, "p", lambda each: each.status.phase == "Running")
    bound = await cluster.wait_for(Claim, "c", lambda each: each.status.phase == "Bound")
    made = await cluster.wait_for(Volume, bound.spec.volumeName or "", lambda each: each.status.phase == "Bound")
    required = made.spec.nodeAffinity.required if made.spec.nodeAffinity else None
    assert required is not None
    assert required.nodeSelectorTerms[0].matchExpressions[0].values == (pod.spec.nodeName,)
    await cluster.client.delete(Claim, "c", "default")
    held = await cluster.wait_for(Claim, "c", lambda each: each.metadata.deletionTimestamp)
    assert held.metadata.finalizers == ("kubernetes.io/pvc-protection",)
    await cluster.client.delete(core_v1.Pod, "p", "default")
    await cluster.wait_gone(Claim, "c")
    await cluster.wait_gone(Volume, made.metadata.name or "")


@covers(
    "[sig-storage] PersistentVolumes CSI Conformance should run through the lifecycle of a PV and a PVC [Conformance]"
)
async def test_the_life_of_a_volume_by_hand(cluster: Cluster) -> None:
    await cluster.apply(volume("by-hand").replace("status: {phase: Available}", ""))
    await cluster.wait_for(Volume, "by-hand", lambda each: each.status.phase == "Available")
    await cluster.apply(claim().replace(", uid: uid-c", ""))
    await cluster.wait_for(Claim, "c", lambda each: each.status.phase == "Bound")
    await cluster.client.patch(Claim, "c", "default", body={"metadata": {"labels": {"a": "b"}}})
    await cluster.client.delete(Claim, "c", "default")
    await cluster.wait_gone(Claim, "c")
    await cluster.wait_for(Volume, "by-hand", lambda each: each.status.phase == "Released")
    await cluster.client.delete(Volume, "by-hand")
    await cluster.wait_gone(Volume, "by-hand")


@covers(
    "[sig-storage] VolumeAttributesClass [FeatureGate:VolumeAttributesClass] should run through the lifecycle of a "
    "VolumeAttributesClass [Conformance]"
)
async def test_the_life_of_a_class_of_attributes(cluster: Cluster) -> None:
    kind = storage_v1.VolumeAttributesClass
    body = """
apiVersion: storage.k8s.io/v1
kind: VolumeAttributesClass
metadata: {name: %s, labels: {set: one}}
driverName: e2e.example.com
parameters: {iops: "10"}
"""
    (made,) = await cluster.apply(body % "a")
    assert (await cluster.client.get(kind, "a")).metadata.uid == made.metadata.uid
    await cluster.client.patch(kind, "a", body={"metadata": {"labels": {"patched": "yes"}}})
    (found,) = (await cluster.client.list(kind, labels="patched=yes")).items
    assert found.parameters == {"iops": "10"}
    await cluster.client.delete(kind, "a")
    await cluster.wait_gone(kind, "a")

    (made,) = await cluster.apply(body % "b")
    label = replace(made, metadata=replace(made.metadata, labels={"set": "one", "updated": "yes"}))
    assert (await cluster.client.update(label)).metadata.labels["updated"] == "yes"
    await cluster.client.delete_collection(kind, labels="set=one")
    await cluster.wait_gone(kind, "b")


async def test_a_class_of_attributes_that_a_claim_names_stays(cluster: Cluster) -> None:
    kind = storage_v1.VolumeAttributesClass
    await cluster.apply(
        "apiVersion: storage.k8s.io/v1\nkind: VolumeAttributesClass\nmetadata: {name: fast}\n"
        "driverName: e2e.example.com\nparameters: {iops: '10'}"
    )
    named = claim().replace(", uid: uid-c", "").replace("spec:\n", "spec:\n  volumeAttributesClassName: fast\n", 1)
    (made,) = await cluster.apply(named)
    assert made.spec.volumeAttributesClassName == "fast"
    await cluster.client.delete(kind, "fast")
    held = await cluster.wait_for(kind, "fast", lambda each: each.metadata.deletionTimestamp)
    assert held.metadata.finalizers == ("kubernetes.io/vac-protection",)
    await cluster.client.delete(Claim, "c", "default")
    await cluster.wait_gone(kind, "fast")
