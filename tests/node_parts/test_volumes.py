from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.types import core_v1
from sampan.host import mounts
from sampan.node.configs import PodConfigs
from sampan.node.contracts import AnyContainer, Capacity, HostVolume, NodeFacts, NotYet, Places
from sampan.node.volumes.manager import PodVolumes, unmount_all
from sampan.node.volumes.types import VolumeFailure
from sampan.runtime import tasks
from tests.node_parts.conftest import Api

NODE = NodeFacts("n1", ("192.0.2.7",), Capacity(4000, 1 << 33), Capacity(3500, 1 << 30))
CONTAINERS = (
    "containers: [{name: c, image: i, env: [{name: POD, value: web-0}]}]\nautomountServiceAccountToken: false\n"
)

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: conf}
data: {color: blue, shape: round}
binaryData: {raw: //79}
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: keys}
data: {password: c2VjcmV0, user: YWRtaW4=}
"""


class NoImages:
    async def ensure(self, pod: core_v1.Pod, volume: str, source: core_v1.ImageVolumeSource) -> str:
        raise VolumeFailure("no images here")


async def variables(pod: core_v1.Pod, container: AnyContainer) -> Mapping[str, str]:
    return {each.name: each.value or "" for each in container.env}


class Room:
    """The volumes of a node, its runners started."""

    def __init__(self, api: Api, places: Places, *, in_memory: bool) -> None:
        self.api = api
        self.places = places
        self.configs = PodConfigs(api.node)
        self.volumes = PodVolumes(api.node, places, NODE, self.configs, NoImages(), variables, in_memory=in_memory)

    async def mount(
        self, volumes: str, *, name: str = "web", metadata: str = ""
    ) -> tuple[core_v1.Pod, Mapping[str, Path]]:
        pod = await self.api.pod(CONTAINERS + f"volumes:\n{volumes}", name=name, metadata=metadata)
        return pod, paths(await self.volumes.mount(pod))


def paths(volumes: Mapping[str, HostVolume]) -> Mapping[str, Path]:
    return {name: Path(volume.path) for name, volume in volumes.items()}


@pytest.fixture
async def room(api: Api, tmp_path: Path) -> AsyncIterator[Room]:
    made = Room(api, Places(tmp_path), in_memory=False)
    async with tasks.Group("room") as group:
        running = [group.start("configs", made.configs.run()), group.start("volumes", made.volumes.run())]
        yield made
        for task in running:
            task.cancel()
    for uid in made.volumes.left_behind():
        await made.volumes.unmount(uid)


@pytest.fixture
async def real(api: Api, tmp_path: Path) -> AsyncIterator[Room]:
    """As root: secrets in memory, subPaths bound."""
    made = Room(api, Places(tmp_path), in_memory=True)
    yield made
    for uid in made.volumes.left_behind():
        await made.volumes.unmount(uid)
    unmount_all(made.places)
    assert mounts.below(str(tmp_path)) == []


async def eventually(path: Path, expected: str | None) -> None:
    """Wait until a file holds this text, or is gone."""
    async with asyncio.timeout(10):
        while (path.read_text() if path.exists() else None) != expected:
            await asyncio.sleep(0.005)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- what files hold ---


async def test_a_configmap_is_files(room: Room) -> None:
    await room.api.add(CONFIG)
    _, found = await room.mount("- {name: v, configMap: {name: conf}}")
    assert (found["v"] / "color").read_text() == "blue"
    assert (found["v"] / "raw").read_bytes() == b"\xff\xfe\xfd"
    assert mode(found["v"] / "shape") == 0o644


async def test_keys_become_paths_with_modes(room: Room) -> None:
    await room.api.add(CONFIG)
    _, found = await room.mount(
        "- name: v\n  configMap:\n    name: conf\n    defaultMode: 0400\n"
        "    items: [{key: color, path: a/b/c}, {key: shape, path: s, mode: 0777}]"
    )
    assert mode(found["v"] / "a/b/c") == 0o400
    assert mode(found["v"] / "s") == 0o777
    assert not (found["v"] / "raw").exists()


async def test_a_secret_is_decoded(room: Room) -> None:
    await room.api.add(SECRET)
    pod = await room.api.pod(CONTAINERS + "volumes: [{name: v, secret: {secretName: keys, defaultMode: 0440}}]")
    found = await room.volumes.mount(pod)
    assert found["v"].readonly
    assert (Path(found["v"].path) / "password").read_text() == "secret"
    assert mode(Path(found["v"].path) / "user") == 0o440


async def test_the_pod_about_itself(room: Room) -> None:
    _, found = await room.mount(
        """
- name: v
  downwardAPI:
    items:
    - {path: name, fieldRef: {fieldPath: metadata.name}}
    - {path: deep/labels, fieldRef: {fieldPath: metadata.labels}, mode: 0400}
    - {path: one, fieldRef: {fieldPath: "metadata.annotations['note']"}}
    - {path: cpu, resourceFieldRef: {containerName: c, resource: limits.cpu, divisor: 1m}}
    - {path: memory, resourceFieldRef: {containerName: c, resource: requests.memory}}
""",
        metadata="labels: {a: b, c: 'd'}\nannotations: {note: hello}",
    )
    volume = found["v"]
    assert (volume / "name").read_text() == "web"
    assert (volume / "deep/labels").read_text() == 'a="b"\nc="d"'
    assert mode(volume / "deep/labels") == 0o400
    assert (volume / "one").read_text() == "hello"
    assert (volume / "cpu").read_text() == "3500"
    assert (volume / "memory").read_text() == "0"


async def test_many_sources_in_one_volume(room: Room) -> None:
    await room.api.add(CONFIG)
    await room.api.add(SECRET)
    pod, found = await room.mount(
        """
- name: v
  projected:
    defaultMode: 0640
    sources:
    - configMap: {name: conf, items: [{key: color, path: conf/color}]}
    - secret: {name: keys, items: [{key: user, path: keys/user, mode: 0600}]}
    - downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}
    - serviceAccountToken: {path: token, audience: vault, expirationSeconds: 600}
    - secret: {name: none, optional: true}
"""
    )
    volume = found["v"]
    assert (volume / "conf/color").read_text() == "blue"
    assert (volume / "keys/user").read_text() == "admin" and mode(volume / "keys/user") == 0o600
    assert (volume / "name").read_text() == "web" and mode(volume / "name") == 0o640
    claims = decode(volume / "token")
    assert claims["aud"] == ["vault"] and claims["sub"] == "system:serviceaccount:default:default"
    assert claims["exp"] - claims["iat"] == 600
    assert claims["kubernetes.io"]["pod"] == {"name": "web", "uid": pod.metadata.uid}


def decode(token: Path) -> Any:
    body = token.read_text().split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


async def test_what_the_server_mounts_for_every_pod(room: Room) -> None:
    await room.api.add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kube-root-ca.crt}\ndata: {ca.crt: PEM}")
    pod = await room.api.pod("containers: [{name: c, image: i}]")
    ((_, volume),) = paths(await room.volumes.mount(pod)).items()
    assert sorted(name for name in os.listdir(volume) if not name.startswith("..")) == ["ca.crt", "namespace", "token"]
    assert (volume / "namespace").read_text() == "default"
    assert (volume / "ca.crt").read_text() == "PEM"


# --- what is missing ---


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ("configMap: {name: none}", 'configmap "none" not found'),
        ("secret: {secretName: none}", 'secret "none" not found'),
        (
            "configMap: {name: conf, items: [{key: none, path: p}]}",
            "configmap references non-existent config key: none",
        ),
        ("secret: {secretName: keys, items: [{key: none, path: p}]}", "references non-existent secret key: none"),
        ("persistentVolumeClaim: {claimName: none}", 'persistentvolumeclaim "none" not found'),
        (
            "hostPath: {path: /proc/self/none, type: Directory}",
            "hostPath type check failed: /proc/self/none is not a directory",
        ),
        ("image: {reference: none}", "no images here"),
    ],
)
async def test_what_is_missing_is_named(room: Room, volume: str, message: str) -> None:
    await room.api.add(CONFIG)
    await room.api.add(SECRET)
    with pytest.raises(NotYet) as caught:
        await room.mount(f"- {{name: v, {volume}}}")
    assert caught.value.reason == "FailedMount"
    assert str(caught.value) == f'MountVolume.SetUp failed for volume "v" : {message}'


async def test_a_type_that_is_not_mounted_here(room: Room) -> None:
    with pytest.raises(NotYet, match='for volume "v" : this node does not mount volumes of this type; it mounts'):
        await room.mount("- {name: v, nfs: {server: s, path: /}}")


async def test_optional_sources_may_be_missing(room: Room) -> None:
    _, found = await room.mount(
        "- {name: v, configMap: {name: none, optional: true}}\n- {name: w, secret: {secretName: none, optional: true}}"
    )
    assert [name for name in os.listdir(found["v"]) if not name.startswith("..")] == []


async def test_a_second_attempt_finds_what_has_come(room: Room) -> None:
    pod = await room.api.pod(CONTAINERS + "volumes: [{name: v, configMap: {name: conf}}]")
    with pytest.raises(NotYet):
        await room.volumes.mount(pod)
    await room.api.add(CONFIG)
    found = paths(await room.volumes.mount(pod))
    assert (found["v"] / "color").read_text() == "blue"


# --- what changes ---


async def test_changes_of_objects_reach_running_pods(room: Room) -> None:
    await room.api.add(CONFIG)
    await room.api.add(SECRET)
    _, found = await room.mount(
        "- {name: v, configMap: {name: conf}}\n- {name: w, projected: {sources: [{secret: {name: keys}}]}}"
    )
    await room.api.admin.patch(core_v1.ConfigMap, "conf", "default", body={"data": {"color": "red", "shape": None}})
    await eventually(found["v"] / "color", "red")
    assert not (found["v"] / "shape").exists()
    await room.api.admin.patch(core_v1.Secret, "keys", "default", body={"data": {"user": "cm9vdA=="}})
    await eventually(found["w"] / "user", "root")


async def test_optional_objects_may_come_and_go(room: Room) -> None:
    _, found = await room.mount("- {name: v, configMap: {name: conf, optional: true}}")
    await room.api.add(CONFIG)
    await eventually(found["v"] / "color", "blue")
    await room.api.admin.delete(core_v1.ConfigMap, "conf", "default")
    await eventually(found["v"] / "color", None)


async def test_a_required_object_that_goes_leaves_its_files(room: Room) -> None:
    await room.api.add(CONFIG)
    pod, found = await room.mount("- {name: v, configMap: {name: conf}}")
    await room.api.admin.delete(core_v1.ConfigMap, "conf", "default")

    async def until_it_is_noticed() -> None:
        while True:
            await room.volumes.sync(pod)

    with pytest.raises(NotYet, match="not found"):
        await asyncio.wait_for(until_it_is_noticed(), 10)
    assert (found["v"] / "color").read_text() == "blue"


async def test_labels_that_change(room: Room) -> None:
    pod, found = await room.mount(
        "- {name: v, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}",
        metadata="labels: {a: b}",
    )
    changed = replace(pod, metadata=replace(pod.metadata, labels={"a": "c"}))
    await room.volumes.sync(changed)
    assert (found["v"] / "labels").read_text() == 'a="c"'


async def test_nothing_is_watched_for_nobody(room: Room) -> None:
    await room.api.add(CONFIG)
    pod, _ = await room.mount("- {name: v, configMap: {name: conf}}")
    other, _ = await room.mount("- {name: v, configMap: {name: conf}}", name="other")
    assert len(room.configs._watched) == 1
    await room.volumes.unmount(pod.metadata.uid or "")
    assert len(room.configs._watched) == 1
    await room.volumes.unmount(other.metadata.uid or "")
    assert not room.configs._watched and not room.configs._held and not room.configs._holders


async def test_what_cannot_change_is_not_watched(room: Room) -> None:
    await room.api.add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fixed}\nimmutable: true\ndata: {a: b}")
    _, found = await room.mount("- {name: v, configMap: {name: fixed}}")
    assert (found["v"] / "a").read_text() == "b"
    async with asyncio.timeout(10):
        while room.configs._watched:
            await asyncio.sleep(0.005)


# --- directories ---


async def test_an_empty_directory_for_everybody(room: Room) -> None:
    pod, found = await room.mount("- {name: v, emptyDir: {}}")
    assert mode(found["v"]) == 0o777
    (found["v"] / "f").write_text("kept")
    await room.volumes.mount(pod)
    assert (found["v"] / "f").read_text() == "kept"


async def test_a_pod_leaves_nothing(room: Room) -> None:
    await room.api.add(SECRET)
    pod, found = await room.mount("- {name: v, emptyDir: {}}\n- {name: w, secret: {secretName: keys}}")
    (found["v"] / "d").mkdir()
    uid = pod.metadata.uid or ""
    await room.volumes.unmount(uid)
    assert not room.places.volumes(uid).exists()
    await room.volumes.unmount(uid)


async def test_a_host_path_stays_when_the_pod_leaves(room: Room, tmp_path: Path) -> None:
    own = tmp_path / "mine"
    own.mkdir()
    (own / "f").write_text("kept")
    pod, found = await room.mount(f"- {{name: v, hostPath: {{path: {own}}}}}")
    assert found["v"] == own
    await room.volumes.unmount(pod.metadata.uid or "")
    assert (own / "f").read_text() == "kept"


CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 1Gi}}, volumeName: pv1}
"""


async def bind(api: Api, source: str, modes: str = "[ReadWriteOnce]") -> None:
    """A claim and its volume, bound as the controller binds them."""
    await api.add(CLAIM)
    claim = await api.admin.get(core_v1.PersistentVolumeClaim, "data", "default")
    await api.add(
        f"""
apiVersion: v1
kind: PersistentVolume
metadata: {{name: pv1}}
spec:
  capacity: {{storage: 1Gi}}
  accessModes: {modes}
  claimRef: {{kind: PersistentVolumeClaim, namespace: default, name: data, uid: {claim.metadata.uid}}}
  {source}
"""
    )
    status = {"status": {"phase": "Bound"}}
    await api.admin.patch(core_v1.PersistentVolumeClaim, "data", "default", body=status, subresource="status")


async def test_a_claim_leads_to_a_directory(room: Room, tmp_path: Path) -> None:
    await bind(room.api, f"hostPath: {{path: {tmp_path}/pv, type: DirectoryOrCreate}}")
    pod, found = await room.mount("- {name: v, persistentVolumeClaim: {claimName: data}}")
    assert found["v"] == tmp_path / "pv"
    (found["v"] / "f").write_text("kept")
    await room.volumes.unmount(pod.metadata.uid or "")
    assert (tmp_path / "pv/f").read_text() == "kept"


async def test_a_claim_that_is_not_bound(room: Room) -> None:
    await room.api.add(CLAIM)
    with pytest.raises(NotYet, match="error processing PVC default/data: PVC is not bound"):
        await room.mount("- {name: v, persistentVolumeClaim: {claimName: data}}")


async def test_a_local_volume_must_be_there(room: Room, tmp_path: Path) -> None:
    affinity = (
        "nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: "
        "[{key: kubernetes.io/hostname, operator: In, values: [n1]}]}]}}"
    )
    await bind(room.api, f"local: {{path: {tmp_path}/disk}}\n  {affinity}", "[ReadOnlyMany]")
    pod = await room.api.pod(CONTAINERS + "volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]")
    with pytest.raises(NotYet, match=f'path "{tmp_path}/disk" does not exist'):
        await room.volumes.mount(pod)
    (tmp_path / "disk").mkdir()
    assert (await room.volumes.mount(pod))["v"] == HostVolume(f"{tmp_path}/disk", readonly=True)


# --- as root ---


@pytest.mark.kernel
async def test_secrets_lie_in_memory(real: Room) -> None:
    await real.api.add(SECRET)
    pod, found = await real.mount("- {name: v, secret: {secretName: keys}}\n- {name: w, emptyDir: {}}")
    assert kind_of(found["v"]) == "tmpfs"
    assert kind_of(found["w"]) == kind_of(real.places.root)
    again = Room(real.api, real.places, in_memory=True)
    await again.volumes.mount(pod)
    memory = str(real.places.root / "memory")
    assert sorted(mounts.below(str(real.places.root))) == [memory, str(real.places.pods)]


def kind_of(path: Path) -> str:
    """The type of the file system that a path lies on."""
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = line.split()[4]
        if (str(path) + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, line.partition(" - ")[2].split()[0]
    return kind


@pytest.mark.kernel
async def test_an_empty_directory_in_memory_has_a_size(real: Room) -> None:
    _, found = await real.mount("- {name: v, emptyDir: {medium: Memory, sizeLimit: 1Mi}}")
    assert kind_of(found["v"]) == "tmpfs" and mode(found["v"]) == 0o777
    assert os.statvfs(found["v"]).f_blocks * os.statvfs(found["v"]).f_frsize == 1 << 20
    with pytest.raises(OSError, match="No space left"):
        (found["v"] / "f").write_bytes(bytes(2 << 20))


@pytest.mark.kernel
async def test_groups_own_volumes(real: Room) -> None:
    await real.api.add(SECRET)
    pod = await real.api.pod(
        CONTAINERS
        + "securityContext: {fsGroup: 4321, runAsUser: 1000}\n"
        + "volumes:\n- {name: e, emptyDir: {}}\n- {name: m, emptyDir: {medium: Memory}}\n"
        + "- {name: s, secret: {secretName: keys, defaultMode: 0400}}\n"
        + "- {name: t, projected: {sources: [{serviceAccountToken: {path: token}}]}}"
    )
    found = paths(await real.volumes.mount(pod))
    for name in ("e", "m"):
        status = found[name].stat()
        assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (4321, 0o2777)
    secret = (found["s"] / "password").stat()
    assert (secret.st_gid, stat.S_IMODE(secret.st_mode)) == (4321, 0o440)
    token = (found["t"] / "token").stat()
    assert (token.st_uid, token.st_gid, stat.S_IMODE(token.st_mode)) == (1000, 4321, 0o640)


@pytest.mark.kernel
async def test_an_earlier_process_is_cleaned_up_after(real: Room) -> None:
    """A crash leaves mounts and files; a new process takes them down by the pod's UID alone."""
    await real.api.add(SECRET)
    pod, found = await real.mount(
        "- {name: m, emptyDir: {medium: Memory}}\n- {name: s, secret: {secretName: keys}}\n- {name: e, emptyDir: {}}"
    )
    (found["e"] / "sub").mkdir()
    line = core_v1.VolumeMount(name="e", mountPath="/e", subPathExpr="$(POD)")
    container = replace(pod.spec.containers[0], volumeMounts=(line,))
    (mount,) = await real.volumes.mounts(pod, container, {"e": HostVolume(str(found["e"]))})
    assert (found["e"] / "web-0").is_dir()
    assert mount.host_path in mounts.below(str(real.places.pods))
    uid = pod.metadata.uid or ""
    after = Room(real.api, real.places, in_memory=True)
    assert after.volumes.left_behind() == {uid}
    await after.volumes.unmount(uid)
    assert after.volumes.left_behind() <= {uid}
    assert not real.places.volumes(uid).exists() and not found["s"].exists()
    assert mounts.below(str(real.places.pods)) == [str(real.places.pods)]
