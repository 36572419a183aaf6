"""The scheduler: takes pods without a node from the queue, decides, assigns, evicts, and says why not."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator

from sampan.api.selectors import SelectorError
from sampan.api.types import core_v1
from sampan.client.client import Client
from sampan.client.informer import Informers
from sampan.runtime.clock import Clock, RealClock
from sampan.runtime.events import Recorder
from sampan.runtime.metrics import Sample
from sampan.runtime.tasks import Group
from sampan.scheduler import explain, preempt
from sampan.scheduler.bind import Binder
from sampan.scheduler.listen import Listener
from sampan.scheduler.plan import Planner
from sampan.scheduler.profile import Profile, Profiles
from sampan.scheduler.queue import Entry, Queue, State
from sampan.scheduler.report import Reporter
from sampan.scheduler.view import Caches
from sampan.scheduler.volumebind import VolumeBinder
from sampan.scheduler.wakes import Wake

log = logging.getLogger(__name__)

NAME = "default-scheduler"

BATCH = 32
"""Pods that are decided on before anything else in the process gets its turn: 5 ms at most."""


class Scheduler:
    """`run` never returns. Without `informers` it follows the cluster by itself, without `recorder` too."""

    name = "scheduler"

    def __init__(
        self,
        client: Client,
        informers: Informers | None = None,
        *,
        recorder: Recorder | None = None,
        clock: Clock | None = None,
        scheduler_name: str = NAME,
        seed: int | None = None,
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.evicted = 0
        self._clock = clock or RealClock()
        self._scheduler_name = scheduler_name
        self._own_informers = Informers(client) if informers is None else None
        self._own_recorder = Recorder(client, scheduler_name, clock=self._clock) if recorder is None else None
        recorder = recorder or self._own_recorder
        informers = informers or self._own_informers
        assert recorder is not None and informers is not None
        self._recorder = recorder
        self._random = random.Random(seed)
        self._caches = Caches(informers)
        self.snapshot = self._caches.snapshot()
        self.planner = Planner(self.snapshot, seed=seed)
        self.queue = Queue(self._clock)
        self._profiles = Profiles()
        self._reporter = Reporter(client, recorder, self._clock, scheduler_name)
        self._volumes = VolumeBinder(client, self.snapshot)
        self._binder = Binder(client, recorder, self._volumes, self._bound, self._not_bound)
        self._listener = Listener(self.planner, self.queue, self._profiles, self._responsible, self._reporter.forget)

    async def run(self) -> None:
        async with Group(self.name, clock=self._clock) as group:
            if self._own_informers is not None:
                group.start("informers", self._own_informers.run())
            if self._own_recorder is not None:
                group.start("events", self._own_recorder.run())
            group.start("reports", self._reporter.run())
            group.start("loop", self._loop(group))

    async def _loop(self, group: Group) -> None:
        await self._caches.synced()
        ends = self._listener.subscribe(self._caches, self._volumes.changed)
        try:
            while True:
                await self.queue.ready()
                await self._binder.room()
                for entry in self.queue.take(min(BATCH, self._binder.free)):
                    self._attempt(entry, group)
                # A turn for the requests just made and the events that wait.
                await asyncio.sleep(0)
        finally:
            self.queue.close()
            for end in ends:
                end()

    def _responsible(self, pod: core_v1.Pod) -> bool:
        return (pod.spec.schedulerName or NAME) == self._scheduler_name

    # --- one pod ---

    def _attempt(self, entry: Entry, group: Group) -> None:
        """One pod that nobody has thought of must not keep all others from their nodes."""
        try:
            self._schedule(entry, group)
        except Exception:
            self.outcomes["error"] += 1
            meta = entry.pod.metadata
            log.exception("scheduling %s/%s failed, attempt %d", meta.namespace, meta.name, entry.attempts)
            self.queue.failed(entry)

    def _schedule(self, entry: Entry, group: Group) -> None:
        pod = entry.pod
        try:
            profile = self._profiles.of(pod)
        except (SelectorError, ValueError) as error:
            # Only a change of the pod itself can help.
            self.outcomes["error"] += 1
            self._reporter.unschedulable(pod, str(error), "")
            self.queue.failed(entry, ("Pod",))
            return
        blocker = self.snapshot.volumes.blocker(profile) if profile.claims else ""
        row = None if blocker else self.planner.choose(profile, entry.uid, entry.priority)
        if row is None:
            self.outcomes["unschedulable"] += 1
            self._refused(entry, profile, blocker, group)
            return
        node = self.snapshot.name(row)
        self.snapshot.put_pod(pod, profile, node)
        self._listener.assumed.add(entry.uid)
        unbound = bool(profile.claims) and bool(self.snapshot.volumes.waiting(profile))
        self._binder.start(group, entry, node, profile.claims if unbound else ())

    def _bound(self, entry: Entry) -> None:
        self.outcomes["scheduled"] += 1
        self.queue.remove(entry.uid)
        self._reporter.forget(entry.uid)
        self.planner.nominations.remove(entry.uid)
        self._listener.wake(Wake.POD_ADDED)

    def _not_bound(self, entry: Entry, why: str) -> None:
        """Forget the assumption, unless the watch has shown the pod on a node, or gone, in the meantime."""
        self.outcomes["error"] += 1
        if entry.uid not in self._listener.assumed:
            return
        self._listener.assumed.discard(entry.uid)
        self.snapshot.remove_pod(entry.uid)
        if why:
            self._recorder.emit(entry.pod, "Warning", "FailedScheduling", why)
        newest = self._caches.pods.get(entry.pod.metadata.name or "", entry.pod.metadata.namespace or "")
        if newest is None or newest.metadata.uid != entry.uid or newest.metadata.deletionTimestamp:
            self.queue.remove(entry.uid)
            return
        entry.pod = newest
        self.queue.failed(entry)

    def _refused(self, entry: Entry, profile: Profile, blocker: str, group: Group) -> None:
        """Say why, and see whether evicting others would help."""
        pod = entry.pod
        failure = explain.failure(self.planner, profile, blocker, entry.uid, entry.priority)
        message, nominated = failure.message, self.planner.nominations.get(entry.uid)
        if self.snapshot.count:
            outcome = preempt.plan(
                self.planner,
                pod,
                profile,
                failure.curable,
                self._caches.all_budgets(),
                self._random.randrange(1 << 30),
            )
            if outcome.candidate is not None:
                nominated = self.snapshot.name(outcome.candidate.row)
                self._preempt(entry, profile, outcome.candidate, nominated, group)
            elif outcome.ineligible:
                message += f" preemption: {outcome.ineligible}"
            else:
                message += f" {explain.no_preemption(self.snapshot.count, outcome.tried)}"
                nominated = ""
                self.planner.nominations.remove(entry.uid)
        self._reporter.unschedulable(pod, message, nominated)
        self.queue.failed(entry, failure.rejected)

    def _preempt(self, entry: Entry, profile: Profile, candidate: preempt.Candidate, node: str, group: Group) -> None:
        nominations = self.planner.nominations
        lower = [uid for uid in nominations.on(node) if nominations.priority(uid) < entry.priority]
        nominations.put(entry.uid, node, entry.priority, profile)
        for uid in lower:
            nominations.remove(uid)
            waiting = self.queue.get(uid)
            if waiting is not None:
                group.start(f"nomination {uid}", self._reporter.clear_nomination(waiting.pod))
        victims = [placed.pod for placed in candidate.victims]
        self.outcomes["preempting"] += 1
        self.evicted += len(victims)
        group.start(f"preempt for {entry.pod.metadata.name}", self._evict(entry, victims, node))

    async def _evict(self, entry: Entry, victims: list[core_v1.Pod], node: str) -> None:
        if not await self._reporter.evict(victims, entry.pod, node):
            # Nobody leaves, so nobody will be woken by it: the pod tries again by itself.
            self.planner.nominations.remove(entry.uid)
            self.queue.wake(lambda waiting: waiting is entry)

    def samples(self) -> Iterator[Sample]:
        for state in State:
            yield Sample(
                "scheduler_pending_pods",
                "gauge",
                "Pods without a node, by what they wait for.",
                {"queue": state.value},
                self.queue.count(state),
            )
        for result, number in self.outcomes.items():
            yield Sample(
                "scheduler_schedule_attempts_total",
                "counter",
                "Attempts to find a node, by result.",
                {"profile": self._scheduler_name, "result": result},
                number,
            )
        yield Sample("scheduler_preemption_victims_total", "counter", "Pods evicted for others.", {}, self.evicted)
