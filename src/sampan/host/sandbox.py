"""A pod's sandbox: namespaces, files, shared memory and cgroup. Made and unmade by system calls, idempotently."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

import msgspec

from sampan.host import cgroups, mounts, namespaces, sandbox_init, state
from sampan.host.containers import DNSConfig, SandboxConfig
from sampan.host.layout import Layout
from sampan.host.spec import Place

_SHM_SIZE = 64 << 20
_HOST_RESOLV = "/etc/resolv.conf"
INIT = "init"


def make(layout: Layout, hierarchies: cgroups.Hierarchies, id: str, config: SandboxConfig) -> None:
    """Everything but the network's interface and the shared init. Raises OSError; `unmake` cleans up."""
    directory = layout.sandbox_run(id)
    os.makedirs(directory)
    cgroups.create(hierarchies, layout.cgroup(config.cgroup), config.resources)
    pins = pinned(layout, id, config)
    if pins:
        namespaces.pin(pins, hostname=config.hostname, sysctls=config.sysctls)
    state.write_file(f"{directory}/hostname", f"{config.hostname}\n".encode(), 0o644)
    state.write_file(f"{directory}/resolv.conf", resolv_conf(config.dns), 0o644)
    if not config.host_ipc:
        os.mkdir(f"{directory}/shm")
        mounts.tmpfs(f"{directory}/shm", size=_SHM_SIZE, mode=0o1777)


def pinned(layout: Layout, id: str, config: SandboxConfig) -> dict[str, str]:
    """The namespaces that are the pod's own and the files that hold them. The host's network brings its UTS."""
    found = {}
    if not config.host_network:
        found["net"] = layout.netns_file(id)
        found["uts"] = f"{layout.sandbox_run(id)}/uts"
    if not config.host_ipc:
        found["ipc"] = f"{layout.sandbox_run(id)}/ipc"
    return found


def place(layout: Layout, id: str, config: SandboxConfig, container: str, init_pid: int, unified: bool) -> Place:
    """Where a container of this sandbox has its parts."""
    names = {"net": "network", "uts": "uts", "ipc": "ipc"}
    used: dict[str, str] = {names[kind]: path for kind, path in pinned(layout, id, config).items()}
    used["mount"] = ""
    if init_pid:
        used["pid"] = f"/proc/{init_pid}/ns/pid"
    elif not config.host_pid:
        used["pid"] = ""
    if unified:
        used["cgroup"] = ""
    directory = layout.sandbox_run(id)
    return Place(
        rootfs=layout.rootfs(container),
        cgroup=layout.cgroup(config.cgroup, container),
        namespaces=used,
        hostname_file=f"{directory}/hostname" if config.hostname else "/etc/hostname",
        resolv_file=f"{directory}/resolv.conf",
        shm="/dev/shm" if config.host_ipc else f"{directory}/shm",  # noqa: S108  the host's own, as asked
    )


def resolv_conf(dns: DNSConfig) -> bytes:
    """The pod's /etc/resolv.conf; without any setting the host's, as resolv.conf(5) has it."""
    if not (dns.servers or dns.searches or dns.options):
        try:
            with open(_HOST_RESOLV, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""
    lines = [f"search {' '.join(dns.searches)}"] if dns.searches else []
    lines += [f"nameserver {server}" for server in dns.servers]
    lines += [f"options {' '.join(dns.options)}"] if dns.options else []
    return "".join(f"{line}\n" for line in lines).encode()


def init_bundle(layout: Layout, id: str, config: SandboxConfig) -> str:
    """Write the bundle of the shared PID namespace's init; returns its directory."""
    directory = f"{layout.sandbox_run(id)}/{INIT}"
    os.makedirs(f"{directory}/rootfs/proc", exist_ok=True)
    sandbox_init.write(f"{directory}/rootfs/init")
    used: list[Mapping[str, str]] = [
        {"type": {"net": "network"}.get(kind, kind), "path": path} for kind, path in pinned(layout, id, config).items()
    ]
    document = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 65535, "gid": 65535},
            "args": ["/init"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {},
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "cgroupsPath": "/" + layout.cgroup(config.cgroup, id),
            "namespaces": [*used, {"type": "pid"}, {"type": "mount"}],
        },
    }
    state.write_file(f"{directory}/config.json", msgspec.json.encode(document))
    return directory


def forget_init(root: str, id: str) -> None:
    """Delete the OCI runtime's state of the shared init. Idempotent."""
    shutil.rmtree(f"{root}/{id}", ignore_errors=True)


def release(layout: Layout, id: str) -> None:
    """Let the namespaces go: the network's name, then the others. Idempotent."""
    namespaces.unpin(layout.netns_file(id))
    for kind in ("uts", "ipc"):
        namespaces.unpin(f"{layout.sandbox_run(id)}/{kind}")


def unmake(layout: Layout, hierarchies: cgroups.Hierarchies, id: str, config: SandboxConfig | None) -> None:
    """Remove all that `make` made. Idempotent; the pod's cgroup goes only when nothing runs in it."""
    release(layout, id)
    directory = layout.sandbox_run(id)
    mounts.unmount(f"{directory}/shm")
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        pass
    if config is not None and config.cgroup:
        cgroups.remove(hierarchies, layout.cgroup(config.cgroup))
