"""What the node can say of its machine: processors, memory, storage, names and versions. Blocking but quick."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from sampan.api.types import core_v1
from sampan.node.contracts import Capacity

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}

RESERVED_MEMORY = 100 << 20
"""Bytes that stay free for the machine itself; below it pods are evicted."""
RESERVED_STORAGE = 10
"""Percent of the file system, likewise."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much is left, as the conditions of pressure see it: bytes, and shares in percent."""

    memory_available: int
    disk_available: float
    inodes_available: float
    pids_available: float


def architecture() -> str:
    return ARCHITECTURES.get(platform.machine(), platform.machine())


def capacity(path: str, max_pods: int) -> Capacity:
    """Of this machine; `path` lies on the file system that pods write to. Raises OSError."""
    memory = meminfo()
    return Capacity(
        cpu_milli=1000 * len(os.sched_getaffinity(0)),
        memory=memory["MemTotal"],
        ephemeral_storage=disk(path)[0],
        pods=max_pods,
        hugepages=hugepages(),
    )


def reserved(whole: Capacity) -> Capacity:
    """What pods do not get of it."""
    storage = whole.ephemeral_storage * RESERVED_STORAGE // 100
    return Capacity(0, sum(whole.hugepages.values()) + RESERVED_MEMORY, storage, 0)


def usage(path: str) -> Usage:
    _, available, inodes = disk(path)
    return Usage(meminfo()["MemAvailable"], available, inodes, _pids())


def disk(path: str) -> tuple[int, float, float]:
    """(bytes of the file system, percent of bytes available, percent of inodes available)."""
    status = os.statvfs(path)
    inodes = 100.0 * status.f_favail / status.f_files if status.f_files else 100.0
    return status.f_blocks * status.f_frsize, 100.0 * status.f_bavail / max(1, status.f_blocks), inodes


def meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    found = {}
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        found[name] = int(words[0]) * (1024 if len(words) > 1 else 1)
    return found


def hugepages() -> dict[str, int]:
    """Preallocated bytes by resource name."""
    found = {}
    root = Path("/sys/kernel/mm/hugepages")
    for directory in sorted(root.glob("hugepages-*kB")):
        size = int(directory.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
        number = int((directory / "nr_hugepages").read_text(encoding="ascii"))
        found[f"hugepages-{binary(size)}"] = number * size
    return found


def binary(size: int) -> str:
    """Bytes with the largest binary suffix that keeps them whole."""
    for suffix in ("", "Ki", "Mi", "Gi"):
        if size % 1024 or suffix == "Gi":
            return f"{size}{suffix}"
        size //= 1024
    return str(size)


def _pids() -> float:
    """Percent of process IDs that are free."""
    limit = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    threads = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[2])
    return 100.0 * max(0, limit - threads) / limit


def node_info(version: str, runtime_version: str) -> core_v1.NodeSystemInfo:
    swap = meminfo().get("SwapTotal", 0)
    return core_v1.NodeSystemInfo(
        machineID=_first_line("/etc/machine-id"),
        systemUUID=_first_line("/sys/class/dmi/id/product_uuid") or _first_line("/etc/machine-id"),
        bootID=_first_line("/proc/sys/kernel/random/boot_id"),
        kernelVersion=platform.release(),
        osImage=_os_image(),
        containerRuntimeVersion=runtime_version,
        kubeletVersion=version,
        operatingSystem="linux",
        architecture=architecture(),
        swap=core_v1.NodeSwapStatus(capacity=swap) if swap else None,
    )


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
