"""emptyDir: a directory on disk, or a file system in memory with a size."""

from __future__ import annotations

import os
from collections.abc import Callable

from sampan.api import quantity
from sampan.api.types import core_v1
from sampan.host import mounts
from sampan.node.contracts import HostVolume
from sampan.node.volumes import ownership
from sampan.node.volumes.types import Setup, VolumeFailure, Work

FIELD = "emptyDir"
MODE = 0o777


async def prepare(setup: Setup, pod: core_v1.Pod, volume: core_v1.Volume) -> Work:
    source = volume.emptyDir
    assert source is not None
    path, gid = str(setup.disk / volume.name), ownership.group(pod)
    mode = MODE if source.mode is None else source.mode
    medium = source.medium or ""
    if medium == "":
        return Work(HostVolume(path), _on_disk(path, mode, gid))
    if medium == "Memory":
        size = memory_size(pod, source, setup.node.allocatable.memory)
        return Work(HostVolume(path), _mounted(path, mode, gid, "tmpfs", f"size={size}"))
    if medium == "HugePages" or medium.startswith("HugePages-"):
        return Work(HostVolume(path), _mounted(path, mode, gid, "hugetlbfs", _pagesize(pod, medium)))
    raise VolumeFailure(f"unknown storage medium {medium!r}")


def memory_size(pod: core_v1.Pod, source: core_v1.EmptyDirVolumeSource, allocatable: int) -> int:
    """Bytes: the smallest of sizeLimit, what the pod's containers may use together, and what the node can give."""
    sizes = [allocatable]
    limits = [quantity.value(c.resources.limits.get("memory", "0")) for c in pod.spec.containers]
    if limits and all(limits):
        sizes.append(sum(limits))
    if source.sizeLimit:
        sizes.append(quantity.value(source.sizeLimit))
    return min((size for size in sizes if size > 0), default=0)


def _pagesize(pod: core_v1.Pod, medium: str) -> str:
    """`HugePages` alone means the one size that the pod's containers ask for."""
    asked = {name for c in pod.spec.containers for name in c.resources.requests if name.startswith("hugepages-")}
    name = medium.partition("-")[2] or (asked.pop().removeprefix("hugepages-") if len(asked) == 1 else "")
    if not name:
        raise VolumeFailure(f"medium {medium!r} needs containers that request exactly one size of huge pages")
    return f"pagesize={quantity.value(name)}"


def _on_disk(path: str, mode: int, gid: int) -> Callable[[], None]:
    def action() -> None:
        if not os.path.isdir(path):
            os.makedirs(path, mode=0o755)
            _open_up(path, mode, gid)

    return action


def _mounted(path: str, mode: int, gid: int, kind: str, options: str) -> Callable[[], None]:
    """What a reboot took away is mounted again, empty; what is there stays as it is."""

    def action() -> None:
        os.makedirs(path, exist_ok=True)
        if not os.path.ismount(path):
            mounts.mount(kind, path, kind, mounts.MS_NOSUID | mounts.MS_NODEV, options)
            _open_up(path, mode, gid)

    return action


def _open_up(path: str, mode: int, gid: int) -> None:
    os.chmod(path, mode)
    if gid >= 0:
        ownership.give(path, gid)
