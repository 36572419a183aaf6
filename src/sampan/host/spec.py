"""The OCI runtime specification (config.json) of a container, from the node's wishes and the image's. Pure.

Golden-tested: values in, a document out. Shapes are those of the OCI runtime specification 1.0.2.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.host import capabilities, paths_policy, processes
from sampan.host.containers import ContainerConfig, Resources, RuntimeFailure, SandboxConfig
from sampan.host.images import ImageConfig
from sampan.host.users import Identity

Document = dict[str, Any]

_SHM = "/dev/shm"  # noqa: S108  the place of shared memory, shm_overview(7)


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device to make in the container: type is c or b."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int = 0
    gid: int = 0
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts of the machine that a specification depends on. `lowest_oom_score` is what we may ask for."""

    unified: bool
    capabilities: Collection[str]
    lowest_oom_score: int = -1000
    architecture: str = "x86_64"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the container's parts are. `namespaces` maps OCI types to files; "" makes a new one."""

    rootfs: str
    cgroup: str
    namespaces: Mapping[str, str] = field(default_factory=dict)
    hostname_file: str = ""
    resolv_file: str = ""
    shm: str = ""


def build(
    sandbox: SandboxConfig,
    container: ContainerConfig,
    image: ImageConfig,
    identity: Identity,
    place: Place,
    machine: Machine,
    *,
    devices: Sequence[DeviceNode] = (),
    seccomp: Document | None = None,
) -> Document:
    """The whole document. Raises RuntimeFailure when there is nothing to run or a capability is unknown."""
    security = container.security
    linux: Document = {
        "cgroupsPath": "/" + place.cgroup,
        "namespaces": [
            {"type": kind, "path": path} if path else {"type": kind} for kind, path in place.namespaces.items()
        ],
        "resources": resources(container.resources, security.privileged, devices, machine.unified),
        "devices": [_device(device) for device in devices],
        "rootfsPropagation": _rootfs_propagation(container),
    }
    if not security.privileged and security.masked_paths:
        linux["maskedPaths"] = list(paths_policy.MASKED)
        linux["readonlyPaths"] = list(paths_policy.READONLY)
    if seccomp is not None:
        linux["seccomp"] = seccomp
    return {
        "ociVersion": "1.0.2",
        "process": process(sandbox, container, image, identity, machine),
        "root": {"path": place.rootfs, "readonly": security.readonly_rootfs},
        "mounts": mounts(container, place, machine),
        "annotations": dict(container.annotations),
        "linux": linux,
    }


def process(
    sandbox: SandboxConfig, container: ContainerConfig, image: ImageConfig, identity: Identity, machine: Machine
) -> Document:
    security = container.security
    granted = list(capabilities.effective(security, machine.capabilities))
    return {
        "terminal": container.tty,
        "user": {"uid": identity.uid, "gid": identity.gid, "additionalGids": list(identity.groups)},
        "args": list(arguments(container, image)),
        "env": environment(sandbox, container, image),
        "cwd": container.working_dir or image.working_dir or "/",
        "capabilities": {"bounding": granted, "effective": granted, "permitted": granted},
        "noNewPrivileges": security.no_new_privileges,
        "oomScoreAdj": max(container.resources.oom_score_adj, machine.lowest_oom_score),
    }


def arguments(container: ContainerConfig, image: ImageConfig) -> tuple[str, ...]:
    """`command` replaces ENTRYPOINT and CMD; `args` alone replaces CMD."""
    if container.command:
        found = (*container.command, *(container.args or ()))
    else:
        found = (*image.entrypoint, *(container.args or image.cmd))
    if not found:
        raise RuntimeFailure("CreateContainerError", "no command specified")
    return found


def environment(sandbox: SandboxConfig, container: ContainerConfig, image: ImageConfig) -> list[str]:
    """PATH and HOSTNAME, then TERM for a terminal, the image's, and the pod's, later ones winning."""
    values = {"PATH": processes.PATH}
    if sandbox.hostname:
        values["HOSTNAME"] = sandbox.hostname
    if container.tty:
        values["TERM"] = "xterm"
    for entry in image.env:
        name, _, value = entry.partition("=")
        values[name] = value
    values.update(container.env)
    return [f"{name}={value}" for name, value in values.items()]


def mounts(container: ContainerConfig, place: Place, machine: Machine) -> list[Document]:
    """The system mounts, then the sandbox's files and the pod's volumes, parents before children.

    A volume on the place of a system mount replaces it, as a hostPath volume on /dev or /sys does upstream.
    """
    found = []
    for source, target in ((place.hostname_file, "/etc/hostname"), (place.resolv_file, "/etc/resolv.conf")):
        if source:
            access = "ro" if container.security.readonly_rootfs else "rw"
            found.append(_mount(target, "bind", source, "rbind", "rprivate", access))
    if place.shm:
        found.append(_mount(_SHM, "bind", place.shm, "rbind", "rprivate", "rw"))
    taken = {_clean(mount.container_path) for mount in container.mounts}
    found = [mount for mount in found if mount["destination"] not in taken]
    for mount in container.mounts:
        propagation = {"private": "rprivate"}.get(mount.propagation, mount.propagation)
        access = "rro" if mount.readonly and mount.recursive_readonly else "ro" if mount.readonly else "rw"
        found.append(_mount(_clean(mount.container_path), "bind", mount.host_path, "rbind", propagation, access))
    system = [mount for mount in _system(container, machine) if mount["destination"] not in taken]
    return system + sorted(found, key=lambda mount: mount["destination"].count("/"))


def _clean(path: str) -> str:
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _system(container: ContainerConfig, machine: Machine) -> list[Document]:
    access = "rw" if container.security.privileged else "ro"
    hardened = ("nosuid", "noexec", "nodev")
    return [
        _mount("/proc", "proc", "proc", *hardened),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/dev/mqueue", "mqueue", "mqueue", *hardened),
        _mount("/sys", "sysfs", "sysfs", *hardened, access),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", *hardened, "relatime", access),
    ]


def _mount(destination: str, kind: str, source: str, *options: str) -> Document:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _rootfs_propagation(container: ContainerConfig) -> str:
    wanted = {mount.propagation for mount in container.mounts}
    return "rshared" if "rshared" in wanted else "rslave" if "rslave" in wanted else "private"


def resources(limits: Resources, privileged: bool, devices: Sequence[DeviceNode], unified: bool) -> Document:
    """Limits of the container's cgroup; the OCI runtime adds the standard devices itself."""
    rules: list[Document] = [{"allow": privileged, "access": "rwm"}]
    if not privileged:
        rules += [
            {"allow": True, "type": device.kind, "major": device.major, "minor": device.minor,
             "access": device.permissions}
            for device in devices
        ]  # fmt: skip
    cpu: Document = {"shares": limits.cpu_shares} if limits.cpu_shares else {}
    if limits.cpu_quota:
        cpu |= {"quota": limits.cpu_quota, "period": limits.cpu_period or 100_000}
    found: Document = {"devices": rules, "cpu": cpu}
    if limits.memory_limit:
        found["memory"] = {"limit": limits.memory_limit}
        if unified:
            found["memory"]["swap"] = limits.memory_limit
    if limits.pids_limit:
        found["pids"] = {"limit": limits.pids_limit}
    if unified and limits.memory_limit:
        # the whole container dies of want of memory, as upstream has it on v2
        found["unified"] = {"memory.oom.group": "1"}
    return found


def _device(device: DeviceNode) -> Document:
    return {
        "path": device.path,
        "type": device.kind,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.mode,
        "uid": device.uid,
        "gid": device.gid,
    }
