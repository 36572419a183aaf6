"""Follows every resource that can be deleted, and keeps the collector at work.

Types that another controller reads in full are taken from there; of all others only what ownership needs is kept.
A change of a CustomResourceDefinition or APIService asks the server again what it serves.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Kind
from sampan.api.types import apiextensions_v1, apiregistration_v1, meta_v1
from sampan.client.client import FAILURES
from sampan.client.discovery import discover
from sampan.client.informer import Informer
from sampan.controllers.garbagecollector.collect import Collector
from sampan.controllers.garbagecollector.graph import Graph
from sampan.runtime.actions import Retry
from sampan.runtime.controller import Environment, queue_samples
from sampan.runtime.metrics import Sample
from sampan.runtime.tasks import Group
from sampan.runtime.workqueue import WorkQueue

log = logging.getLogger(__name__)

WORKERS = 5
IGNORED = (("", "events"), ("events.k8s.io", "events"))
NEEDED = {"delete", "list", "watch"}
CHANGING: tuple[type[Struct], ...] = (apiextensions_v1.CustomResourceDefinition, apiregistration_v1.APIService)
"""What changes of these, changes what is served."""


class OwnershipMeta(Struct, frozen=True, gc=False):
    """What of ObjectMeta decides over ownership."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resourceVersion: str | None = None
    deletionTimestamp: str | None = None
    finalizers: tuple[str, ...] = ()
    ownerReferences: tuple[meta_v1.OwnerReference, ...] = ()


class Ownership(Struct, frozen=True, gc=False):
    metadata: OwnershipMeta = field(default_factory=OwnershipMeta)


class Monitors:
    """The garbage collector at work (a Runner), and the map of kinds it works with (Kinds)."""

    def __init__(self, name: str, environment: Environment) -> None:
        self.name = name
        self.graph = Graph()
        self.queue: WorkQueue[str] = WorkQueue(name, clock=environment.clock)
        self.outcomes: Counter[str] = Counter()
        self._environment = environment
        self._collector = Collector(environment.client, self.graph, self, environment.recorder, self.queue.add)
        self._kinds: Mapping[tuple[str, str], Kind] = {}
        self._followed: dict[tuple[str, str], tuple[Informer[Any], Callable[[], None]]] = {}
        self._refresh: WorkQueue[str] = WorkQueue(f"{name}-discovery", clock=environment.clock)
        for type in CHANGING:
            environment.informers.get(type).subscribe(lambda *_: self._refresh.add("kinds"))
        self._refresh.add("kinds")

    def find(self, group: str, kind: str) -> Kind | None:
        found = self._kinds.get((group, kind))
        if found is None:
            self._refresh.add_after("kinds", 1)
        return found

    async def run(self) -> None:
        async with Group(self.name, clock=self._environment.clock) as group:
            group.start("discovery", self._follow_kinds())
            for number in range(WORKERS):
                group.start(f"worker {number}", self._work())

    def samples(self) -> Iterator[Sample]:
        yield from queue_samples(self.queue)
        help = "Objects that own or are owned."
        yield Sample("sampan_garbage_collector_graph_nodes", "gauge", help, {}, len(self.graph.nodes))
        for outcome, count in sorted(self.outcomes.items()):
            labels = {"controller": self.name, "result": outcome}
            text = "Reconciliations by controller and result."
            yield Sample("sampan_controller_reconcile_total", "counter", text, labels, count)

    # --- which resources there are ---

    async def _follow_kinds(self) -> None:
        while True:
            key = await self._refresh.get()
            try:
                await self._resync()
                self._refresh.forget(key)
            except FAILURES as error:
                log.debug("%s: discovery: %s", self.name, error)
                self._refresh.retry(key)
            finally:
                self._refresh.done(key)

    async def _resync(self) -> None:
        served = await discover(self._environment.client)
        deletable = {
            (kind.group, kind.plural): kind
            for kind in served.kinds
            if set(kind.verbs) >= NEEDED and (kind.group, kind.plural) not in IGNORED
        }
        self._kinds = {(kind.group, kind.name): kind for kind in served.kinds if "get" in kind.verbs}
        stale = {each.partition("/")[0] for each in served.stale}
        for key in set(self._followed) - set(deletable):
            if key[0] not in stale:
                self._unfollow(key)
        for key in deletable.keys() - self._followed.keys():
            self._follow(key, deletable[key])
        # In the order in which they were asked for: each is synced before the workers meet what it brings.
        for informer, _ in tuple(self._followed.values()):
            if not informer.synced.is_set():
                await informer.synced.wait()

    def _follow(self, key: tuple[str, str], kind: Kind) -> None:
        informers = self._environment.informers
        known = next((each for each in self._environment.client.kinds if _same(each, kind)), None)
        informer: Informer[Any] | None = informers.find(known.type) if known is not None else None
        if informer is None:
            informer = informers.get(Ownership, kind=kind)
        for object in informer.all():
            self._observe(kind, object)
        self._followed[key] = informer, informer.subscribe(self._listener(kind))

    def _unfollow(self, key: tuple[str, str]) -> None:
        informer, unsubscribe = self._followed.pop(key)
        unsubscribe()
        if informer.type is Ownership:
            self._environment.informers.drop(informer)
        for object in tuple(informer.all()):
            self._forget(object)

    def _listener(self, kind: Kind) -> Callable[[str, Any, Any], None]:
        def listen(type: str, old: Any, new: Any) -> None:
            if new is not None:
                self._observe(kind, new)
            else:
                self._forget(old)

        return listen

    def _observe(self, kind: Kind, object: Any) -> None:
        for uid in self.graph.observe(kind, object):
            self.queue.add(uid)

    def _forget(self, object: Any) -> None:
        for uid in self.graph.forget(object.metadata.uid or ""):
            self.queue.add(uid)

    # --- the work ---

    async def _work(self) -> None:
        while True:
            uid = await self.queue.get()
            try:
                self.outcomes[await self._settle(uid)] += 1
            finally:
                self.queue.done(uid)

    async def _settle(self, uid: str) -> str:
        try:
            await self._collector.collect(uid)
        except Retry as retry:
            log.debug("%s: %s", self.name, retry)
            self.queue.add_after(uid, retry.after)
            return "requeue_after"
        except FAILURES as error:
            self.queue.retry(uid)
            log.debug("%s: %s", self.name, error)
            return "conflict" if isinstance(error, StatusError) and error.code == 409 else "error"
        except Exception:
            self.queue.retry(uid)
            log.exception("%s: unexpected failure", self.name)
            return "error"
        self.queue.forget(uid)
        return "success"


def _same(known: Kind, served: Kind) -> bool:
    return (known.group, known.version, known.plural) == (served.group, served.version, served.plural)
