"""`sampan logs APP`: what all pods of an app write; with -f those that come later, too, until it is interrupted."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from sampan.api.errors import StatusError
from sampan.api.extra.expansion import APP
from sampan.cli.context import CommandError
from sampan.cli.kubectl import pods, words
from sampan.cli.kubectl.session import Query, Session, lines

Document = dict[str, Any]

STREAMS = 50
"""Logs that are followed at once; pods beyond it are named and left out."""
_STARTED = ("running", "terminated")


async def is_app(session: Session, name: str) -> bool:
    try:
        await session.read(f"/apis/sampan.dev/v1/namespaces/{session.namespace}/apps/{name}")
    except StatusError as error:
        if error.code in (403, 404, 405):
            return False
        raise
    return True


class AppLogs:
    """Every line with its pod before it, in the order in which lines arrive. `grep` keeps lines that contain a text."""

    def __init__(self, session: Session, app: str, query: Query, grep: str = "") -> None:
        self._session = session
        self._app = app
        self._query = query
        self._grep = grep
        self._seen: set[tuple[str, str, int]] = set()
        self._open = 0

    async def run(self, *, follow: bool, previous: bool) -> int:
        path, labels = f"/api/v1/namespaces/{self._session.namespace}/pods", {"labelSelector": f"{APP}={self._app}"}
        listed = await self._session.read(path, labels)
        found = sorted(listed.get("items") or [], key=lambda pod: pod["metadata"].get("creationTimestamp") or "")
        if not follow:
            if not found:
                self._session.context.err(f"{self._app} has no pods; `sampan why {self._app}` tells why")
            for pod in found:
                await self._of(pod, previous=previous)
            return 0
        version = (listed.get("metadata") or {}).get("resourceVersion") or ""
        async with asyncio.TaskGroup() as group:
            for pod in found:
                self._start(group, pod)
            watch = self._session.watch(path, {**labels, "resourceVersion": version})
            async with aclosing(watch) as events:
                async for event in events:
                    if event["type"] in ("ADDED", "MODIFIED"):
                        self._start(group, event["object"])
        return 0

    def _start(self, group: asyncio.TaskGroup, pod: Document) -> None:
        """Follow each run of the pod's containers once."""
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            state = status.get("state") or {}
            run = (pod["metadata"]["uid"], status["name"], status.get("restartCount") or 0)
            if run in self._seen or not any(word in state for word in _STARTED):
                continue
            self._seen.add(run)
            if self._open >= STREAMS:
                self._session.context.err(f"{pod['metadata']['name']}: left out, {STREAMS} logs are followed already")
                continue
            self._open += 1
            group.create_task(self._follow(pod, status["name"]), name=f"log {pod['metadata']['name']}")

    async def _follow(self, pod: Document, container: str) -> None:
        try:
            await self._copy(pod, container, follow=True, previous=False)
        finally:
            self._open -= 1

    async def _of(self, pod: Document, *, previous: bool) -> None:
        """A pod that has crashed: the run before, too, because it says why."""
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            if (status.get("restartCount") or 0) and not previous:
                await self._copy(pod, status["name"], follow=False, previous=True)
            await self._copy(pod, status["name"], follow=False, previous=previous)

    async def _copy(self, pod: Document, container: str, *, follow: bool, previous: bool) -> None:
        query = {**self._query, "container": container, "follow": follow or "", "previous": previous or ""}
        name = pod["metadata"]["name"]
        several = len(pods.containers(pod)) > 1
        prefix = f"{name}/{container}" if several else name
        prefix += " (before)" if previous else ""
        out = self._session.context.stdout
        try:
            response = await self._session.raw("GET", pods.path(pod, "log"), query)
            async with aclosing(lines(response)) as stream:
                async for line in stream:
                    text = line.decode(errors="replace")
                    if self._grep in text:
                        out.write(f"{prefix}  {text}\n")
                        out.flush()
        except StatusError as error:
            if not previous:
                self._session.context.err(f"{prefix}: {words.refusal(error)}")
        except OSError as error:
            raise CommandError(f"error: the log of {name} broke off: {error}") from error
