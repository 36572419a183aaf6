"""Events for people: repeated ones are counted, similar ones combined, floods cut (client-go's event correlator)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Any, Generic, NamedTuple, TypeVar

from sampan.api.errors import StatusError
from sampan.api.types import core_v1, meta_v1
from sampan.client.client import UNREACHABLE, Client
from sampan.runtime.clock import Clock, RealClock, rfc3339

log = logging.getLogger(__name__)

QUEUE = 1000
"""Events that wait to be written; the oldest is dropped, and counted, when one more comes."""

REMEMBERED = 4096
"""Series, groups and buckets that are remembered, the least recently used forgotten first."""

SIMILAR, WITHIN = 10, 600.0
"""More than SIMILAR different messages with one object, type and reason WITHIN seconds are combined into one."""

BURST, REFILL = 25, 300.0
"""Events that one component may emit about one object at once, and the seconds that win one more."""

ATTEMPTS = 12
"""How often writing one event is tried; an event is not worth more."""

V = TypeVar("V")


class _Recent(Generic[V]):
    """A map that forgets what was not used for longest."""

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def set(self, key: Hashable, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > REMEMBERED:
            self._values.popitem(last=False)


class Note(NamedTuple):
    """What is to be told: about which object, of type Normal or Warning."""

    about: core_v1.ObjectReference
    type: str
    reason: str
    message: str
    at: float

    @property
    def group(self) -> Hashable:
        return _identity(self.about), self.type, self.reason


def _identity(about: core_v1.ObjectReference) -> Hashable:
    return about.kind, about.namespace, about.name, about.uid, about.apiVersion, about.fieldPath


class Correlator:
    """Decides what becomes of a note: None (flood), or the note, its message combined when there are many like it."""

    def __init__(self) -> None:
        self._buckets: _Recent[tuple[float, float]] = _Recent()
        self._groups: _Recent[tuple[float, frozenset[str]]] = _Recent()

    def judge(self, note: Note) -> Note | None:
        note = self._combine(note)
        return note if self._allowed(note) else None

    def _combine(self, note: Note) -> Note:
        last, messages = self._groups.get(note.group) or (note.at, frozenset())
        if note.at - last > WITHIN:
            messages = frozenset()
        messages |= {note.message}
        many = len(messages) >= SIMILAR
        self._groups.set(note.group, (note.at, frozenset(sorted(messages)[:SIMILAR])))
        return note._replace(message=f"(combined from similar events): {note.message}") if many else note

    def _allowed(self, note: Note) -> bool:
        key = _identity(note.about)
        tokens, at = self._buckets.get(key) or (float(BURST), note.at)
        tokens = min(float(BURST), tokens + max(0.0, note.at - at) / REFILL)
        allowed = tokens >= 1
        self._buckets.set(key, (tokens - 1 if allowed else tokens, note.at))
        return allowed


class Recorder:
    """Emits events in the name of `component`. `emit` never waits; `run` writes them, and never returns."""

    def __init__(self, client: Client, component: str, host: str = "", *, clock: Clock | None = None) -> None:
        self.dropped = 0
        self._client = client
        self._source = core_v1.EventSource(component=component, host=host or None)
        self._instance = host or f"{component}-{socket.gethostname()}"
        self._clock = clock or RealClock()
        self._correlator = Correlator()
        self._series: _Recent[core_v1.Event] = _Recent()
        self._waiting: deque[Note] = deque()
        self._arrived = asyncio.Event()
        self._serial = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def emit(self, about: Any, type: str, reason: str, message: str) -> None:
        """`about` is any object of the API, or an ObjectReference."""
        note = Note(self.reference(about), type, reason, message[:1024], self._clock.now())
        if len(self._waiting) >= QUEUE:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(note)
        self._arrived.set()
        self._idle.clear()

    def reference(self, about: Any) -> core_v1.ObjectReference:
        if isinstance(about, core_v1.ObjectReference):
            return about
        kind = self._client.kind(type(about))
        meta: meta_v1.ObjectMeta = about.metadata
        return core_v1.ObjectReference(
            apiVersion=kind.api_version,
            kind=kind.name,
            name=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
            resourceVersion=meta.resourceVersion,
        )

    async def drained(self) -> None:
        """Wait until everything emitted so far has been written or given up."""
        await self._idle.wait()

    async def run(self) -> None:
        while True:
            await self._arrived.wait()
            while self._waiting:
                note = self._correlator.judge(self._waiting.popleft())
                if note is not None:
                    await self._write(note)
            self._arrived.clear()
            self._idle.set()

    async def _write(self, note: Note) -> None:
        for attempt in range(ATTEMPTS):
            try:
                await self._write_once(note)
            except StatusError as error:
                # The server has judged: a namespace that goes away, a missing right. Asking again changes nothing.
                log.debug("event %s about %s refused: %s", note.reason, note.about.name, error)
                return
            except UNREACHABLE as error:
                log.debug("event %s about %s: %s", note.reason, note.about.name, error)
                await self._clock.sleep(min(10.0, 0.5 * 2**attempt))
            else:
                return
        self.dropped += 1
        log.warning("event %s about %s given up after %d attempts", note.reason, note.about.name, ATTEMPTS)

    async def _write_once(self, note: Note) -> None:
        key = (note.group, note.message)
        if note.message.startswith("(combined from similar events)"):
            key = (note.group, "combined")
        known = self._series.get(key)
        if known is not None:
            try:
                self._series.set(key, await self._count(known, note))
                return
            except StatusError as error:
                if error.code != 404:
                    raise
        self._series.set(key, await self._client.create(self._event(note)))

    async def _count(self, known: core_v1.Event, note: Note) -> core_v1.Event:
        body = {"count": (known.count or 1) + 1, "lastTimestamp": rfc3339(note.at), "message": note.message}
        meta = known.metadata
        return await self._client.patch(core_v1.Event, meta.name or "", meta.namespace or "", body=body)

    def _event(self, note: Note) -> core_v1.Event:
        about, at = note.about, rfc3339(note.at)
        namespace = about.namespace or "default"
        # Names end in nanoseconds as upstream's do; a counter in the last digits keeps two of one instant apart.
        self._serial = (self._serial + 1) % 1000
        return core_v1.Event(
            metadata=meta_v1.ObjectMeta(
                name=f"{about.name}.{int(note.at * 1e6) * 1000 + self._serial:x}", namespace=namespace
            ),
            involvedObject=about,
            type=note.type,
            reason=note.reason,
            message=note.message,
            source=self._source,
            reportingComponent=self._source.component,
            reportingInstance=self._instance,
            firstTimestamp=at,
            lastTimestamp=at,
            count=1,
        )
