"""What the volumes behind claims hold: measured every ten seconds, told when one is full, made larger when granted.

    pods with claims --> claim and volume (API) --> figures --> /stats/summary, kubelet_volume_stats_*
                                                      |
                                                      +--> condition VolumeFull on the claim, an event on pod and claim

A file system of its own is asked by statvfs(2); a directory is measured as du(1) does it, and what it may hold is what
the claim asked for.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from sampan.api import conditions
from sampan.api.types import core_v1
from sampan.client.client import FAILURES, Client
from sampan.host import mounts
from sampan.node.contracts import Places
from sampan.node.storage_limits import used
from sampan.node.volumes import claims, disk
from sampan.node.volumes.fullness import FULL, Usage, is_full, words
from sampan.runtime.clock import Clock, RealClock, rfc3339
from sampan.runtime.metrics import Sample

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two looks; one that took long is followed by a pause of at least 20 times as long."""
_PATIENCE = 20
_RESIZE = ("Resizing", "FileSystemResizePending")


@dataclass(frozen=True, slots=True)
class Measured:
    """One volume of one pod."""

    pod: core_v1.Pod
    volume: str
    claim: str
    usage: Usage
    at: float


class Pods(Protocol):
    """The agent."""

    def pods(self) -> Collection[core_v1.Pod]: ...

    def tell(self, about: object, type: str, reason: str, message: str) -> None: ...


class VolumeUsage:
    """`run` never returns. `figures` are those of the last look."""

    def __init__(self, client: Client, agent: Pods, places: Places, clock: Clock | None = None) -> None:
        self._client = client
        self._agent = agent
        self._places = places
        self._clock = clock or RealClock()
        self._unlimited: set[str] = set()
        self.figures: Sequence[Measured] = ()

    async def run(self) -> None:
        while True:
            began = self._clock.monotonic()
            await self.look()
            took = self._clock.monotonic() - began
            await self._clock.sleep(max(EVERY, took * _PATIENCE))

    async def look(self) -> None:
        found: list[Measured] = []
        for pod in self._agent.pods():
            if pod.status.phase in ("Succeeded", "Failed"):
                continue
            for volume, claim in claims_of(pod):
                try:
                    measured = await self._look_at(pod, volume, claim)
                except FAILURES as error:  # the server is away, or the volume just went: the next look tells
                    log.info("claim %s/%s: %s", pod.metadata.namespace, claim, error)
                    continue
                if measured is not None:
                    found.append(measured)
        self.figures = tuple(found)

    async def _look_at(self, pod: core_v1.Pod, volume: str, name: str) -> Measured | None:
        """None for a volume that is not mounted yet."""
        claim = await self._client.get(core_v1.PersistentVolumeClaim, name, pod.metadata.namespace or "")
        if claim.status.phase != "Bound" or not claim.spec.volumeName:
            return None
        bound = await self._client.get(core_v1.PersistentVolume, claim.spec.volumeName)
        loop = asyncio.get_running_loop()
        usage = await loop.run_in_executor(None, lambda: self._measure(pod, volume, bound))
        if usage is None:
            return None
        grown = await loop.run_in_executor(None, lambda: self._grow(pod, volume, bound))
        await self._tell(pod, volume, claim, bound, usage, grown=grown)
        return Measured(pod, volume, name, usage, self._clock.now())

    # --- what is there

    def _path(self, pod: core_v1.Pod, volume: str, bound: core_v1.PersistentVolume) -> str:
        if claims.is_limited(bound):
            return str(self._places.volumes(pod.metadata.uid or "") / volume)
        source = bound.spec.local or bound.spec.hostPath
        return source.path if source is not None else ""

    def _measure(self, pod: core_v1.Pod, volume: str, bound: core_v1.PersistentVolume) -> Usage | None:
        path = self._path(pod, volume, bound)
        limited = claims.is_limited(bound)
        if not path or not os.path.isdir(path) or (limited and not mounts.is_mounted(path)):
            return None
        if limited and disk.is_limited(_directory(bound)):
            return Usage.of_file_system(path)
        if limited or claims.is_ours(bound):
            return Usage.of_directory(used(path), claims.size(bound))
        return Usage.of_file_system(path)

    def _grow(self, pod: core_v1.Pod, volume: str, bound: core_v1.PersistentVolume) -> bool:
        """Whether the volume is as large as its object says."""
        size = claims.size(bound)
        if not claims.is_limited(bound) or not disk.is_limited(_directory(bound)):
            return True
        target = self._path(pod, volume, bound)
        if disk.holds(target, size):
            return True
        try:
            return disk.grow(_directory(bound), target, size) and disk.holds(target, size)
        except OSError as error:
            log.warning("volume %s cannot be made larger: %s", bound.metadata.name, error)
            return False

    # --- what is said

    async def _tell(
        self,
        pod: core_v1.Pod,
        volume: str,
        claim: core_v1.PersistentVolumeClaim,
        bound: core_v1.PersistentVolume,
        usage: Usage,
        *,
        grown: bool,
    ) -> None:
        status, asked = claim.status, bound.spec.capacity.get("storage", "0")
        self._warn_of_directory(pod, volume, claim, bound)
        full = is_full(usage)
        message = words(pod, volume, claim, usage, asked) if full else ""
        before = conditions.find(status.conditions, FULL)
        if full:
            told = core_v1.PersistentVolumeClaimCondition(type=FULL, status="True", reason=FULL, message=message)
            status = replace(status, conditions=conditions.put(status.conditions, told, rfc3339(self._clock.now())))
        elif before is not None:
            status = replace(status, conditions=conditions.remove(status.conditions, FULL))
        if grown and claims.is_limited(bound) and claim.status.capacity != bound.spec.capacity:
            kept = tuple(each for each in status.conditions if each.type not in _RESIZE)
            status = replace(status, capacity=bound.spec.capacity, conditions=kept)
            size = f"{volume} is {asked} now"
            self._agent.tell(claim, "Normal", "FileSystemResizeSuccessful", size)
        if status != claim.status:
            await self._client.update(replace(claim, status=status), subresource="status")
        if full and before is None:
            self._agent.tell(pod, "Warning", FULL, message)
            self._agent.tell(claim, "Warning", FULL, message)

    def _warn_of_directory(
        self, pod: core_v1.Pod, volume: str, claim: core_v1.PersistentVolumeClaim, bound: core_v1.PersistentVolume
    ) -> None:
        """Once: this volume should be limited, and this machine cannot do it."""
        uid = claim.metadata.uid or ""
        if uid in self._unlimited or not claims.is_limited(bound) or disk.is_limited(_directory(bound)):
            return
        self._unlimited.add(uid)
        why = disk.unavailable() or "it was made when this node could not limit volumes"
        text = f"volume {volume} is a plain directory, whose size is measured but not limited: {why}"
        self._agent.tell(pod, "Warning", "VolumeNotLimited", text)
        self._agent.tell(claim, "Warning", "VolumeNotLimited", text)

    # --- for the node's server

    def samples(self) -> Iterable[Sample]:
        """The kubelet's metrics of claims, as upstream names them; a claim that several pods use is told once."""
        for each in {(one.pod.metadata.namespace, one.claim): one for one in self.figures}.values():
            labels = {"namespace": each.pod.metadata.namespace or "", "persistentvolumeclaim": each.claim}
            for name, help, value in each.usage.series():
                yield Sample(f"kubelet_volume_stats_{name}", "gauge", help, labels, value)


def claims_of(pod: core_v1.Pod) -> list[tuple[str, str]]:
    """(volume, claim) of each volume of a pod that a claim stands behind."""
    found = []
    for volume in pod.spec.volumes:
        if volume.persistentVolumeClaim is not None:
            found.append((volume.name, volume.persistentVolumeClaim.claimName))
        elif volume.ephemeral is not None:
            found.append((volume.name, f"{pod.metadata.name}-{volume.name}"))
    return found


def _directory(bound: core_v1.PersistentVolume) -> str:
    assert bound.spec.local is not None
    return bound.spec.local.path
