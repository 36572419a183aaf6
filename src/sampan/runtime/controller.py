"""The shape of a controller, and the loop that all of them share.

    informer event -> mapper -> key -> work queue -> plan(object, view) -> apply -> done, or later, or never

The key carries no event: whoever works on it looks at everything again. Retry and backoff live here and nowhere else.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Kind
from sampan.client.cache import Cache, IndexFunction, Key, key_of
from sampan.client.client import UNREACHABLE, Client
from sampan.client.informer import Informer, Informers
from sampan.runtime.actions import Plan, Refused, Retry, Terminal, View, no_longer
from sampan.runtime.apply import Applier
from sampan.runtime.clock import Clock
from sampan.runtime.events import Recorder
from sampan.runtime.metrics import Sample
from sampan.runtime.tasks import Group
from sampan.runtime.workqueue import WorkQueue

log = logging.getLogger(__name__)

Indexes = Mapping[type, Mapping[str, IndexFunction]]


def always(old: Any, new: Any) -> bool:
    return True


def unless_unchanged(part: Callable[[Any], Any]) -> Callable[[Any, Any], bool]:
    """A `changed` for those who look at one part of an object only."""
    return lambda old, new: bool(part(old) != part(new))


@dataclass(frozen=True, slots=True)
class Watch:
    """Another type that matters: `keys` names the primary objects that an object of it concerns.

    At a modification the old and the new state are both mapped, if `changed(old, new)`. With `kind`, objects of that
    kind are read as `type`, a form of PartialObjectMetadata of its own.
    """

    type: type
    keys: Callable[[Any, View], Iterable[Key]]
    changed: Callable[[Any, Any], bool] = always
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """What a process gives to its controllers."""

    client: Client
    informers: Informers
    recorder: Recorder
    clock: Clock


class Runner(Protocol):
    """A controller at work. `run` waits for its caches and never returns."""

    name: str

    async def run(self) -> None: ...

    def samples(self) -> Iterator[Sample]: ...


class Declaration(Protocol):
    @property
    def name(self) -> str: ...

    def runner(self, environment: Environment) -> Runner: ...


@dataclass(frozen=True, slots=True)
class Controller:
    """A declaration: what it is about, what else matters to it, and how it decides.

    plan:    (object, view) -> actions, for an object that exists
    gone:    (key, view) -> actions, when there is no such object; None when that asks for nothing
    changed: whether a modification of the primary object matters
    reads:   types that are looked at but whose changes do not matter by themselves
    indexes: by type and name; indexes of one type are shared by all who read it
    """

    name: str
    primary: type
    plan: Callable[[Any, View], Plan]
    watches: tuple[Watch, ...] = ()
    reads: tuple[type, ...] = ()
    indexes: Indexes = field(default_factory=dict)
    workers: int = 5
    gone: Callable[[Key, View], Plan] | None = None
    changed: Callable[[Any, Any], bool] = always

    def runner(self, environment: Environment) -> Runner:
        return Loop(self, environment)


class Loop:
    """Runs one declaration."""

    def __init__(self, controller: Controller, environment: Environment) -> None:
        self.name = controller.name
        self.outcomes: Counter[str] = Counter()
        self._controller = controller
        self._clock = environment.clock
        self.queue: WorkQueue[Key] = WorkQueue(controller.name, clock=environment.clock)
        self._applier = Applier(environment.client, environment.informers, environment.recorder)
        kinds = {watch.type: watch.kind for watch in controller.watches}
        self._informers: dict[type, Informer[Any]] = {
            type: environment.informers.get(type, indexes=controller.indexes.get(type), kind=kinds.get(type))
            for type in (controller.primary, *kinds, *controller.reads)
        }
        self._caches: Mapping[type, Cache[Any]] = self._informers
        # Informers are shared: one that others follow already says nothing new about what it holds.
        self._subscribe()

    async def run(self) -> None:
        for informer in self._informers.values():
            await informer.synced.wait()
        async with Group(self.name, clock=self._clock) as group:
            for number in range(self._controller.workers):
                group.start(f"worker {number}", self._work())

    def samples(self) -> Iterator[Sample]:
        yield from queue_samples(self.queue)
        for outcome, count in sorted(self.outcomes.items()):
            labels = {"controller": self.name, "result": outcome}
            help = "Reconciliations by controller and result."
            yield Sample("sampan_controller_reconcile_total", "counter", help, labels, count)

    def _subscribe(self) -> None:
        primary, changed = self._informers[self._controller.primary], self._controller.changed

        def follow(type: str, old: Any, new: Any) -> None:
            if type != "MODIFIED" or changed(old, new):
                self.queue.add(key_of(new if new is not None else old))

        primary.subscribe(follow)
        for object in primary.all():
            self.queue.add(key_of(object))
        for watch in self._controller.watches:
            self._follow(watch)

    def _follow(self, watch: Watch) -> None:
        def follow(type: str, old: Any, new: Any) -> None:
            if type == "MODIFIED" and not watch.changed(old, new):
                return
            view = self._view(("", ""))
            for object in (old, new):
                if object is not None:
                    for key in watch.keys(object, view):
                        self.queue.add(key)

        informer = self._informers[watch.type]
        informer.subscribe(follow)
        for object in informer.all():
            follow("ADDED", None, object)

    def _view(self, key: Key) -> View:
        return View(self._caches, self._clock.now(), key)

    def _plan(self, key: Key) -> Plan | None:
        object = self._informers[self._controller.primary].get(key[1], key[0])
        view = self._view(key)
        if object is not None:
            return self._controller.plan(object, view)
        return self._controller.gone(key, view) if self._controller.gone else None

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                self.outcomes[await self._settle(key)] += 1
            finally:
                self.queue.done(key)

    async def _settle(self, key: Key) -> str:
        """Reconcile one key and decide, in this one place, what becomes of it. Returns the outcome's name."""
        try:
            plan = self._plan(key)
            again = await self._applier.run(plan) if plan is not None else None
        except Retry as retry:
            self.queue.forget(key)
            self.queue.add_after(key, retry.after)
            return "requeue_after"
        except Terminal as error:
            self.queue.forget(key)
            log.warning("%s: %s: %s", self.name, _show(key), error)
            return "terminal"
        except (StatusError, Refused) as error:
            return self._refused(key, error.error if isinstance(error, Refused) else error)
        except UNREACHABLE as error:
            log.debug("%s: %s: %s", self.name, _show(key), error)
            self.queue.retry(key)
            return "unreachable"
        except Exception:
            seconds = self.queue.retry(key)
            log.exception("%s: %s: unexpected failure, again in %.3f s", self.name, _show(key), seconds)
            return "error"
        self.queue.forget(key)
        if again is None:
            return "success"
        self.queue.add_after(key, again)
        return "requeue_after"

    def _refused(self, key: Key, error: StatusError) -> str:
        if no_longer(error):
            self.queue.forget(key)
            return "namespace_terminating"
        conflict = error.code == 409
        seconds = self.queue.retry(key)
        level = logging.DEBUG if conflict or self.queue.failures(key) < 5 else logging.WARNING
        log.log(level, "%s: %s: %s, again in %.3f s", self.name, _show(key), error, seconds)
        return "conflict" if conflict else "error"


def queue_samples(queue: WorkQueue[Any]) -> Iterator[Sample]:
    labels = {"name": queue.name}
    yield Sample("workqueue_depth", "gauge", "Keys that wait for a worker.", labels, len(queue))
    yield Sample("workqueue_adds_total", "counter", "Keys added.", labels, queue.added)
    yield Sample("workqueue_retries_total", "counter", "Keys added again after a failure.", labels, queue.retried)


def _show(key: Key) -> str:
    return f"{key[0]}/{key[1]}" if key[0] else key[1]
