"""emptyDir volumes that have outgrown their sizeLimit: their pods are evicted, as the API promises.

The kernel enforces the limit of those in memory; the ones on disk are measured, as du(1) does it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Iterator
from typing import Protocol

from sampan.api import quantity
from sampan.api.types import core_v1
from sampan.node.contracts import Places
from sampan.runtime.clock import Clock, RealClock

_PATH = 4000
"""Bytes of a path that the kernel takes, or a little less; a letter has four at most."""
EVERY = 10.0
"""Seconds between two looks; a look that took long is followed by a pause of at least 20 times as long."""

_PATIENCE = 20


class Evictor(Protocol):
    """The agent."""

    def pods(self) -> Collection[core_v1.Pod]: ...

    def evict(self, pod: core_v1.Pod, reason: str, message: str) -> None: ...


class StorageLimits:
    """`run` never returns."""

    def __init__(self, agent: Evictor, places: Places, clock: Clock | None = None) -> None:
        self._agent = agent
        self._places = places
        self._clock = clock or RealClock()

    async def run(self) -> None:
        while True:
            began = self._clock.monotonic()
            await self.look()
            took = self._clock.monotonic() - began
            await self._clock.sleep(max(EVERY, took * _PATIENCE))

    async def look(self) -> int:
        """Measure every limited volume once; returns how many pods were evicted."""
        evicted = 0
        for pod in self._agent.pods():
            if pod.status.phase not in ("Succeeded", "Failed") and (message := await self._excess(pod)):
                self._agent.evict(pod, "Evicted", message)
                evicted += 1
        return evicted

    async def _excess(self, pod: core_v1.Pod) -> str:
        """What is too large about the pod, "" for nothing."""
        loop = asyncio.get_running_loop()
        for name, text in limits(pod):
            path = str(self._places.volumes(pod.metadata.uid or "") / name)
            if await loop.run_in_executor(None, used, path) > quantity.value(text):
                return f'Usage of EmptyDir volume "{name}" exceeds the limit "{text}". '
        return ""


def limits(pod: core_v1.Pod) -> Iterator[tuple[str, str]]:
    """(volume, limit) of the emptyDir volumes on disk that have one."""
    for volume in pod.spec.volumes:
        source = volume.emptyDir
        if source is not None and not source.medium and source.sizeLimit and quantity.nano(source.sizeLimit) > 0:
            yield volume.name, source.sizeLimit


def used(path: str) -> int:
    """Bytes on disk of a directory and all below it; files that vanish meanwhile do not count."""
    total, seen, waiting = 0, set[tuple[int, int]](), [path]
    while waiting:
        current = waiting.pop()
        try:
            descriptor = _opened(current)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            with os.scandir(descriptor) as found:
                entries = list(found)
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if status.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                    if (status.st_dev, status.st_ino) in seen:
                        continue
                    seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{current}/{entry.name}")
        finally:
            os.close(descriptor)
    return total


def _opened(path: str) -> int:
    """A directory, however long its path is: who makes deep ones shall not be unmeasurable."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    if len(os.fsencode(path)) < _PATH:
        return os.open(path, flags)
    # As much of the path at once as one call takes.
    at = path.rindex("/", 0, _PATH // 4)
    current, rest = os.open(path[:at], flags), path[at + 1 :]
    while rest:
        end = len(rest) if len(rest) < _PATH // 4 else rest.rindex("/", 0, _PATH // 4)
        try:
            inner = os.open(rest[:end], flags | os.O_NOFOLLOW, dir_fd=current)
        finally:
            os.close(current)
        current, rest = inner, rest[end + 1 :]
    return current
