"""Sees that pods leave the machine enough: looks every LOOK seconds and, when it is short, ends one pod at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sampan.api.types import core_v1
from sampan.host.containers import RuntimeFailure
from sampan.node import eviction, host_facts, machine, storage_limits
from sampan.node.deeds import Node
from sampan.node.eviction import Consumer
from sampan.node.worker import Worker

log = logging.getLogger(__name__)

LOOK = 10.0


@dataclass(frozen=True, slots=True)
class Warden:
    """`workers` are the pods that run; `evict` takes (pod, reason, message, grace in seconds)."""

    node: Node
    workers: Callable[[], Collection[Worker]]
    evict: Callable[[core_v1.Pod, str, str, float], None]
    usage: Callable[[str], host_facts.Usage] = host_facts.usage

    async def run(self) -> None:
        """Never returns."""
        while True:
            await self.node.clock.sleep(LOOK)
            try:
                await self.look()
            except (OSError, RuntimeFailure) as error:
                log.warning("node pressure: %s", error)

    async def look(self) -> None:
        usage = self.usage(str(self.node.config.places.root))
        resource = eviction.starved(usage)
        if resource and resource != "memory":
            await self.node.images.reclaim(self.node.inventory.used_images())
            usage = self.usage(str(self.node.config.places.root))
            resource = eviction.starved(usage)
        running = [worker for worker in self.workers() if not worker.ending]
        if resource:
            consumers = [await self._consumer(worker.pod, disk=resource != "memory") for worker in running]
            found = eviction.victim(consumers, resource)
            if found is not None:
                end = eviction.low(found, resource, usage)
                self.evict(found.pod, end.reason, end.message, machine.MINIMAL_GRACE)

    async def _consumer(self, pod: core_v1.Pod, *, disk: bool) -> Consumer:
        uid = pod.metadata.uid or ""
        memory = 0
        for sandbox in self.node.inventory.sandboxes(uid):
            stats = await self.node.runtime.sandbox_stats(sandbox.id) if sandbox.ready else None
            memory += stats.memory_working_set if stats is not None else 0
        if not disk:
            return Consumer(pod, memory)
        return Consumer(pod, memory, await asyncio.to_thread(self._disk, pod))

    def _disk(self, pod: core_v1.Pod) -> int:
        """Bytes of the pod's emptyDir volumes and logs. Blocking."""
        meta, places = pod.metadata, self.node.config.places
        uid = meta.uid or ""
        paths = [
            str(places.volumes(uid) / volume.name)
            for volume in pod.spec.volumes
            if volume.emptyDir is not None and not volume.emptyDir.medium
        ]
        logs = str(places.log_directory(meta.namespace or "", meta.name or "", uid))
        return sum(storage_limits.used(path) for path in (*paths, logs))
