"""Pods that wait for a node: ready ones by priority and age, failed ones until something that may help them happens.

    add -> active -> (taken) -> done
             ^         |
             |         +-> unschedulable --wake--> backoff --time--> active

A pod with scheduling gates waits outside until its last gate is gone.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum

from sampan.api.types import core_v1
from sampan.runtime.backoff import Exponential
from sampan.runtime.clock import Clock, RealClock, Timer

BACKOFF = Exponential(first=1.0, longest=10.0)
LONGEST_WAIT = 300.0
"""Seconds after which an unschedulable pod is tried again though nothing happened that should help."""


class State(Enum):
    GATED = "gated"
    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    TAKEN = "taken"


@dataclass(slots=True, eq=False)
class Entry:
    """One waiting pod, by uid. `rejected` names the filters that refused it at the last attempt."""

    pod: core_v1.Pod
    since: float
    state: State = State.ACTIVE
    attempts: int = 0
    tried: float = 0.0
    rejected: frozenset[str] = frozenset()
    ticket: int = field(default=0)
    """Tells the entry's valid place in a heap from those it has left."""

    @property
    def uid(self) -> str:
        return self.pod.metadata.uid or ""

    @property
    def priority(self) -> int:
        return self.pod.spec.priority or 0


class Queue:
    """Bounded by the number of pods without a node. Nothing in it waits; `ready` is for who takes pods."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or RealClock()
        self._entries: dict[str, Entry] = {}
        self._active: list[tuple[int, float, int, Entry]] = []
        self._backoff: list[tuple[float, int, Entry]] = []
        self._unschedulable: dict[str, Entry] = {}
        self._tickets = itertools.count(1)
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    def count(self, state: State) -> int:
        return sum(entry.state is state for entry in self._entries.values())

    def get(self, uid: str) -> Entry | None:
        return self._entries.get(uid)

    def put(self, pod: core_v1.Pod) -> None:
        """A pod without a node is new, or has changed; one that failed before is tried again if the change may help."""
        uid = pod.metadata.uid or ""
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = Entry(pod, self._clock.monotonic(), State.GATED)
            if not pod.spec.schedulingGates:
                self._activate(entry)
            return
        old, entry.pod = entry.pod, pod
        if entry.state is State.GATED:
            if not pod.spec.schedulingGates:
                self._activate(entry)
        elif entry.state is State.UNSCHEDULABLE and _changed(old, pod):
            self._wake(entry)
        elif entry.state is State.ACTIVE and old.spec.priority != pod.spec.priority:
            self._activate(entry)

    def remove(self, uid: str) -> None:
        entry = self._entries.pop(uid, None)
        if entry is not None:
            entry.ticket = 0
            self._unschedulable.pop(uid, None)

    async def ready(self) -> None:
        """Wait until there is a pod to take."""
        await self._arrived.wait()

    def take(self, most: int) -> list[Entry]:
        """The first pods, at most so many; each is put back with `failed` or ended with `remove`."""
        taken: list[Entry] = []
        while self._active and len(taken) < most:
            _, _, ticket, entry = heapq.heappop(self._active)
            if entry.ticket == ticket:
                entry.state = State.TAKEN
                entry.attempts += 1
                entry.ticket = 0
                taken.append(entry)
        if not self._active:
            self._arrived.clear()
        return taken

    def failed(self, entry: Entry, rejected: Collection[str] = ()) -> None:
        """No node for it. Without anyone who `rejected` it the fault is not its own: it only backs off."""
        if self._entries.get(entry.uid) is not entry:
            return
        entry.tried = self._clock.monotonic()
        entry.rejected = frozenset(rejected)
        if entry.pod.spec.schedulingGates:
            entry.state = State.GATED
        elif rejected:
            entry.state = State.UNSCHEDULABLE
            self._unschedulable[entry.uid] = entry
            self._arm(entry.tried + LONGEST_WAIT)
        else:
            self._back_off(entry)

    def wake(self, helps: Callable[[Entry], bool]) -> None:
        """Something has happened: unschedulable pods that it helps are tried again, after their backoff."""
        for entry in [entry for entry in self._unschedulable.values() if helps(entry)]:
            self._wake(entry)

    @property
    def waiting(self) -> bool:
        """Whether there is anybody whom a change could help."""
        return bool(self._unschedulable)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- moves ---

    def _activate(self, entry: Entry) -> None:
        entry.state = State.ACTIVE
        entry.ticket = next(self._tickets)
        heapq.heappush(self._active, (-entry.priority, entry.since, entry.ticket, entry))
        self._arrived.set()

    def _wake(self, entry: Entry) -> None:
        self._unschedulable.pop(entry.uid, None)
        self._back_off(entry)

    def _back_off(self, entry: Entry) -> None:
        until = entry.tried + BACKOFF.delay(entry.attempts)
        if until <= self._clock.monotonic():
            self._activate(entry)
            return
        entry.state = State.BACKOFF
        entry.ticket = next(self._tickets)
        heapq.heappush(self._backoff, (until, entry.ticket, entry))
        self._arm(until)

    # --- time ---

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.call_later(max(0.0, at - self._clock.monotonic()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        now = self._clock.monotonic() + 0.001
        while self._backoff and self._backoff[0][0] <= now:
            _, ticket, entry = heapq.heappop(self._backoff)
            if entry.ticket == ticket:
                self._activate(entry)
        for entry in [e for e in self._unschedulable.values() if e.tried + LONGEST_WAIT <= now]:
            self._wake(entry)
        due = [self._backoff[0][0]] if self._backoff else []
        due += [min(e.tried for e in self._unschedulable.values()) + LONGEST_WAIT] if self._unschedulable else []
        if due:
            self._arm(min(due))


def _changed(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    """Whether the pod itself asks for something else than before; its status does not count."""
    return old.spec != new.spec or old.metadata.labels != new.metadata.labels
