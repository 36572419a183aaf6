"""hostPath: a file or directory of the machine itself, of the type that the pod expects."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from sampan.api.types import core_v1
from sampan.node.contracts import HostVolume
from sampan.node.volumes.types import Setup, VolumeFailure, Work

FIELD = "hostPath"

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "FileOrCreate": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


async def prepare(setup: Setup, pod: core_v1.Pod, volume: core_v1.Volume) -> Work:
    source = volume.hostPath
    assert source is not None
    return work(source)


def work(source: core_v1.HostPathVolumeSource, *, readonly: bool = False) -> Work:
    return Work(HostVolume(source.path, readonly), lambda: ensure(source.path, source.type or ""))


def ensure(path: str, kind: str) -> None:
    """Check the type and make what is to be made. Raises VolumeFailure with upstream's words.

    Without a type a path that is missing becomes a directory, as container runtimes do for the source of a mount.
    """
    if kind == "":
        if not os.path.lexists(path):
            os.makedirs(path, mode=0o755, exist_ok=True)
        return
    if kind not in _CHECKS:
        raise VolumeFailure(f"{kind} is an invalid volume type")
    fits, name = _CHECKS[kind]
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if kind == "DirectoryOrCreate":
            os.makedirs(path, mode=0o755, exist_ok=True)
            return
        if kind == "FileOrCreate":
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
            return
        mode = 0
    if not fits(mode):
        raise VolumeFailure(f"hostPath type check failed: {path} is not {name}")
