"""Mounts that come from images: other images as read-only volumes, and the places that an image's author declared.

Nothing of an image is trusted: a path inside it is resolved by openat2(2) within its own root.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sampan.host import mounts, state, syscalls
from sampan.host.containers import ContainerConfig, Mount, RuntimeFailure
from sampan.host.images import ImageConfig, ImageRoot

_PLACES = "images"  # in the bundle: one mount point for each image
_EMPTY = "empty"


def mount_images(bundle: str, wanted: Sequence[Mount], roots: Mapping[str, ImageRoot]) -> tuple[Mount, ...]:
    """Mount each image that is a volume; returns the mounts with a `host_path` for all.

    Raises RuntimeFailure ImageVolumeMountFailed.
    """
    places: dict[str, str] = {}
    found = []
    for mount in wanted:
        if mount.image and mount.image not in places:
            places[mount.image] = _mount_image(bundle, len(places), mount.image, roots)
        if mount.image:
            source = _sub_path(places[mount.image], mount)
            mount = replace(mount, host_path=source, readonly=True)
        found.append(mount)
    return tuple(found)


def _mount_image(bundle: str, number: int, name: str, roots: Mapping[str, ImageRoot]) -> str:
    root = roots.get(name)
    if root is None:
        raise RuntimeFailure("ImageVolumeMountFailed", f"image {name!r} of a volume not found")
    place, empty = f"{bundle}/{_PLACES}/{number}", f"{bundle}/{_EMPTY}"
    os.makedirs(place)
    os.makedirs(empty, exist_ok=True)
    # an overlay without a writable layer needs two others
    mounts.overlay(place, (*root.layers, empty), "", "")
    return place


def _sub_path(place: str, mount: Mount) -> str:
    try:
        return resolve(place, mount.image_sub_path)
    except OSError as error:
        reason = f"image {mount.image!r} has no {mount.image_sub_path!r}: {error.strerror}"
        raise RuntimeFailure("ImageVolumeMountFailed", reason) from error


def resolve(root: str, path: str) -> str:
    """The real path of something inside a root directory. Raises OSError."""
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = syscalls.open_inside(directory, path or ".", os.O_PATH)
    finally:
        os.close(directory)
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def unmount_images(bundle: str) -> None:
    """Unmount what `mount_images` mounted. Idempotent."""
    for name in state.directories(f"{bundle}/{_PLACES}"):
        mounts.unmount(f"{bundle}/{_PLACES}/{name}")


def declared(rootfs: str, config: ContainerConfig, image: ImageConfig) -> tuple[Mount, ...]:
    """The image's VOLUMEs that the pod mounts nothing on: they exist, and stay writable in a read-only root."""
    taken = {os.path.normpath(mount.container_path) for mount in config.mounts}
    found = []
    for path in image.volumes:
        normal = os.path.normpath(f"/{path.lstrip('/')}")
        if normal in taken or normal == "/":
            continue
        source = _directory(rootfs, normal)
        if config.security.readonly_rootfs:
            found.append(Mount(source, normal))
    return tuple(found)


def _directory(rootfs: str, path: str) -> str:
    """The real path of a directory in the root, made when missing. Raises RuntimeFailure for what is none."""
    current = ""
    for part in path.strip("/").split("/"):
        parent, current = current, f"{current}/{part}"
        try:
            resolve(rootfs, current)
        except FileNotFoundError:
            try:
                os.mkdir(f"{resolve(rootfs, parent)}/{part}", 0o755)
            except FileExistsError as error:  # a link that leads nowhere
                raise RuntimeFailure(
                    "CreateContainerError", f"the image's volume {path!r}: {part!r} is a link"
                ) from error
        except OSError as error:
            reason = f"the image's volume {path!r}: {os.strerror(error.errno or errno.EIO).lower()}"
            raise RuntimeFailure("CreateContainerError", reason) from error
    return resolve(rootfs, current)
