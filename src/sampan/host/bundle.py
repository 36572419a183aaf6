"""A container's bundle: its root file system mounted, its specification written, ready for the OCI runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from sampan import removal
from sampan.host import capabilities, devices, mounts, seccomp, spec, state, users, volumes
from sampan.host.containers import Container, Mount, RuntimeFailure, SandboxConfig
from sampan.host.images import ImageRoot
from sampan.host.layout import Layout
from sampan.host.spec import Machine, Place


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was made: who the container runs as and how it wants to be stopped."""

    uid: int
    groups: tuple[int, ...]
    stop_signal: str


def mount_root(layout: Layout, id: str, image: ImageRoot) -> None:
    """Mount the container's root: the image's layers below a directory of its own."""
    for path in (layout.upper(id), layout.work(id), layout.rootfs(id)):
        os.makedirs(path, exist_ok=True)
    os.chmod(layout.upper(id), 0o755)  # noqa: S103  the root directory of the container
    mounts.overlay(layout.rootfs(id), image.layers, layout.upper(id), layout.work(id))


def prepare(
    layout: Layout,
    sandbox: SandboxConfig,
    container: Container,
    image: ImageRoot,
    place: Place,
    machine: Machine,
    volume_images: Mapping[str, ImageRoot],
) -> Bundle:
    """Mount the root and write `config.json` and `process.json`. Raises RuntimeFailure or OSError."""
    config, bundle = container.config, layout.bundle(container.id)
    mount_root(layout, container.id, image)
    identity = users.resolve(place.rootfs, image.config.user, config.security)
    wanted = volumes.mount_images(bundle, config.mounts, volume_images)
    _check_sources(wanted)
    config = replace(config, mounts=(*volumes.declared(place.rootfs, config, image.config), *wanted))
    granted = capabilities.effective(config.security, machine.capabilities)
    nodes = devices.of_config(config.devices)
    if config.security.privileged:
        own = {node.path for node in nodes}
        nodes += [node for node in devices.all_of_machine() if node.path not in own]
    filters = seccomp.profile(config.security.seccomp, config.security.privileged, granted, machine.architecture)
    document = spec.build(sandbox, config, image.config, identity, place, machine, devices=nodes, seccomp=filters)
    state.write_file(f"{bundle}/config.json", msgspec.json.encode(document))
    state.write_file(f"{bundle}/process.json", msgspec.json.encode(document["process"]))
    return Bundle(identity.uid, identity.groups, config.stop_signal or image.config.stop_signal)


def _check_sources(wanted: tuple[Mount, ...]) -> None:
    for mount in wanted:
        if not os.path.exists(mount.host_path):
            reason = f"failed to mount {mount.host_path!r}: no such file or directory"
            raise RuntimeFailure("CreateContainerError", reason)


def discard(layout: Layout, id: str) -> None:
    """Unmount the root and delete all that the container had. Idempotent."""
    unmount_root(layout, id)
    for path in (layout.bundle(id), os.path.dirname(layout.upper(id))):
        delete(path)


def unmount_root(layout: Layout, id: str) -> None:
    mounts.unmount(layout.rootfs(id))
    volumes.unmount_images(layout.bundle(id))


def delete(path: str) -> None:
    """Delete a file or a directory with all below it. Idempotent."""
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            removal.remove(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        return
