"""Assigning pods to nodes at the API server, many at a time, volumes first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sampan.api.errors import StatusError
from sampan.api.types import core_v1, meta_v1
from sampan.client.client import FAILURES, Client
from sampan.runtime.events import Recorder
from sampan.runtime.tasks import Group
from sampan.scheduler.queue import Entry
from sampan.scheduler.volumebind import VolumeBinder

log = logging.getLogger(__name__)

BINDS = 24
"""Requests that are under way at a time; no pod is taken from the queue while there are so many. With the event
recorder and the reporter they fit into the connections that the transport keeps (32): one more would be closed after
each burst, and a TLS handshake costs more than the request."""


class Binder:
    """`failed` is called with the entry and why when a pod could not be assigned."""

    def __init__(
        self,
        client: Client,
        recorder: Recorder,
        volumes: VolumeBinder,
        bound: Callable[[Entry], None],
        failed: Callable[[Entry, str], None],
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._volumes = volumes
        self._bound = bound
        self._failed = failed
        self._slots = BINDS
        self._free = asyncio.Event()
        self._free.set()

    @property
    def free(self) -> int:
        return self._slots

    async def room(self) -> None:
        """Wait until one more may begin."""
        await self._free.wait()

    def start(self, group: Group, entry: Entry, node: str, claims: tuple[str, ...]) -> None:
        """Pods that wait for volumes take no slot meanwhile: that may take minutes."""
        if claims:
            group.start(f"bind {entry.pod.metadata.name}", self._with_volumes(entry, node, claims))
        else:
            group.start(f"bind {entry.pod.metadata.name}", self._bind(entry, node))
            self._take()

    async def _with_volumes(self, entry: Entry, node: str, claims: tuple[str, ...]) -> None:
        pod = entry.pod
        try:
            await self._volumes.prepare(pod.metadata.namespace or "", claims, node)
        except FAILURES as error:
            self._failed(entry, f"binding volumes: {error}")
            return
        self._take()
        await self._bind(entry, node)

    async def _bind(self, entry: Entry, node: str) -> None:
        meta = entry.pod.metadata
        binding = core_v1.Binding(
            apiVersion="v1",
            kind="Binding",
            metadata=meta_v1.ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid),
            target=core_v1.ObjectReference(apiVersion="v1", kind="Node", name=node),
        )
        path = self._client.kind(core_v1.Pod).path(meta.namespace or "", meta.name or "", "binding")
        try:
            await self._client.post(path, binding)
        except StatusError as error:
            self._failed(entry, f"binding rejected: {error}")
        except FAILURES as error:
            log.warning("binding %s/%s to %s: %s", meta.namespace, meta.name, node, error or type(error).__name__)
            self._failed(entry, "")
        else:
            self._bound(entry)
            message = f"Successfully assigned {meta.namespace}/{meta.name} to {node}"
            self._recorder.emit(entry.pod, "Normal", "Scheduled", message)
        finally:
            self._slots += 1
            self._free.set()

    def _take(self) -> None:
        self._slots -= 1
        if self._slots <= 0:
            self._free.clear()
