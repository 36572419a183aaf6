from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.api.types import core_v1
from sampan.host import mounts
from sampan.host.containers import Mount
from sampan.node.contracts import CreateContainerConfigError, HostVolume
from sampan.node.volumes import subpaths


def container(*lines: core_v1.VolumeMount) -> core_v1.Container:
    return core_v1.Container(name="c", volumeMounts=lines)


def mount(path: str = "/data", **more: object) -> core_v1.VolumeMount:
    return core_v1.VolumeMount(name="v", mountPath=path, **more)  # type: ignore[arg-type]


def test_whole_volumes(tmp_path: Path) -> None:
    volumes = {"v": HostVolume("/srv/v"), "w": HostVolume("/srv/w", readonly=True)}
    found = subpaths.container_mounts(
        container(
            mount(),
            mount("rel", readOnly=True),
            mount("/p", mountPropagation="HostToContainer"),
            mount("/q", mountPropagation="Bidirectional"),
            core_v1.VolumeMount(name="w", mountPath="/w"),
        ),
        volumes,
        {},
        tmp_path,
    )
    assert found == (
        Mount("/srv/v", "/data"),
        Mount("/srv/v", "/rel", readonly=True),
        Mount("/srv/v", "/p", propagation="rslave"),
        Mount("/srv/v", "/q", propagation="rshared"),
        Mount("/srv/w", "/w", readonly=True),
    )


def test_a_volume_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(CreateContainerConfigError, match='cannot find volume "v" to mount into container "c"'):
        subpaths.container_mounts(container(mount()), {}, {}, tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (mount(subPath="/abs"), "error SubPath `/abs` must not be an absolute path"),
        (mount(subPathExpr="$(ROOT)/x"), "error SubPath `/tmp/x` must not be an absolute path"),
        (mount(subPath="a/../b"), "unable to provision SubPath `a/../b`: must not contain '..'"),
        (mount(subPathExpr="$(UP)"), "unable to provision SubPath `..`: must not contain '..'"),
        (mount(subPathExpr="$(NONE)"), 'missing value for "NONE"'),
    ],
)
def test_sub_paths_that_cannot_be(line: core_v1.VolumeMount, message: str) -> None:
    with pytest.raises(CreateContainerConfigError) as caught:
        subpaths.sub_path(line, {"ROOT": "/tmp", "UP": ".."})
    assert str(caught.value) == message


def test_sub_paths_from_variables() -> None:
    assert subpaths.sub_path(mount(subPathExpr="logs/$(POD)"), {"POD": "web-0"}) == "logs/web-0"
    assert subpaths.sub_path(mount(subPath="$(POD)"), {"POD": "web-0"}) == "$(POD)"


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Path]:
    """The pod's directory of bound subPaths; nothing stays mounted in it."""
    directory = tmp_path / "volume-subpaths"
    yield directory
    mounts.unmount_below(str(directory))


@pytest.mark.kernel
def test_a_sub_path_is_bound(tmp_path: Path, bound: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "d").mkdir(parents=True)
    (volume / "d/f").write_text("hello")
    lines = container(mount(subPath="d"), mount("/f", subPath="d/f", readOnly=True))
    first, second = subpaths.container_mounts(lines, {"v": HostVolume(str(volume))}, {}, bound)
    assert (Path(first.host_path) / "f").read_text() == "hello"
    assert Path(second.host_path).read_text() == "hello" and second.readonly
    assert len(mounts.below(str(bound))) == 2


@pytest.mark.kernel
def test_a_missing_sub_path_becomes_a_directory_like_the_volume(tmp_path: Path, bound: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chmod(volume, 0o777)
    (only,) = subpaths.container_mounts(container(mount(subPath="a/b")), {"v": HostVolume(str(volume))}, {}, bound)
    (Path(only.host_path) / "f").write_text("x")
    assert (volume / "a/b/f").read_text() == "x"
    assert stat.S_IMODE((volume / "a/b").stat().st_mode) == 0o777


@pytest.mark.kernel
def test_a_container_that_starts_again_gets_what_is_there_now(tmp_path: Path, bound: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "x").write_text("file")
    lines, volumes = container(mount(subPath="x")), {"v": HostVolume(str(volume))}
    (first,) = subpaths.container_mounts(lines, volumes, {}, bound)
    assert Path(first.host_path).is_file()
    (volume / "x").unlink()
    (volume / "x").mkdir()
    (second,) = subpaths.container_mounts(lines, volumes, {}, bound)
    assert Path(second.host_path).is_dir()
    assert len(mounts.below(str(bound))) == 1


@pytest.mark.kernel
@pytest.mark.parametrize("target", ["/etc", "..", "../outside", "/proc/self/root/etc"])
def test_a_link_out_of_the_volume_is_refused(tmp_path: Path, bound: Path, target: str) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (tmp_path / "outside").mkdir()
    (volume / "escape").symlink_to(target)
    with pytest.raises(CreateContainerConfigError, match='failed to create subPath directory for volumeMount "v" of'):
        subpaths.container_mounts(container(mount(subPath="escape")), {"v": HostVolume(str(volume))}, {}, bound)
    assert mounts.below(str(bound)) == []


@pytest.mark.kernel
def test_what_was_bound_stays_when_the_pod_swaps_it(tmp_path: Path, bound: Path) -> None:
    volume = tmp_path / "volume"
    (volume / "d").mkdir(parents=True)
    (volume / "d/f").write_text("mine")
    (only,) = subpaths.container_mounts(container(mount(subPath="d")), {"v": HostVolume(str(volume))}, {}, bound)
    (volume / "d").rename(volume / "moved")
    (volume / "d").symlink_to("/etc")
    assert os.listdir(only.host_path) == ["f"]


def test_images_are_left_to_the_runtime(tmp_path: Path) -> None:
    lines = container(mount(), mount("/part", subPath="bin"))
    found = subpaths.container_mounts(lines, {"v": HostVolume("", True, "sha256:1")}, {}, tmp_path)
    assert found == (
        Mount("", "/data", readonly=True, image="sha256:1"),
        Mount("", "/part", readonly=True, image="sha256:1", image_sub_path="bin"),
    )
