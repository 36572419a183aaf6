"""Events of the cluster, turned into changes of the snapshot and the queue, and into wakes for those who wait."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sampan.api import quantity
from sampan.api.selectors import SelectorError
from sampan.api.types import core_v1
from sampan.scheduler.plan import Planner
from sampan.scheduler.profile import Profiles
from sampan.scheduler.queue import Queue
from sampan.scheduler.view import Caches
from sampan.scheduler.wakes import Wake

log = logging.getLogger(__name__)

ENDED = ("Succeeded", "Failed")


class Listener:
    """`assumed` are the uids of pods on their way to a node; `gone` is told of pods that need no node any more."""

    def __init__(
        self,
        planner: Planner,
        queue: Queue,
        profiles: Profiles,
        responsible: Callable[[core_v1.Pod], bool],
        gone: Callable[[str], None],
    ) -> None:
        self.assumed: set[str] = set()
        self._planner = planner
        self._snapshot = planner.snapshot
        self._queue = queue
        self._profiles = profiles
        self._responsible = responsible
        self._gone = gone
        self._filters = {wake: frozenset(f.name for f in planner.filters if wake in f.wakes) for wake in Wake}

    def subscribe(self, caches: Caches, claims_changed: Callable[[], None]) -> list[Callable[[], None]]:
        """Also takes in what the caches hold already. The results end it."""
        for node in caches.nodes.all():
            self._snapshot.put_node(node)
        for pod in caches.pods.all():
            self.pod("ADDED", None, pod)

        def claim(type: str, old: Any, new: Any) -> None:
            self.storage(type, old, new)
            claims_changed()

        groups = (caches.services, caches.replicationcontrollers, caches.replicasets, caches.statefulsets)
        return [
            caches.nodes.subscribe(self.node),
            caches.pods.subscribe(self.pod),
            caches.namespaces.subscribe(self.namespace),
            caches.claims.subscribe(claim),
            caches.volumes.subscribe(self.storage),
            caches.classes.subscribe(self.storage),
            *(each.subscribe(self.group) for each in groups),
        ]

    def wake(self, *wakes: Wake) -> None:
        """Pods that were refused by a filter which one of these may turn round."""
        if self._queue.waiting and wakes:
            helped = frozenset[str]().union(*(self._filters[wake] for wake in wakes))
            self._queue.wake(lambda entry: not helped.isdisjoint(entry.rejected))

    def node(self, type: str, old: core_v1.Node | None, new: core_v1.Node | None) -> None:
        if new is None:
            assert old is not None
            self._snapshot.remove_node(old.metadata.name or "")
            self.wake(Wake.NODE_LABELS)
            return
        self._snapshot.put_node(new)
        self.wake(*((Wake.NODE_ADDED,) if old is None else _node_wakes(old, new)))

    def pod(self, type: str, old: core_v1.Pod | None, new: core_v1.Pod | None) -> None:
        if new is None or new.status.phase in ENDED:
            pod = new or old
            assert pod is not None
            self._end(pod.metadata.uid or "")
        elif new.spec.nodeName:
            self._place(new)
        elif (new.metadata.uid or "") not in self.assumed:
            self._wait(new)

    def _end(self, uid: str) -> None:
        self.assumed.discard(uid)
        self._leave_queue(uid)
        if self._snapshot.remove_pod(uid) is not None:
            self.wake(Wake.POD_DELETED)

    def _place(self, pod: core_v1.Pod) -> None:
        uid = pod.metadata.uid or ""
        self.assumed.discard(uid)
        self._leave_queue(uid)
        before = self._snapshot.pods.get(uid)
        try:
            self._snapshot.put_pod(pod, self._profiles.of(pod), pod.spec.nodeName or "")
        except (SelectorError, ValueError) as error:
            log.warning("pod %s/%s does not count: %s", pod.metadata.namespace, pod.metadata.name, error)
            return
        if before is None:
            self.wake(Wake.POD_ADDED)
        elif before.pod.metadata.labels != pod.metadata.labels or (
            before.ending != (pod.metadata.deletionTimestamp is not None)
        ):
            self.wake(Wake.POD_LABELS)
        elif before.profile.demand != self._snapshot.pods[uid].profile.demand:
            self.wake(Wake.POD_DELETED)

    def _wait(self, pod: core_v1.Pod) -> None:
        uid = pod.metadata.uid or ""
        if pod.metadata.deletionTimestamp or not self._responsible(pod):
            self._leave_queue(uid)
            return
        nominated = pod.status.nominatedNodeName
        if nominated and self._queue.get(uid) is None:
            # From before a restart of the scheduler: the promise still holds.
            self._planner.nominations.put(uid, nominated, pod.spec.priority or 0, self._profiles.of(pod))
        self._queue.put(pod)

    def _leave_queue(self, uid: str) -> None:
        self._queue.remove(uid)
        if self._planner.nominations.get(uid):
            self._planner.nominations.remove(uid)
            self.wake(Wake.POD_DELETED)
        self._gone(uid)

    def namespace(self, type: str, old: core_v1.Namespace | None, new: core_v1.Namespace | None) -> None:
        if old is not None and new is not None and old.metadata.labels == new.metadata.labels:
            return
        self._snapshot.tallies.recount()
        self._planner.forget()
        self.wake(Wake.NAMESPACE_LABELS)

    def group(self, type: str, old: Any, new: Any) -> None:
        """Services and controllers: only their selectors matter, for default spreading."""
        if new is not None and (old is None or old.spec.selector != new.spec.selector):
            self._planner.forget()

    def storage(self, type: str, old: Any, new: Any) -> None:
        self._planner.forget()
        self.wake(Wake.VOLUME)


def _node_wakes(old: core_v1.Node, new: core_v1.Node) -> list[Wake]:
    found = []
    if old.metadata.labels != new.metadata.labels:
        found.append(Wake.NODE_LABELS)
    if old.spec.taints != new.spec.taints or old.spec.unschedulable != new.spec.unschedulable:
        found.append(Wake.NODE_TAINTS)
    before = old.status.allocatable
    if before != new.status.allocatable and any(
        quantity.nano(amount) > quantity.nano(before.get(name, "0")) for name, amount in new.status.allocatable.items()
    ):
        found.append(Wake.NODE_ALLOCATABLE)
    return found
