"""Claims and volumes: how they find, keep, lose and protect each other; volumes made to measure."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.errors import not_found_error
from sampan.api.types import core_v1, storage_v1
from sampan.controllers.settings import Settings
from sampan.controllers.volumes import binding, match
from sampan.controllers.volumes.words import Claim, Volume
from sampan.runtime.actions import Action, Emit
from sampan.testing.plans import names
from sampan.testing.world import World

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
