"""Claims and volumes: how they find, keep, lose and protect each other; volumes made to measure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.errors import not_found_error
from sampan.api.types import core_v1, storage_v1
from sampan.controllers.settings import Settings
from sampan.controllers.volumes import binding, ephemeral, match, protection, provisioning
from sampan.controllers.volumes.words import Claim, Volume
from sampan.runtime.actions import Action, Emit
from sampan.runtime.clock import rfc3339
from sampan.testing.cluster import Cluster
from sampan.testing.plans import names
from sampan.testing.world import World
from tests.covers import covers

CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %(name)s, uid: uid-%(name)s, annotations: {%(annotations)s}}
spec:
  storageClassName: "%(storage)s"
  accessModes: [ReadWriteOnce]
  volumeName: "%(volume)s"
  resources: {requests: {storage: %(size)s}}
"""
VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: %(name)s, labels: {tier: %(tier)s}}
spec:
  storageClassName: "%(storage)s"
  accessModes: [%(modes)s]
  capacity: {storage: %(size)s}
  hostPath: {path: /x}
  persistentVolumeReclaimPolicy: %(policy)s
  %(claim)s
status: {phase: %(phase)s}
"""
CLASS = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: %s}
provisioner: %s
volumeBindingMode: %s
reclaimPolicy: Delete
"""


def claim(name: str = "c", *, storage: str = "", size: str = "1Gi", volume: str = "", **annotations: str) -> str:
    listed = ", ".join(f'"{key}": "{value}"' for key, value in annotations.items())
    return CLAIM % {"name": name, "storage": storage, "size": size, "volume": volume, "annotations": listed}


def volume(name: str = "v", **how: str) -> str:
    given = {
        "storage": "",
        "size": "1Gi",
        "modes": "ReadWriteOnce",
        "phase": "Available",
        "policy": "Retain",
        "tier": "any",
        "claim": "",
    }
    return VOLUME % {"name": name, **given, **how}


class Store:
    """A world with both binders."""

    def __init__(self) -> None:
        self.claims = binding.declare_claims(Settings())
        self.volumes = binding.declare_volumes(Settings())
        self.here = World(self.claims, self.volumes)

    def bind(self, name: str = "c") -> list[Action]:
        return self.here.plan(self.claims, name)

    def look(self, name: str = "v") -> list[Action]:
        return self.here.plan(self.volumes, name, "")

    def claim(self, name: str = "c") -> Claim:
        return self.here.get(Claim, name)

    def volume(self, name: str = "v") -> Volume:
        return self.here.get(Volume, name)


@pytest.fixture
def store() -> Store:
    return Store()


def reasons(actions: list[Action]) -> list[str]:
    return [each.reason for each in actions if isinstance(each, Emit)]


# --- binding


def test_a_claim_and_a_volume_that_fit_are_bound(store: Store) -> None:
    store.here.load(claim() + "---" + volume(size="2Gi"))
    store.bind()
    bound, made = store.volume(), store.claim()
    assert bound.spec.claimRef is not None
    assert (bound.spec.claimRef.name, bound.spec.claimRef.uid) == ("c", "uid-c")
    assert bound.status.phase == "Bound"
    assert bound.metadata.annotations["pv.kubernetes.io/bound-by-controller"] == "yes"
    assert made.spec.volumeName == "v"
    assert (made.status.phase, dict(made.status.capacity)) == ("Bound", {"storage": "2Gi"})
    assert made.metadata.annotations["pv.kubernetes.io/bind-completed"] == "yes"
    assert store.bind() == []
    assert store.look() == []


def test_the_smallest_that_fits(store: Store) -> None:
    store.here.load(claim(size="2Gi"))
    store.here.load("---".join(volume(f"v{size}", size=f"{size}Gi") for size in (1, 8, 3)))
    store.bind()
    assert store.claim().spec.volumeName == "v3"


@pytest.mark.parametrize(
    "how",
    [
        {"size": "500Mi"},
        {"storage": "fast"},
        {"modes": "ReadOnlyMany"},
        {"phase": "Released"},
        {"claim": "claimRef: {namespace: default, name: other}"},
        {"claim": "claimRef: {namespace: default, name: c, uid: earlier}"},
        {"claim": "volumeMode: Block"},
    ],
)
def test_what_does_not_fit(store: Store, how: dict[str, str]) -> None:
    store.here.load(claim() + "---" + volume(**how))
    actions = store.bind()
    assert store.claim().spec.volumeName in ("", None)
    assert reasons(actions) == ["FailedBinding"]


def test_a_selector_chooses_among_labels() -> None:
    wanted = Store()
    wanted.here.load(claim() + "---" + volume("gold", tier="gold", size="5Gi") + "---" + volume("tin", tier="tin"))
    made = wanted.claim()
    selector = core_v1.PersistentVolumeClaim().spec.selector
    assert selector is None
    wanted.here.load(claim().replace("  accessModes", "  selector: {matchLabels: {tier: gold}}\n  accessModes"))
    wanted.bind(made.metadata.name or "")
    assert wanted.claim().spec.volumeName == "gold"


def test_a_volume_that_is_kept_for_the_claim_goes_first(store: Store) -> None:
    kept = volume("kept", size="9Gi", claim="claimRef: {namespace: default, name: c}")
    store.here.load(claim() + "---" + volume() + "---" + kept)
    store.bind()
    assert store.claim().spec.volumeName == "kept"
    assert "pv.kubernetes.io/bound-by-controller" not in store.volume("kept").metadata.annotations


def test_a_claim_that_names_its_volume(store: Store) -> None:
    store.here.load(claim(volume="v"))
    store.bind()
    assert store.claim().status.phase == "Pending"
    store.here.load(volume())
    store.bind()
    assert store.claim().status.phase == "Bound"
    assert store.volume().spec.claimRef is not None


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"size": "1Mi"}, "VolumeMismatch"),
        ({"claim": "claimRef: {namespace: default, name: d, uid: d}"}, "FailedBinding"),
    ],
)
def test_a_claim_that_names_a_wrong_volume(store: Store, how: dict[str, str], reason: str) -> None:
    store.here.load(claim(volume="v") + "---" + volume(**how))
    assert reasons(store.bind()) == [reason]
    assert store.claim().status.phase == "Pending"


@pytest.mark.parametrize("writes", [1, 2, 3, 4])
def test_a_bond_that_was_cut_short_is_finished(store: Store, writes: int) -> None:
    store.here.load(claim() + "---" + volume())
    count = 0

    def crash(action: Action) -> Any:
        nonlocal count
        count += 1
        return not_found_error("x", "", "crash") if count >= writes else None

    store.here.refuse = crash
    store.bind()
    store.here.refuse = lambda action: None
    store.bind()
    assert store.claim().status.phase == "Bound"
    assert store.volume().status.phase == "Bound"
    assert store.claim().spec.volumeName == "v"


# --- losing


def test_a_claim_without_its_volume_is_lost(store: Store) -> None:
    store.here.load(claim() + "---" + volume())
    store.bind()
    store.here.remove(store.volume())
    assert reasons(store.bind()) == ["ClaimLost"]
    assert store.claim().status.phase == "Lost"
    assert store.bind() == []


def test_a_volume_without_its_claim_is_released(store: Store) -> None:
    store.here.load(claim() + "---" + volume())
    store.bind()
    store.here.remove(store.claim())
    store.look()
    assert store.volume().status.phase == "Released"
    store.here.load(claim(name="next"))
    store.bind("next")
    assert store.here.get(Claim, "next").spec.volumeName in ("", None), "its data are another's"


def test_a_claim_of_the_same_name_is_another_one(store: Store) -> None:
    store.here.load(claim() + "---" + volume())
    store.bind()
    store.here.remove(store.claim())
    store.here.load(claim().replace("uid-c", "later"))
    store.look()
    assert store.volume().status.phase == "Released"


def test_a_claim_that_the_cache_has_not_seen_keeps_its_volume(store: Store) -> None:
    store.here.load(claim() + "---" + volume())
    store.bind()
    there = store.claim()
    store.here.remove(there)

    async def live(type: Any, name: str, namespace: str = "") -> Any:
        return there

    store.here.get_object = live  # type: ignore[method-assign]
    assert [each for each in names(store.look()) if "Update" in each] == []


def test_a_claim_that_found_another_volume_frees_the_first(store: Store) -> None:
    store.here.load(claim(volume="w") + "---" + volume(claim="claimRef: {namespace: default, name: c, uid: uid-c}"))
    first = store.volume()
    annotations = {"pv.kubernetes.io/bound-by-controller": "yes"}
    store.here.add(replace(first, metadata=replace(first.metadata, annotations=annotations)))
    store.look()
    assert store.volume().spec.claimRef is None


def test_new_volumes_are_available(store: Store) -> None:
    store.here.load(volume(phase="Pending") + "---" + volume("kept", phase="Pending", claim="claimRef: {name: c}"))
    store.look()
    store.look("kept")
    assert {each.status.phase for each in store.here.all(Volume)} == {"Available"}


# --- classes


def test_a_class_that_waits_waits_for_the_scheduler(store: Store) -> None:
    store.here.load(CLASS % ("local", "sampan.dev/local", "WaitForFirstConsumer"))
    store.here.load(claim(storage="local") + "---" + volume(storage="local"))
    assert reasons(store.bind()) == ["WaitForFirstConsumer"]
    assert store.claim().status.phase == "Pending"
    store.here.load(claim(storage="local", **{"volume.kubernetes.io/selected-node": "n1"}))
    assert reasons(store.bind()) == ["ExternalProvisioning"]
    asked = store.claim().metadata.annotations
    assert asked["volume.kubernetes.io/storage-provisioner"] == "sampan.dev/local"


def test_without_provisioner_nothing_is_asked_for(store: Store) -> None:
    store.here.load(CLASS % ("by-hand", "kubernetes.io/no-provisioner", "Immediate"))
    store.here.load(claim(storage="by-hand"))
    assert reasons(store.bind()) == ["ProvisioningFailed"]
    store.here.load(claim("d", storage="missing"))
    (told,) = [each for each in store.bind("d") if isinstance(each, Emit)]
    assert told.message == 'storageclass.storage.k8s.io "missing" not found'


def test_mappers(store: Store) -> None:
    store.here.load(claim() + "---" + claim("d", storage="x") + "---" + volume())
    by_volume, by_class = store.claims.watches
    view = store.here.view()
    assert list(by_volume.keys(store.volume(), view)) == [("default", "c")]
    store.here.load(CLASS % ("x", "p", "Immediate"))
    assert list(by_class.keys(store.here.get(storage_v1.StorageClass, "x"), view)) == [("default", "d")]
    store.bind()
    assert list(by_volume.keys(store.volume(), view)) == [("default", "c")]
    (by_claim,) = store.volumes.watches
    assert set(by_claim.keys(store.claim(), view)) == {("", "v")}


def test_sizes() -> None:
    here = World(binding.declare_claims(Settings()))
    here.load(claim(size="1Gi") + "---" + volume(size="1G"))
    assert match.satisfies(here.get(Volume, "v"), here.get(Claim, "c")) == "requested PV is too small"


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
    assert made.volumeBindingMode == "WaitForFirstConsumer"
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
