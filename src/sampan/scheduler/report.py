"""Telling the API server, and through it people, what became of a pod: its condition, and who was evicted for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from sampan.api import conditions
from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.client.client import FAILURES, Client
from sampan.runtime.clock import Clock, rfc3339
from sampan.runtime.events import Recorder
from sampan.runtime.tasks import Group, all_of

log = logging.getLogger(__name__)

WRITERS = 4
"""Conditions that are written at a time; a pod waits at most once, with what was said last."""


class Report(NamedTuple):
    """`nominated` is the node promised, "" for none."""

    pod: core_v1.Pod
    message: str
    nominated: str


class Reporter:
    def __init__(self, client: Client, recorder: Recorder, clock: Clock, name: str) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock
        self._name = name
        self._waiting: dict[str, Report] = {}
        self._arrived = asyncio.Event()

    def unschedulable(self, pod: core_v1.Pod, message: str, nominated: str) -> None:
        """An event each time; the condition when it says something new."""
        self._recorder.emit(pod, "Warning", "FailedScheduling", message)
        known = conditions.find(pod.status.conditions, "PodScheduled")
        same = known is not None and (known.status, known.reason, known.message) == ("False", "Unschedulable", message)
        uid = pod.metadata.uid or ""
        if same and (pod.status.nominatedNodeName or "") == nominated:
            self._waiting.pop(uid, None)
            return
        self._waiting[uid] = Report(pod, message, nominated)
        self._arrived.set()

    def forget(self, uid: str) -> None:
        """The pod has a node, or is gone."""
        self._waiting.pop(uid, None)

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            async with Group("reports") as group:
                for at in range(min(WRITERS, len(self._waiting))):
                    group.start(str(at), self._drain())

    async def _drain(self) -> None:
        while self._waiting:
            report = self._waiting.pop(next(iter(self._waiting)))
            condition = self._condition(report.pod, "PodScheduled", "False", "Unschedulable", report.message)
            await self._patch(report.pod, {"conditions": [condition], "nominatedNodeName": report.nominated or None})

    async def clear_nomination(self, pod: core_v1.Pod) -> None:
        await self._patch(pod, {"nominatedNodeName": None})

    async def evict(self, victims: Sequence[core_v1.Pod], preemptor: core_v1.Pod, node: str) -> bool:
        """Delete the victims, each told why. False when one of them could not be deleted."""
        outcomes = await all_of("evict", (self._evict(victim, preemptor, node) for victim in victims))
        for error in outcomes:
            if isinstance(error, Exception) and not isinstance(error, FAILURES):
                raise error
        return all(outcome is True for outcome in outcomes)

    async def _evict(self, victim: core_v1.Pod, preemptor: core_v1.Pod, node: str) -> bool:
        meta = victim.metadata
        why = f"{self._name}: preempting to accommodate a higher priority pod"
        condition = self._condition(victim, "DisruptionTarget", "True", "PreemptionByScheduler", why)
        await self._patch(victim, {"conditions": [condition]})
        try:
            await self._client.delete(core_v1.Pod, meta.name or "", meta.namespace or "", uid=meta.uid)
        except FAILURES as error:
            if isinstance(error, StatusError) and error.code == 404:
                return True
            log.warning("evicting %s/%s: %s", meta.namespace, meta.name, error or type(error).__name__)
            return False
        self._recorder.emit(victim, "Normal", "Preempted", f"Preempted by pod {preemptor.metadata.uid} on node {node}")
        return True

    def _condition(self, pod: core_v1.Pod, type: str, status: str, reason: str, message: str) -> dict[str, Any]:
        """In full: lists of conditions are merged by type."""
        known = conditions.find(pod.status.conditions, type)
        condition = core_v1.PodCondition(type=type, status=status, reason=reason, message=message)
        (new,) = conditions.put((known,) if known else (), condition, rfc3339(self._clock.now()))
        found: dict[str, Any] = {"type": type, "status": status, "reason": reason, "message": message}
        found |= {"lastTransitionTime": new.lastTransitionTime, "lastProbeTime": None}
        return found | ({"observedGeneration": pod.metadata.generation} if pod.metadata.generation else {})

    async def _patch(self, pod: core_v1.Pod, status: dict[str, Any]) -> None:
        meta = pod.metadata
        body = {"metadata": {"uid": meta.uid}, "status": status}
        try:
            await self._client.patch(
                core_v1.Pod, meta.name or "", meta.namespace or "", body=body, how="strategic", subresource="status"
            )
        except FAILURES as error:
            # The next attempt says it again; a pod that is gone needs no condition.
            log.debug("status of %s/%s: %s", meta.namespace, meta.name, error or type(error).__name__)
