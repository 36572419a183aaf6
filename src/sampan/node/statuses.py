"""Tells the API server the status of pods: in the background, the newest only, and what is over gets deleted.

worker -> submit -> WorkQueue (one entry a pod) -> WRITERS tasks -> PATCH status, then DELETE of what is done
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.client.client import UNREACHABLE, Client
from sampan.node import resizing
from sampan.runtime import tasks
from sampan.runtime.backoff import Exponential
from sampan.runtime.clock import Clock
from sampan.runtime.workqueue import WorkQueue

log = logging.getLogger(__name__)

WRITERS = 8
"""Requests that are under way at once."""
PATIENCE = 0.5
"""Seconds for which a status that nobody waits for may wait for a better one."""
BACKOFF = Exponential(first=0.1, longest=10.0, jitter=0.2)

PASSING = (resizing.IN_PROGRESS, resizing.PENDING)
"""Conditions that are removed when they no longer hold."""

_BY_KEY = ("podIPs", "hostIPs")
"""Lists that a strategic patch would add to; they are replaced."""


class Subject(Protocol):
    """A pod whose status is told. `pod` is the newest that the server has shown."""

    @property
    def pod(self) -> core_v1.Pod: ...

    @property
    def wanted(self) -> core_v1.PodStatus | None: ...

    @property
    def deletable(self) -> bool:
        """Nothing of it is left here: the object may go."""
        ...

    def acknowledge(self, pod: core_v1.Pod, told: core_v1.PodStatus) -> None:
        """The server's answer to a status."""
        ...

    def deleted(self, left: core_v1.Pod | None) -> None:
        """The server has been asked to delete it; what is `left` waits for finalizers."""
        ...

    def vanished(self) -> None:
        """The server says that there is no such pod any more."""
        ...


class StatusWriter:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._queue: WorkQueue[str] = WorkQueue("pod-status", clock=clock, backoff=BACKOFF)
        self._subjects: dict[str, Subject] = {}

    def submit(self, subject: Subject, *, urgent: bool) -> None:
        uid = subject.pod.metadata.uid or ""
        self._subjects[uid] = subject
        if urgent:
            self._queue.add(uid)
        else:
            self._queue.add_after(uid, PATIENCE)

    def forget(self, uid: str) -> None:
        self._subjects.pop(uid, None)
        self._queue.forget(uid)

    async def run(self) -> None:
        """Never returns."""
        async with tasks.Group("pod-status") as group:
            for at in range(WRITERS):
                group.start(str(at), self._work())

    async def _work(self) -> None:
        while True:
            uid = await self._queue.get()
            try:
                subject = self._subjects.get(uid)
                if subject is not None:
                    await self._tell(uid, subject)
            finally:
                self._queue.done(uid)

    async def _tell(self, uid: str, subject: Subject) -> None:
        try:
            await self._write(subject)
            if subject.deletable:
                await self._delete(subject)
        except StatusError as error:
            if error.code == 404 or (error.code == 409 and "uid" in str(error).lower()):
                subject.vanished()
                return
            self._again(uid, subject, error)
        except UNREACHABLE as error:
            self._again(uid, subject, error)
        else:
            self._queue.forget(uid)

    def _again(self, uid: str, subject: Subject, error: Exception) -> None:
        meta = subject.pod.metadata
        seconds = self._queue.retry(uid)
        level = logging.DEBUG if self._queue.failures(uid) < 3 else logging.WARNING
        why = error or type(error).__name__
        log.log(level, "status of pod %s/%s: %s; again in %.1f s", meta.namespace, meta.name, why, seconds)

    async def _write(self, subject: Subject) -> None:
        pod, wanted = subject.pod, subject.wanted
        body = changes(pod.status, wanted) if wanted is not None else {}
        if wanted is not None and body:
            meta = pod.metadata
            answer = await self._client.patch(
                core_v1.Pod,
                meta.name or "",
                meta.namespace or "",
                body={"metadata": {"uid": meta.uid}, "status": body},
                how="strategic",
                subresource="status",
            )
            subject.acknowledge(answer, wanted)

    async def _delete(self, subject: Subject) -> None:
        meta = subject.pod.metadata
        left = await self._client.delete(core_v1.Pod, meta.name or "", meta.namespace or "", grace=0, uid=meta.uid)
        subject.deleted(left)


def changes(old: core_v1.PodStatus, new: core_v1.PodStatus) -> dict[str, Any]:
    """The strategic merge patch of what differs; conditions that are others' are not in it."""
    if old == new:
        return {}
    before: Mapping[str, Any] = msgspec.to_builtins(old)
    after: Mapping[str, Any] = msgspec.to_builtins(new)
    body: dict[str, Any] = {name: None for name in before if name not in after}
    for name, value in after.items():
        if before.get(name) == value:
            continue
        if name == "conditions":
            known = {each["type"]: each for each in before.get(name, ())}
            body[name] = [_condition(known.get(each["type"], {}), each) for each in value]
            body[name] = [each for each in body[name] if known.get(each["type"]) != each]
            kept = {each["type"] for each in value}
            body[name] += [{"$patch": "delete", "type": type} for type in PASSING if type in known and type not in kept]
        elif name in _BY_KEY:
            body[name] = [{"$patch": "replace"}, *value]
        else:
            body[name] = value
    return body


def _condition(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A merge leaves what is not named: what is gone has to be named as such."""
    return {**dict.fromkeys(name for name in old if name not in new), **new}
