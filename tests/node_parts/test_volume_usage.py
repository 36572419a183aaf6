"""What volumes hold: figures, the word that one is full, more room when it is granted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest

from sampan.api import conditions
from sampan.api.types import core_v1
from sampan.host import loops, mounts
from sampan.node.configs import PodConfigs
from sampan.node.contracts import Places
from sampan.node.volumes import disk
from sampan.node.volumes.fullness import FULL, Usage, is_full, words
from sampan.node.volumes.manager import PodVolumes, unmount_all
from sampan.node.volumes.usage import EVERY, VolumeUsage, claims_of
from sampan.runtime import tasks
from sampan.runtime.clock import VirtualClock, settle
from sampan.testing.objects import one
from tests.node_parts.conftest import Api
from tests.node_parts.pods import pod as pod_of
from tests.node_parts.test_disk import fill
from tests.node_parts.test_volumes import CONTAINERS, NODE, NoImages, variables

MI = 1 << 20
VOLUMES = "volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]"
AFFINITY = (
    "nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: "
    "[{key: kubernetes.io/hostname, operator: In, values: [n1]}]}]}}"
)


class House:
    """A node's pods and the volumes of our own provisioner that they use."""

    def __init__(self, api: Api, root: Path) -> None:
        self.api = api
        self.root = root
        self.places = Places(root / "node")
        self.volumes = PodVolumes(
            api.node, self.places, NODE, PodConfigs(api.node), NoImages(), variables, in_memory=False
        )
        self.running: list[core_v1.Pod] = []
        self.told: list[tuple[str, str, str]] = []
        self.usage = VolumeUsage(api.node, self, self.places)

    def pods(self) -> Collection[core_v1.Pod]:
        return self.running

    def tell(self, about: object, type: str, reason: str, message: str) -> None:
        self.told.append((builtin_name(about), reason, message))

    async def claim(self, size: str, fs_type: str) -> None:
        await self.api.add(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], "
            f"storageClassName: x, resources: {{requests: {{storage: {size}}}}}, volumeName: pv1}}\n"
        )
        made = await self.api.admin.get(core_v1.PersistentVolumeClaim, "data", "default")
        await self.api.add(
            f"""
apiVersion: v1
kind: PersistentVolume
metadata: {{name: pv1, annotations: {{pv.kubernetes.io/provisioned-by: sampan.dev/local}}}}
spec:
  capacity: {{storage: {size}}}
  accessModes: [ReadWriteOnce]
  claimRef: {{kind: PersistentVolumeClaim, namespace: default, name: data, uid: {made.metadata.uid}}}
  local: {{path: {self.root}/volumes/pv1, fsType: {fs_type or '""'}}}
  {AFFINITY}
"""
        )
        status = {"status": {"phase": "Bound", "capacity": {"storage": size}}}
        await self.api.admin.patch(core_v1.PersistentVolumeClaim, "data", "default", body=status, subresource="status")

    async def grant(self, size: str) -> None:
        """As the provisioner does it."""
        await self.api.admin.patch(core_v1.PersistentVolume, "pv1", body={"spec": {"capacity": {"storage": size}}})
        pending = {"type": "FileSystemResizePending", "status": "True"}
        body = {"status": {"conditions": [pending]}}
        await self.api.admin.patch(core_v1.PersistentVolumeClaim, "data", "default", body=body, subresource="status")

    async def start(self, name: str = "web") -> Path:
        pod = await self.api.pod(CONTAINERS + VOLUMES, name=name, metadata="labels: {sampan.dev/app: shop}")
        found = await self.volumes.mount(pod)
        self.running.append(pod)
        return Path(found["data"].path)

    async def stop(self, name: str = "web") -> None:
        pod = next(each for each in self.running if each.metadata.name == name)
        self.running.remove(pod)
        await self.volumes.unmount(pod.metadata.uid or "")

    async def status(self) -> core_v1.PersistentVolumeClaimStatus:
        return (await self.api.admin.get(core_v1.PersistentVolumeClaim, "data", "default")).status

    async def full(self) -> str:
        found = conditions.find((await self.status()).conditions, FULL)
        return found.message or "" if found is not None else ""


def builtin_name(about: object) -> str:
    return type(about).__name__


@pytest.fixture
async def house(api: Api, tmp_path: Path) -> AsyncIterator[House]:
    made = House(api, tmp_path)
    yield made
    unmount_all(made.places)
    assert mounts.below(str(tmp_path)) == []
    image = tmp_path / "volumes/pv1" / disk.IMAGE
    assert not image.exists() or loops.device(str(image)) == ""


limited = pytest.mark.skipif(bool(disk.unavailable()), reason=f"volumes cannot be limited here: {disk.unavailable()}")


@limited
@pytest.mark.kernel
async def test_a_full_volume_is_told_once_and_forgotten_when_there_is_room(house: House) -> None:
    await house.claim("10Mi", "ext4")
    place = await house.start()
    assert place.is_relative_to(house.places.root) and house.root / "volumes/pv1" not in place.parents
    await house.usage.look()
    assert house.told == [] and await house.full() == ""
    fill(place)
    for _ in range(2):
        await house.usage.look()
    said = await house.full()
    assert said.startswith("volume data of app shop is full: 10Mi of 10Mi used; remove files, or make it larger: ")
    assert said.endswith("give it size 20Mi in the app (spec.volumes) and deploy again")
    assert house.told == [("Pod", FULL, said), ("PersistentVolumeClaim", FULL, said)]
    (place / "filling").unlink()
    await house.usage.look()
    assert await house.full() == ""


@limited
@pytest.mark.kernel
async def test_more_room_comes_while_the_pod_runs_or_with_the_next(house: House) -> None:
    await house.claim("10Mi", "ext4")
    place = await house.start()
    (place / "f").write_text("kept")
    await house.grant("30Mi")
    await house.usage.look()
    status = await house.status()
    if not disk.holds(str(place), 30 * MI):
        assert status.capacity == {"storage": "10Mi"} and conditions.is_true(
            status.conditions, "FileSystemResizePending"
        )
        await house.stop()
        place = await house.start("next")
        await house.usage.look()
        status = await house.status()
    assert disk.holds(str(place), 30 * MI) and (place / "f").read_text() == "kept"
    assert status.capacity == {"storage": "30Mi"} and status.conditions == ()
    assert ("PersistentVolumeClaim", "FileSystemResizeSuccessful", "data is 30Mi now") in house.told


@limited
@pytest.mark.kernel
async def test_figures(house: House) -> None:
    await house.claim("10Mi", "ext4")
    (await house.start() / "f").write_bytes(bytes(2 * MI))
    await house.start("second")
    await house.usage.look()
    assert [(each.pod.metadata.name, each.volume, each.claim) for each in house.usage.figures] == [
        ("web", "data", "data"),
        ("second", "data", "data"),
    ]
    found = {sample.name.removeprefix("kubelet_volume_stats_"): sample for sample in house.usage.samples()}
    assert set(found) == {"capacity_bytes", "available_bytes", "used_bytes", "inodes", "inodes_free", "inodes_used"}
    assert found["used_bytes"].labels == {"namespace": "default", "persistentvolumeclaim": "data"}
    assert 2 * MI <= found["used_bytes"].value < 3 * MI
    assert 9.5 * MI < found["capacity_bytes"].value < 11 * MI
    assert found["available_bytes"].value + found["used_bytes"].value <= found["capacity_bytes"].value


@pytest.mark.kernel
async def test_a_directory_is_measured(house: House) -> None:
    await house.claim("1Mi", "")
    place = await house.start()
    assert place == house.root / "volumes/pv1"
    (place / "f").write_bytes(bytes(MI // 2))
    await house.usage.look()
    assert await house.full() == ""
    (place / "g").write_bytes(bytes(3 * MI))
    await house.usage.look()
    assert (await house.full()).startswith("volume data of app shop is full: 3.5Mi of 1Mi used; ")
    (figures,) = house.usage.figures
    assert figures.usage.capacity == MI and figures.usage.available == 0 and figures.usage.used >= 3.5 * MI
    assert "inodes" not in figures.usage.summary()


@pytest.mark.kernel
async def test_where_nothing_can_be_limited_that_is_told_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "CONTROL", "/dev/none")
    await house.claim("1Mi", "ext4")
    place = await house.start()
    (place / "g").write_bytes(bytes(2 * MI))
    for _ in range(2):
        await house.usage.look()
    text = "volume data is a plain directory, whose size is measured but not limited: "
    assert [(who, why) for who, why, said in house.told if said.startswith(text)] == [
        ("Pod", "VolumeNotLimited"),
        ("PersistentVolumeClaim", "VolumeNotLimited"),
    ]
    assert (await house.full()).startswith("volume data of app shop is full: 2Mi of 1Mi used")


@pytest.mark.kernel
async def test_what_is_not_mounted_or_is_over_is_not_measured(house: House) -> None:
    await house.claim("1Mi", "ext4")
    waiting = await house.api.pod(CONTAINERS + VOLUMES, name="waiting")
    ended = pod_of("containers: [{name: c, image: i}]\n" + VOLUMES, status="phase: Failed")
    lost = pod_of("containers: [{name: c, image: i}]\n" + VOLUMES.replace("claimName: data", "claimName: gone"))
    house.running += [waiting, ended, lost]
    await house.usage.look()
    assert house.usage.figures == () and house.told == []


@pytest.mark.kernel
async def test_a_volume_that_goes_while_it_is_measured(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.claim("1Mi", "")
    await house.start()

    def gone(path: str) -> int:
        raise FileNotFoundError(2, "no such file or directory", path)

    monkeypatch.setattr("sampan.node.volumes.usage.used", gone)
    await house.usage.look()
    assert house.usage.figures == () and house.told == []


def test_claims_of_a_pod() -> None:
    spec = (
        "containers: [{name: c, image: i}]\nvolumes: [{name: a, emptyDir: {}}, {name: b, persistentVolumeClaim: "
        "{claimName: x}}, {name: c, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce]}}}}]"
    )
    assert claims_of(pod_of(spec)) == [("b", "x"), ("c", f"{pod_of(spec).metadata.name}-c")]


@pytest.mark.parametrize(
    ("usage", "full"),
    [
        (Usage(100 * MI, 6 * MI, 94 * MI, 10, 5), False),
        (Usage(100 * MI, 5 * MI, 95 * MI, 10, 5), True),
        (Usage(100 * MI, 50 * MI, 50 * MI, 10, 0), True),
        (Usage(100 << 30, 100 * MI, 0, 10, 5), False),
        (Usage(100 << 30, 60 * MI, 0, 10, 5), True),
        (Usage(MI, 0, 2 * MI), True),
    ],
)
def test_when_a_volume_is_full(usage: Usage, full: bool) -> None:
    assert is_full(usage) is full


def test_words_for_pods_without_an_app() -> None:
    spec = "containers: [{name: c, image: i}]"
    claim = one(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data-0, namespace: default}\n"
        "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
    )
    said = words(pod_of(spec), "data", claim, Usage(1 << 30, 30 << 20, 994 << 20, 10, 5), "1Gi")
    assert said == (
        "volume data (claim data-0) is full: 994Mi of 1Gi used; remove files, or make it larger: "
        """sampan patch pvc data-0 -p '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}'"""
    )
    said = words(pod_of(spec), "data", claim, Usage(1 << 30, 1 << 29, 1 << 29, 10, 0), "1Gi")
    assert said.startswith("volume data (claim data-0) is full: all of its 10 files are used; remove some, or")


async def test_looking_again(tmp_path: Path, api: Api) -> None:
    clock, looks = VirtualClock(), []

    class Counted(VolumeUsage):
        async def look(self) -> None:
            looks.append(clock.monotonic())
            await super().look()

    async with tasks.Group("test") as group:
        house = House(api, tmp_path)
        running = group.start("usage", Counted(api.node, house, house.places, clock).run())
        await settle()
        await clock.advance(2 * EVERY)
        await settle()
        running.cancel()
    assert len(looks) == 3
