"""The node tells the cluster that it is there: the Node object, its Lease, its status.

register -> Lease every RENEW seconds, status looked at every LOOK seconds and told when it changed or BEAT passed
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from sampan.api.errors import StatusError
from sampan.api.types import coordination_v1, core_v1, meta_v1
from sampan.client.client import FAILURES, Client
from sampan.host.containers import ImageService
from sampan.node import host_facts, node_object
from sampan.node.node_config import NodeConfig
from sampan.node.node_object import Pressure
from sampan.runtime.backoff import Exponential
from sampan.runtime.clock import Clock, rfc3339_micro
from sampan.runtime.events import Recorder

log = logging.getLogger(__name__)

LEASES = "kube-node-lease"
RENEW = 10.0
LEASE_SECONDS = 40
LOOK = 10.0
BEAT = 300.0
RETRY = Exponential(first=0.05, longest=7.0, jitter=0.2)


class Registration:
    """`run` never returns; `registered` is set once the server has the node, with its uid."""

    def __init__(
        self,
        client: Client,
        images: ImageService,
        config: NodeConfig,
        clock: Clock,
        recorder: Recorder,
        *,
        problems: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.registered = asyncio.Event()
        self.node = core_v1.Node()
        self._client = client
        self._images = images
        self._config = config
        self._clock = clock
        self._recorder = recorder
        self._problems = problems
        self._pressure = Pressure({})
        self._info = host_facts.node_info(config.version, config.runtime_version)
        self._lease: coordination_v1.Lease | None = None
        self._told_at = 0.0
        self._look = asyncio.Event()

    def pressures(self) -> tuple[str, ...]:
        """The types of the conditions of pressure that hold, such as MemoryPressure."""
        now = self._clock.now()
        return tuple(kind for kind in self._pressure.seen if self._pressure.holds(kind, now))

    def look(self) -> None:
        """Something of the status has changed: tell it now and not at the next look."""
        self._look.set()

    # --- the Node ---

    async def register(self) -> None:
        """Returns when the server has this node, ready or not."""
        self._recorder.emit(self._about(), "Normal", "Starting", "Starting kubelet.")
        failures = 0
        while True:
            try:
                await self._register()
                break
            except FAILURES as error:
                failures += 1
                level = logging.WARNING if failures > 3 else logging.DEBUG
                log.log(level, "registering node %s: %s", self._config.name, error or type(error).__name__)
            await self._clock.sleep(RETRY.delay(failures))
        self.registered.set()
        if not any(c.type == "Ready" and c.status == "True" for c in self.node.status.conditions):
            self._look.set()

    async def _register(self) -> None:
        status = await self._status(core_v1.NodeStatus())
        try:
            self.node = await self._client.create(node_object.node(self._config, status))
            self._told_at = self._clock.now()
            if _ready(self.node.status):
                self._say_ready()
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            self.node = await self._client.get(core_v1.Node, self._config.name)
            await self._reconcile()
            await self._tell(beat=True)

    async def _reconcile(self) -> None:
        """An earlier run registered the node: its labels may be old, those of others stay."""
        wanted = node_object.labels(self._config)
        if any(self.node.metadata.labels.get(key) != value for key, value in wanted.items()):
            body = {"metadata": {"labels": wanted}}
            self.node = await self._client.patch(core_v1.Node, self._config.name, body=body)

    async def _status(self, known: core_v1.NodeStatus) -> core_v1.NodeStatus:
        now = self._clock.now()
        usage = host_facts.usage(str(self._config.places.root))
        self._pressure = node_object.pressure(self._pressure, usage, now)
        images = await self._images.images()
        return node_object.status(self._config, known, self._info, images, self._pressure, self._problems(), now)

    async def _tell(self, *, beat: bool) -> None:
        """Write the status if it says something new, or as a sign of life."""
        known = self.node.status
        found = await self._status(known)
        if beat:
            found = node_object.beating(found, self._clock.now())
        body = node_object.changes(known, found)
        if not body:
            return
        was_ready = _ready(known)
        self.node = await self._client.patch(
            core_v1.Node, self._config.name, body={"status": body}, how="strategic", subresource="status"
        )
        self._told_at = self._clock.now()
        if _ready(found) and not was_ready:
            self._say_ready()

    def _say_ready(self) -> None:
        message = f"Node {self._config.name} status is now: NodeReady"
        self._recorder.emit(self._about(), "Normal", "NodeReady", message)

    async def keep_status(self) -> None:
        """Never returns. What others wrote is read anew before each look, for it must not be undone."""
        await self.registered.wait()
        failures = 0
        while True:
            wait = RETRY.delay(failures) if failures else LOOK
            timer = self._clock.call_later(wait, self._look.set)
            await self._look.wait()
            timer.cancel()
            self._look.clear()
            try:
                await self._look_once()
                failures = 0
            except StatusError as error:
                failures += 1
                log.warning("status of node %s: %s", self._config.name, error)
                if error.code == 404:
                    await self._again()
            except FAILURES as error:
                failures += 1
                log.debug("status of node %s: %s", self._config.name, error)

    async def _look_once(self) -> None:
        # The server's copy: others may have called the node not ready while nobody heard from it.
        self.node = await self._client.get(core_v1.Node, self._config.name)
        known = self.node.status
        beat = self._clock.now() - self._told_at >= BEAT
        if beat or node_object.changes(known, await self._status(known)):
            await self._tell(beat=True)

    async def _again(self) -> None:
        """Somebody deleted the Node while its kubelet lives."""
        self._lease = None
        await self.register()

    def _about(self) -> core_v1.ObjectReference:
        """Events of nodes carry the name as uid, so that `kubectl describe node` finds them."""
        return core_v1.ObjectReference(apiVersion="v1", kind="Node", name=self._config.name, uid=self._config.name)

    # --- the Lease ---

    async def keep_lease(self) -> None:
        """Never returns."""
        await self.registered.wait()
        failures = 0
        while True:
            try:
                await self._renew()
                failures = 0
            except FAILURES as error:
                failures += 1
                self._lease = None
                level = logging.WARNING if failures > 3 else logging.DEBUG
                log.log(level, "lease of node %s: %s", self._config.name, error or type(error).__name__)
            await self._clock.sleep(RETRY.delay(failures) if failures else RENEW)

    async def _renew(self) -> None:
        name, now = self._config.name, rfc3339_micro(self._clock.now())
        if self._lease is None:
            try:
                self._lease = await self._client.get(coordination_v1.Lease, name, LEASES)
            except StatusError as error:
                if error.code != 404:
                    raise
                self._lease = await self._client.create(self._new_lease(now))
                return
        spec = msgspec.structs.replace(
            self._lease.spec, holderIdentity=name, leaseDurationSeconds=LEASE_SECONDS, renewTime=now
        )
        meta = msgspec.structs.replace(self._lease.metadata, ownerReferences=(self._owner(),))
        self._lease = await self._client.update(msgspec.structs.replace(self._lease, metadata=meta, spec=spec))

    def _new_lease(self, now: str) -> coordination_v1.Lease:
        name = self._config.name
        return coordination_v1.Lease(
            metadata=meta_v1.ObjectMeta(name=name, namespace=LEASES, ownerReferences=(self._owner(),)),
            spec=coordination_v1.LeaseSpec(holderIdentity=name, leaseDurationSeconds=LEASE_SECONDS, renewTime=now),
        )

    def _owner(self) -> meta_v1.OwnerReference:
        return meta_v1.OwnerReference(
            apiVersion="v1", kind="Node", name=self._config.name, uid=self.node.metadata.uid or ""
        )


def _ready(known: core_v1.NodeStatus) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in known.conditions)
