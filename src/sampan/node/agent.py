"""The kubelet: follows the pods that are bound to this node and gives each a worker.

    informer (pods of this node) --> Agent --> Worker (a task a pod) --> ContainerRuntime, ImageService, Parts
    runtime changes, probe verdicts ---^            |
                                                    +--> StatusWriter, Recorder --> API server

What ran before this process did goes on: sandboxes and containers are found by their labels. Only when the server
has said which pods there are is anything ended that no pod stands for.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from sampan.api.types import core_v1, meta_v1
from sampan.client.client import FAILURES, Client
from sampan.client.informer import Informer
from sampan.host.containers import INTERRUPTED, Container, ContainerRuntime, ImageService, RuntimeFailure
from sampan.node import admission, build, container_status, deeds, machine, resizing
from sampan.node.contracts import Parts, Places, ProbeReport
from sampan.node.deeds import Node
from sampan.node.images import Images
from sampan.node.inventory import Inventory, owner
from sampan.node.node_config import NodeConfig
from sampan.node.observation import Ending
from sampan.node.registration import Registration
from sampan.node.statuses import StatusWriter
from sampan.node.warden import Warden
from sampan.node.worker import Worker
from sampan.runtime import tasks
from sampan.runtime.clock import Clock, RealClock, rfc3339
from sampan.runtime.events import Recorder

log = logging.getLogger(__name__)

TIDY = 60.0
"""Seconds between two looks at what nobody tells us: what the runtime lost, what lies around."""
IMAGES = 300.0
"""Seconds between two looks at whether images have to go."""


class Agent:
    """One node. `run` never returns; cancelling it leaves every container running."""

    def __init__(
        self,
        client: Client,
        runtime: ContainerRuntime,
        images: ImageService,
        parts: Parts,
        config: NodeConfig,
        *,
        clock: Clock | None = None,
        problems: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`problems` tells why no pod can run here at present, as sentences for the Ready condition."""
        self.config = config
        self.client = client
        self._clock = clock or RealClock()
        self._parts = parts
        self._recorder = Recorder(client, "kubelet", config.name, clock=self._clock)
        self._writer = StatusWriter(client, self._clock)
        self._inventory = Inventory(runtime)
        self._images = Images(images, parts.configs, config, self._clock)
        self._runtime = runtime
        self.registration = Registration(client, images, config, self._clock, self._recorder, problems=problems)
        self._node = Node(
            client,
            runtime,
            self._images,
            parts,
            config,
            self._clock,
            self._recorder,
            self._inventory,
            self._writer,
        )
        self._informer: Informer[core_v1.Pod] = Informer(client, core_v1.Pod, fields=f"spec.nodeName={config.name}")
        self._workers: dict[str, Worker] = {}
        self._pods: tasks.Group | None = None

    # --- for the node's server ---

    def pods(self) -> list[core_v1.Pod]:
        """All pods of this node, with the status that the node knows."""
        return [_current(worker) for worker in self._workers.values()]

    def tell(self, about: object, type: str, reason: str, message: str) -> None:
        """An event in the kubelet's name."""
        self._recorder.emit(about, type, reason, message)

    def pod(self, namespace: str, name: str, uid: str = "") -> core_v1.Pod | None:
        for worker in self._workers.values():
            meta = worker.pod.metadata
            if (meta.namespace, meta.name) == (namespace, name) and uid in ("", meta.uid):
                return _current(worker)
        return None

    def container(self, pod: core_v1.Pod, name: str, *, previous: bool = False) -> Container | None:
        """The last run of a container, or the one before it."""
        runs = [
            each
            for each in self._inventory.containers(pod.metadata.uid or "")
            if each.config.name == name and each.state != "created"
        ]
        at = 2 if previous else 1
        return runs[-at] if len(runs) >= at else None

    def sandbox_id(self, pod: core_v1.Pod) -> str:
        """Of the sandbox that the pod runs in, "" when there is none."""
        ready = [each for each in self._inventory.sandboxes(pod.metadata.uid or "") if each.ready]
        return ready[-1].id if ready else ""

    def evict(self, pod: core_v1.Pod, reason: str, message: str, grace: float | None = None) -> None:
        """End a pod because the node cannot bear it, with its own grace period unless told otherwise."""
        worker = self._workers.get(pod.metadata.uid or "")
        if worker is not None:
            deeds.tell(self._node, worker.pod, "Warning", reason, message)
            worker.end(Ending(reason, message, machine.grace_period(pod) if grace is None else grace))

    @property
    def synced(self) -> bool:
        """Whether the server has said which pods there are."""
        return self._informer.synced.is_set()

    # --- the life of the node ---

    async def run(self) -> None:
        await self._inventory.load()
        await self._remove_unstarted()
        self._parts.probes.subscribe(self._probed)
        async with tasks.Group("kubelet", clock=self._clock) as group:
            group.supervise("registration", self._register)
            group.supervise("events", self._recorder.run)
            group.supervise("pod status", self._writer.run)
            group.supervise("pods", self._informer.run)
            group.supervise("runtime", lambda: self._inventory.follow(self._changed))
            for at, runner in enumerate(self._parts.runners):
                group.supervise(f"part {at}", runner)
            await self._informer.synced.wait()
            async with tasks.Group("pod workers", clock=self._clock) as self._pods:
                self._adopt()
                group.supervise("housekeeping", self._keep_house)
                group.supervise("image collection", self._keep_images)
                group.supervise("pressure", Warden(self._node, lambda: tuple(self._workers.values()), self.evict).run)
                await asyncio.get_running_loop().create_future()

    async def _register(self) -> None:
        await self.registration.register()
        async with tasks.Group("registration", clock=self._clock) as group:
            group.supervise("lease", self.registration.keep_lease)
            group.supervise("status", self.registration.keep_status)

    async def _remove_unstarted(self) -> None:
        """Containers that an earlier process made but did not get to start: they are made anew, as if never made."""
        for uid in self._inventory.pods():
            for container in self._inventory.containers(uid):
                if container.state == "created" or container.message == INTERRUPTED:
                    await self._runtime.remove_container(container.id)
                    self._inventory.drop(container.id)

    def _adopt(self) -> None:
        """First the pods that run already, then new ones in the order of their creation, then what is left over."""
        known = set(self._inventory.pods())
        listed = sorted(
            self._informer.all(),
            key=lambda pod: (pod.metadata.uid not in known, pod.metadata.creationTimestamp or "", pod.metadata.name),
        )
        self._informer.subscribe(self._heard)
        for pod in listed:
            self._add(pod)
        self._end_leftovers()

    def _end_leftovers(self) -> None:
        """What is here of pods that are not: they were deleted while this process was away."""
        ghosts = {uid: _ghost_of(self._inventory, uid, self._clock.now()) for uid in self._inventory.pods()}
        for uid, (namespace, name) in _directories(self.config.places).items():
            ghosts.setdefault(uid, _ghost(uid, namespace, name, 0.0, self._clock.now()))
        for uid, pod in ghosts.items():
            if uid not in self._workers:
                log.info("pod %s is gone: ending what is left of it", container_status.pod_name(pod))
                self._begin(pod).vanished()

    # --- what happens ---

    def _heard(self, event: str, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        if new is not None:
            worker = self._workers.get(new.metadata.uid or "")
            if worker is None:
                self._add(new)
            else:
                asks = resizing.changed(worker.pod.spec, new.spec)
                worker.update(new)
                if asks:
                    self._judge_resize(worker)
        elif old is not None:
            worker = self._workers.get(old.metadata.uid or "")
            if worker is not None:
                worker.vanished()

    def _changed(self, uid: str) -> None:
        worker = self._workers.get(uid)
        if worker is not None:
            worker.wake()

    def _probed(self, report: ProbeReport) -> None:
        container = self._inventory.container(report.container_id)
        worker = self._workers.get(owner(container)) if container is not None else None
        if container is None or worker is None or container.state != "running":
            return
        if not report.passed:
            message = f"{report.kind.capitalize()} probe failed: {report.message}"
            deeds.tell_container(self._node, worker.pod, container.config.name, "Warning", "Unhealthy", message)
        if report.changed:
            worker.wake()

    def _add(self, pod: core_v1.Pod) -> None:
        worker = self._begin(pod)
        uid = pod.metadata.uid or ""
        if pod.status.phase in ("Succeeded", "Failed") or pod.metadata.deletionTimestamp:
            return
        if self._inventory.containers(uid):
            return
        refusal = self._refusal(worker)
        if refusal is None:
            return
        if refusal.reason == "NodeAffinity" and self._pods is not None:
            # Labels may be newer than ours: the server knows.
            worker.hold()
            self._pods.start(f"admission {uid}", self._reconsider(worker))
            return
        self._refuse(worker, refusal)

    def _others(self, worker: Worker) -> list[core_v1.Pod]:
        """The pods beside this one that use the node, with what they were granted."""
        return [
            each.granted
            for each in self._workers.values()
            if each is not worker and not each.over and each.pod.status.phase not in ("Succeeded", "Failed")
        ]

    def _refusal(self, worker: Worker) -> Ending | None:
        labels = self.registration.node.metadata.labels or {}
        pressures = self.registration.pressures()
        return admission.refuse(worker.pod, self._others(worker), labels, self.config, pressures)

    def _judge_resize(self, worker: Worker) -> None:
        worker.judge(admission.refuse_resize(worker.pod, self._others(worker), self.config))

    def _judge_deferred(self) -> None:
        """Somebody has left: who waited for that may have its turn."""
        for worker in self._workers.values():
            if worker.resize is not None:
                self._judge_resize(worker)

    async def _reconsider(self, worker: Worker) -> None:
        try:
            self.registration.node = await self.client.get(core_v1.Node, self.config.name)
        except FAILURES as error:
            log.warning("labels of node %s: %s; going by what is known", self.config.name, error)
        refusal = self._refusal(worker)
        if refusal is not None:
            self._refuse(worker, refusal)
        worker.release()

    def _refuse(self, worker: Worker, refusal: Ending) -> None:
        message = refusal.message.removeprefix(admission.PREFIX)
        deeds.tell(self._node, worker.pod, "Warning", refusal.reason, message)
        worker.end(refusal)

    def _begin(self, pod: core_v1.Pod) -> Worker:
        assert self._pods is not None
        worker = Worker(self._node, pod)
        self._workers[worker.uid] = worker
        self._pods.supervise(f"{pod.metadata.namespace}/{pod.metadata.name}", lambda: self._live(worker))
        return worker

    async def _live(self, worker: Worker) -> None:
        await worker.run()
        self._workers.pop(worker.uid, None)
        self._judge_deferred()

    # --- order in the house ---

    async def _keep_house(self) -> None:
        while True:
            await self._clock.sleep(TIDY)
            try:
                await self.tidy()
            except (RuntimeFailure, OSError) as error:
                log.warning("housekeeping: %s", error)

    async def tidy(self) -> None:
        """Look at everything the runtime has, and end what no pod stands for."""
        before = {uid: self._seen(uid) for uid in self._inventory.pods()}
        await self._inventory.reload()
        for uid in {*before, *self._inventory.pods()}:
            if before.get(uid) != self._seen(uid):
                self._changed(uid)
        self._end_leftovers()

    def _seen(self, uid: str) -> tuple[object, ...]:
        return self._inventory.sandboxes(uid), self._inventory.containers(uid)

    async def _keep_images(self) -> None:
        while True:
            await self._clock.sleep(IMAGES)
            try:
                await self._images.collect(self._inventory.used_images())
            except OSError as error:
                log.warning("image collection: %s", error)


def _current(worker: Worker) -> core_v1.Pod:
    pod = worker.pod
    return msgspec.structs.replace(pod, status=worker.wanted) if worker.wanted is not None else pod


def _ghost_of(inventory: Inventory, uid: str, now: float) -> core_v1.Pod:
    """A pod of which only the runtime knows."""
    for sandbox in inventory.sandboxes(uid):
        config = sandbox.config
        grace = float(config.annotations.get(build.GRACE, machine.GRACE))
        return _ghost(uid, config.namespace, config.name, grace, now)
    for container in inventory.containers(uid):
        labels = container.config.labels
        return _ghost(uid, labels.get(build.POD_NAMESPACE, ""), labels.get(build.POD_NAME, ""), machine.GRACE, now)
    return _ghost(uid, "", "", 0.0, now)


def _ghost(uid: str, namespace: str, name: str, grace: float, now: float) -> core_v1.Pod:
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            uid=uid,
            namespace=namespace,
            name=name,
            deletionTimestamp=rfc3339(now),
            deletionGracePeriodSeconds=int(grace),
        )
    )


def _directories(places: Places) -> dict[str, tuple[str, str]]:
    """Pods that have files here: (namespace, name) by uid; the names are empty when nothing tells them."""
    found: dict[str, tuple[str, str]] = {}
    for uid in _names(places.pods):
        found[uid] = ("", "")
    for directory in _names(places.logs):
        namespace, _, rest = directory.partition("_")
        name, _, uid = rest.partition("_")
        if uid:
            found[uid] = (namespace, name)
    return found


def _names(path: Path) -> Iterable[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return ()
