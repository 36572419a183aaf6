"""volumeMounts of one container: sources resolved, subPaths bound where nobody can move them any more.

What lies in a volume belongs to the pod, which may swap a directory for a symbolic link at any time. So a subPath is
opened once, by a descriptor that cannot leave the volume, and that descriptor is bound to a place of the node's own.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from sampan.api.types import core_v1
from sampan.host import mounts
from sampan.host.containers import Mount
from sampan.node import paths
from sampan.node.contracts import AnyContainer, CreateContainerConfigError, HostVolume
from sampan.node.expansion import expand_strictly

PROPAGATION: Mapping[str, Literal["private", "rslave", "rshared"]] = {
    "None": "private",
    "HostToContainer": "rslave",
    "Bidirectional": "rshared",
}


def needs_environment(container: AnyContainer) -> bool:
    return any(mount.subPathExpr for mount in container.volumeMounts)


def sub_path(mount: core_v1.VolumeMount, environment: Mapping[str, str]) -> str:
    """The path below the volume, "" for all of it. Raises CreateContainerConfigError."""
    path = mount.subPath or ""
    if mount.subPathExpr:
        try:
            path = expand_strictly(mount.subPathExpr, environment)
        except KeyError as error:
            raise CreateContainerConfigError(f'missing value for "{error.args[0]}"') from error
    if path.startswith("/"):
        raise CreateContainerConfigError(f"error SubPath `{path}` must not be an absolute path")
    if ".." in path.split("/"):
        raise CreateContainerConfigError(f"unable to provision SubPath `{path}`: must not contain '..'")
    return path


def container_mounts(
    container: AnyContainer,
    volumes: Mapping[str, HostVolume],
    environment: Mapping[str, str],
    directory: Path,
) -> tuple[Mount, ...]:
    """All mounts of a container; `directory` is the pod's for bound subPaths. Blocks.

    Raises CreateContainerConfigError.
    """
    found = []
    for at, mount in enumerate(container.volumeMounts):
        volume = volumes.get(mount.name)
        if volume is None:
            raise CreateContainerConfigError(
                f'cannot find volume "{mount.name}" to mount into container "{container.name}"'
            )
        source, inside = volume.path, sub_path(mount, environment)
        if inside and not volume.image:
            source = str(directory / mount.name / container.name / str(at))
            _bind(container, mount, volume.path, inside, source)
        found.append(
            Mount(
                host_path=source,
                container_path=mount.mountPath if mount.mountPath.startswith("/") else f"/{mount.mountPath}",
                readonly=bool(mount.readOnly) or volume.readonly,
                propagation=PROPAGATION[mount.mountPropagation or "None"],
                recursive_readonly=mount.recursiveReadOnly in ("Enabled", "IfPossible"),
                image=volume.image,
                image_sub_path=inside if volume.image else "",
            )
        )
    return tuple(found)


def _bind(container: AnyContainer, mount: core_v1.VolumeMount, volume: str, inside: str, target: str) -> None:
    what = f'volumeMount "{mount.name}" of container "{container.name}"'
    try:
        descriptor = open_sub_path(volume, inside)
    except OSError as error:
        raise CreateContainerConfigError(f"failed to create subPath directory for {what}: {error}") from error
    try:
        bind_descriptor(descriptor, target)
    except OSError as error:
        raise CreateContainerConfigError(f"failed to prepare subPath for {what}: {error}") from error
    finally:
        os.close(descriptor)


def open_sub_path(volume: str, inside: str) -> int:
    """A descriptor (O_PATH) of what is there, else of a new directory with the volume's own mode. Raises OSError."""
    root = paths.open_directory(volume)
    try:
        try:
            return paths.open_beneath(root, inside, os.O_PATH)
        except FileNotFoundError:
            return paths.make_beneath(root, inside, stat.S_IMODE(os.fstat(root).st_mode))
    finally:
        os.close(root)


def bind_descriptor(descriptor: int, target: str) -> None:
    """Bind what the descriptor holds to `target`, in place of what an earlier attempt left there."""
    while mounts.unmount(target):
        pass
    os.makedirs(os.path.dirname(target), mode=0o750, exist_ok=True)
    if os.path.isdir(target):
        os.rmdir(target)
    elif os.path.exists(target):
        os.unlink(target)
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.mkdir(target, mode=0o750)
    else:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640))
    mounts.bind(f"/proc/self/fd/{descriptor}", target)
