"""How full a volume is, and the words for one that is. Pure but for the two questions to the file system."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from sampan.api import quantity
from sampan.api.extra.expansion import APP
from sampan.api.types import core_v1

FULL = "VolumeFull"
"""The condition of a claim, and the reason of the events."""
_SHARE, _MOST = 20, 64 << 20
"""A volume is full when less than a twentieth of it is free, or in a large one less than 64 MiB."""


class Usage(NamedTuple):
    """Bytes and files; files are 0 for a directory, which has no number of its own."""

    capacity: int
    available: int
    used: int
    inodes: int = 0
    inodes_free: int = 0

    @staticmethod
    def of_file_system(path: str) -> Usage:
        found = os.statvfs(path)
        size = found.f_frsize
        taken = (found.f_blocks - found.f_bfree) * size
        return Usage(found.f_blocks * size, found.f_bavail * size, taken, found.f_files, found.f_ffree)

    @staticmethod
    def of_directory(used: int, limit: int) -> Usage:
        return Usage(limit, max(0, limit - used), used)

    def series(self) -> Iterable[tuple[str, str, int]]:
        """(name, help, value) as upstream's metrics have them, without their prefix."""
        yield "capacity_bytes", "Capacity in bytes of the volume", self.capacity
        yield "available_bytes", "Number of available bytes in the volume", self.available
        yield "used_bytes", "Number of used bytes in the volume", self.used
        if self.inodes:
            yield "inodes", "Maximum number of inodes in the volume", self.inodes
            yield "inodes_free", "Number of free inodes in the volume", self.inodes_free
            yield "inodes_used", "Number of used inodes in the volume", self.inodes - self.inodes_free

    def summary(self) -> dict[str, int]:
        """As /stats/summary has them."""
        found = {"capacityBytes": self.capacity, "availableBytes": self.available, "usedBytes": self.used}
        if self.inodes:
            free = self.inodes_free
            found |= {"inodes": self.inodes, "inodesFree": free, "inodesUsed": self.inodes - free}
        return found


def is_full(usage: Usage) -> bool:
    if usage.inodes and not usage.inodes_free:
        return True
    return usage.available <= min(usage.capacity // _SHARE, _MOST)


def words(pod: core_v1.Pod, volume: str, claim: core_v1.PersistentVolumeClaim, usage: Usage, asked: str) -> str:
    """Which volume is full, how much it holds, and how to make it larger."""
    app = pod.metadata.labels.get(APP, "")
    whose = f"volume {volume} of app {app}" if app else f"volume {volume} (claim {claim.metadata.name})"
    larger = quantity.add(asked, asked)
    if app:
        way = f"give it size {larger} in the app (spec.volumes) and deploy again"
    else:
        patch = f'{{"spec":{{"resources":{{"requests":{{"storage":"{larger}"}}}}}}}}'
        way = f"sampan patch pvc {claim.metadata.name} -p '{patch}'"
    if usage.inodes and not usage.inodes_free:
        return f"{whose} is full: all of its {usage.inodes} files are used; remove some, or make it larger: {way}"
    return f"{whose} is full: {_held(usage, asked)} of {asked} used; remove files, or make it larger: {way}"


def _held(usage: Usage, asked: str) -> str:
    """What is used, by the measure of what was asked for: the file system's own needs come on top of that."""
    size = quantity.value(asked)
    held = max(0, size - usage.available) if usage.inodes else usage.used
    if held == size:
        return asked
    for suffix, unit in (("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if held >= unit:
            return f"{held / unit:.1f}".removesuffix(".0") + suffix
    return str(held)
