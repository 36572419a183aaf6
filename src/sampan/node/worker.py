"""One pod's life on this node: look, decide, act, again and again, woken by whatever happens to the pod.

    pod updates, runtime changes, probe verdicts, timers, ends of actions -> wake -> turn
    turn: observation -> machine.decide -> actions (a task each, one for a key); status -> StatusWriter

A turn never waits. Everything slow is a task of its own, whose end wakes the worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import msgspec

from sampan.api import conditions
from sampan.api.types import core_v1
from sampan.client.cache import revision
from sampan.host.containers import Container, Resources
from sampan.node import container_status, deeds, machine, memory, observation, status
from sampan.node.deeds import Node
from sampan.node.memory import Memory
from sampan.node.observation import Ending, PodObservation, ResizeRefusal
from sampan.node.performer import Performer
from sampan.node.plan import Action, Plan, StopContainer
from sampan.runtime import tasks
from sampan.runtime.backoff import Failures
from sampan.runtime.clock import Timer, rfc3339, unix

log = logging.getLogger(__name__)

MAKING = ("start ", "sandbox", "volumes")
"""Keys of actions after which something exists that has to be taken down again."""


class Worker:
    """`run` ends when nothing of the pod is left, here and at the API server."""

    def __init__(self, node: Node, pod: core_v1.Pod) -> None:
        self.node = node
        self.uid = pod.metadata.uid or ""
        self.wanted: core_v1.PodStatus | None = None
        containers = node.inventory.containers(self.uid)
        self._memory = Memory(pod, unix(pod.status.startTime) or node.clock.now())
        self._memory.attempts = memory.adopted_attempts(pod, containers)
        self._performer = Performer(node, self._memory, self._start, self._cancel)
        self._unprobed = {each.id for each in containers if each.state == "running"}
        self._gone = self._deleted = self._held = False
        self._settled: tuple[core_v1.PodStatus, core_v1.PodStatus] | None = None
        self._group: tasks.Group | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._deadlines: dict[str, float] = {}
        self._awake = asyncio.Event()
        self._awake.set()
        self._timer: Timer | None = None
        self._limits: tuple[core_v1.PodSpec, ResizeRefusal | None, dict[str, Resources], Resources] | None = None

    # --- what happens ---

    @property
    def pod(self) -> core_v1.Pod:
        """The newest state that the server has shown."""
        return self._memory.pod

    def update(self, pod: core_v1.Pod) -> None:
        """The pod as the server has it; older states are ignored."""
        old = self.pod
        if pod.metadata.uid != self.uid or revision(pod) <= revision(old):
            return
        self._memory.pod = pod
        described = (old.metadata.labels, old.metadata.annotations)
        if old.spec != pod.spec or old.metadata.annotations != pod.metadata.annotations:
            self._memory.forgive()
        if described != (pod.metadata.labels, pod.metadata.annotations):
            self.refresh_volumes()
        self.wake()

    def acknowledge(self, pod: core_v1.Pod, told: core_v1.PodStatus) -> None:
        """Also what the server made of a status: telling it again would not change it."""
        self._settled = (told, pod.status)
        self.update(pod)

    def deleted(self, left: core_v1.Pod | None) -> None:
        self._deleted = True
        if left is None:
            self.vanished()
        else:
            self.update(left)

    def vanished(self) -> None:
        """The server has no such pod any more: stop what still runs, and leave."""
        if self._gone:
            return
        self._gone = True
        pod = self.pod
        if not pod.metadata.deletionTimestamp:
            meta = msgspec.structs.replace(
                pod.metadata,
                deletionTimestamp=rfc3339(self.node.clock.now()),
                deletionGracePeriodSeconds=int(machine.grace_period(pod)),
            )
            self._memory.pod = msgspec.structs.replace(pod, metadata=meta)
        self.wake()

    def end(self, verdict: Ending) -> None:
        """The node ends the pod: it does not fit, or is evicted. The first verdict stands."""
        if self._memory.verdict is None:
            self._memory.verdict = verdict
            self.wake()

    def hold(self) -> None:
        """Do nothing yet: whether the pod may run here is still being asked."""
        self._held = True

    def release(self) -> None:
        self._held = False
        self.wake()

    @property
    def granted(self) -> core_v1.Pod:
        """The pod with the resources that the node grants it."""
        return self._memory.granted

    @property
    def resize(self) -> ResizeRefusal | None:
        return self._memory.resize

    def judge(self, refusal: ResizeRefusal | None) -> None:
        """Whether the pod may have the resources that it asks for now."""
        if refusal != self._memory.resize:
            self._memory.resize = refusal
            self.wake()

    def wake(self) -> None:
        self._awake.set()

    def refresh_volumes(self) -> None:
        """Bring ConfigMaps, Secrets, tokens and labels in the pod's volumes up to date."""
        if self._memory.volumes_ready and self._group is not None:
            self._start("sync volumes", self._performer.sync_volumes)

    @property
    def deletable(self) -> bool:
        asked = self._deleted or self._gone
        return bool(self.pod.metadata.deletionTimestamp) and self._memory.released and not asked

    @property
    def ending(self) -> bool:
        """It is on its way out, or has ended."""
        return bool(self._memory.stop_by) or self._memory.verdict is not None

    @property
    def over(self) -> bool:
        """It has ended and holds nothing of the node's any more."""
        return self._memory.released

    # --- the loop ---

    async def run(self) -> None:
        async with tasks.Group(f"pod {self.pod.metadata.namespace}/{self.pod.metadata.name}") as self._group:
            while not (self._gone and self._memory.released and not self._tasks):
                await self._awake.wait()
                self._awake.clear()
                if not self._held:
                    self._turn()
        if self._timer is not None:
            self._timer.cancel()
        self.node.writer.forget(self.uid)
        await self._erase()

    async def _erase(self) -> None:
        failures = Failures(memory.RETRY)
        while True:
            try:
                await deeds.erase(self.node, self.pod)
                return
            except Exception as error:
                seconds = failures.failed("erase")
                log.warning("what is left of pod %s: %s; again in %.1f s", self.uid, error, seconds)
            await self.node.clock.sleep(seconds)

    def _turn(self) -> None:
        now = self.node.clock.now()
        seen = self._observe(now)
        if seen.stop_by:
            for key in [key for key in self._tasks if key.startswith("image ")]:
                self._cancel(key)
        plan = machine.decide(self.pod, seen, now)
        for action in plan.actions:
            self._begin(action, now)
        self._arm(plan, now)
        if not self._gone:
            self._publish(seen, now)

    def _observe(self, now: float) -> PodObservation:
        known, node, pod = self._memory, self.node, self.pod
        containers = node.inventory.containers(self.uid)
        limits, whole = self._wanted_limits()
        seen = PodObservation(
            started_at=known.started_at,
            sandboxes=node.inventory.sandboxes(self.uid),
            containers=containers,
            volumes_ready=known.volumes_ready,
            volumes_wait=known.volumes_wait,
            sandbox_wait=known.sandbox_wait,
            waits=known.waits,
            images=frozenset(known.images),
            hooking=frozenset(known.hooking),
            doomed=known.doomed,
            messages=known.messages,
            attempts=known.attempts,
            resources=limits,
            pod_resources=whole,
            resize=known.resize,
            resize_error=known.resize_error,
            verdict=known.verdict,
            stop_by=known.stop_by,
            making=any(key.startswith(MAKING) for key in self._tasks),
            released=known.released,
            host_ips=node.config.ips,
            qos=pod.status.qosClass or node.parts.qos(pod),
        )
        told = observation.stories(pod, seen)
        self._adopt(containers)
        memory.collect_messages(pod, told, known, node.config.places)
        for story in told:
            if story.exited and story.current is not None:
                node.parts.probes.stop(story.current.id)
        seen = replace(seen, probes=memory.verdicts(told, node.parts.probes.result))
        end = machine.ending(pod, seen, now)
        if end is None and machine.is_finished(pod, told, seen):
            end = Ending(grace=machine.grace_period(pod))
        if end is None:
            return seen
        known.stop_by = machine.stop_by(seen, end, now)
        return replace(seen, stop_by=known.stop_by)

    def _wanted_limits(self) -> tuple[dict[str, Resources], Resources]:
        """By container name, and of the whole pod; computed once for a specification."""
        basis = (self.pod.spec, self._memory.resize)
        if self._limits is None or self._limits[0] is not basis[0] or self._limits[1] is not basis[1]:
            parts, capacity, pod = self.node.parts, self.node.config.capacity, self._memory.granted
            everyone = (*pod.spec.initContainers, *pod.spec.containers)
            limits = {each.name: parts.resources(pod, each, capacity) for each in everyone}
            self._limits = *basis, limits, parts.resources(pod, None, capacity)
        return self._limits[2], self._limits[3]

    def _adopt(self, containers: tuple[Container, ...]) -> None:
        """Containers that ran before this process did are probed on."""
        if not self._unprobed:
            return
        adopted, self._unprobed = self._unprobed, set()
        for container in containers:
            spec = self._performer.spec(container.config.name)
            if container.id in adopted and isinstance(spec, core_v1.Container):
                self.node.parts.probes.start(self._performer.placed(), spec, container.id)

    def _arm(self, plan: Plan, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = min((each for each in (plan.wake_at, *self._memory.held.values()) if each > now), default=0.0)
        if at:
            self._timer = self.node.clock.call_later(at - now, self.wake)

    def _publish(self, seen: PodObservation, now: float) -> None:
        old = self.pod.status
        new = self.wanted = status.status(self.pod, seen, now)
        if (new != old and (new, old) != self._settled) or self.deletable:
            self.node.writer.submit(self, urgent=self.deletable or _matters(old, new))

    # --- actions ---

    def _begin(self, action: Action, now: float) -> None:
        key = action.key
        if self._memory.held.get(key, 0.0) > now:
            return
        if isinstance(action, StopContainer):
            by = now + action.grace
            if key in self._tasks and by < self._deadlines.get(key, by) - 0.5:
                # The grace period became shorter: what waits for the longer one gives way.
                self._cancel(key)
            if key not in self._tasks:
                self._deadlines[key] = by
        self._start(key, lambda: self._performer.perform(action))

    def _start(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        assert self._group is not None
        if key not in self._tasks:
            self._tasks[key] = self._group.start(key, self._guarded(key, work))

    def _cancel(self, key: str) -> None:
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    async def _guarded(self, key: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """What fails in a way that nobody foresaw is reported and tried again later."""
        self._memory.held.pop(key, None)
        try:
            await work()
        except Exception:
            now = self.node.clock.now()
            self._memory.held[key] = now + self._memory.failures.failed(key)
            log.exception("pod %s: %s", container_status.pod_name(self.pod), key)
        finally:
            if self._tasks.get(key) is asyncio.current_task():
                del self._tasks[key]
            self.wake()


def _matters(old: core_v1.PodStatus, new: core_v1.PodStatus) -> bool:
    """Whether somebody may be waiting for this: the pod came up, went down, became ready or ceased to be."""
    moved = old.phase != new.phase and new.phase != "Pending"
    return moved or conditions.is_true(old.conditions, "Ready") != conditions.is_true(new.conditions, "Ready")
