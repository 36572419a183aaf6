"""Device nodes of the machine that a container gets."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from sampan.host.containers import Device, RuntimeFailure
from sampan.host.spec import DeviceNode

_OWN = ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console")


def of_config(devices: tuple[Device, ...]) -> list[DeviceNode]:
    """The wished devices; a directory brings all below it. Raises RuntimeFailure for what is not a device."""
    found = []
    for device in devices:
        if os.path.isdir(device.host_path):
            for node in _walk(device.host_path):
                found.append(_moved(node, device))
            continue
        single = _node(device.host_path, device.container_path, device.permissions)
        if single is None:
            raise RuntimeFailure("CreateContainerError", f"{device.host_path} is not a device")
        found.append(single)
    return found


def _moved(node: DeviceNode, device: Device) -> DeviceNode:
    path = device.container_path + node.path.removeprefix(device.host_path)
    return DeviceNode(path, node.kind, node.major, node.minor, node.mode, node.uid, node.gid, device.permissions)


def all_of_machine(directory: str = "/dev") -> list[DeviceNode]:
    """Everything in /dev but what a container has of its own."""
    return list(_walk(directory))


def _walk(directory: str) -> Iterator[DeviceNode]:
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        if entry.name in _OWN:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path)
        elif node := _node(entry.path, entry.path, "rwm"):
            yield node


def _node(host_path: str, container_path: str, permissions: str) -> DeviceNode | None:
    try:
        status = os.stat(host_path)
    except FileNotFoundError:
        return None
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b" if stat.S_ISBLK(status.st_mode) else ""
    if not kind:
        return None
    major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    mode = stat.S_IMODE(status.st_mode)
    return DeviceNode(container_path, kind, major, minor, mode, status.st_uid, status.st_gid, permissions)
