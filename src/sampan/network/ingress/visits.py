"""What nginx tells of requests that are traced: a line each, as a datagram, so that nginx never waits for us.

    nginx -> a datagram of loopback -> queue (LIMIT) -> whoever keeps spans

Whether a request is traced is decided once, by nginx, where the chain of its calls begins (render.py): all of them
while they are few, else RATE a second. What is told of a request goes on in its `traceparent` (W3C Trace Context).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from sampan.runtime.clock import Clock, RealClock

log = logging.getLogger(__name__)

RATE, BURST = 50, 100
"""Requests a second that are traced when there are many, and how many at once."""
LIMIT = 1_000
"""Visits that wait to be kept."""
GATHER = 0.2
"""Seconds in which visits gather, so that they are kept together."""
AT_ONCE = 64
"""Datagrams that are read before others have their turn."""
ROOM = 1 << 18
"""Bytes of datagrams that the kernel keeps for us; what does not fit is lost."""
DATAGRAM = 1 << 16
TAG = b" visit: "
LATEST, LONGEST = 9e9, 1e8
"""Seconds: what is said to be later (in nanoseconds it is no 64 bits), or to have taken longer, is nonsense."""

FIELDS = (
    *("trace", "trace_span", "trace_caller", "msec", "request_time", "request_method", "host_asked", "request_uri"),
    *("status", "upstream_addr", "upstream_response_time", "ingress"),
)
"""nginx's variables in a line, in order."""
_TRACE, _SPAN = re.compile(r"[0-9a-f]{32}\Z"), re.compile(r"[0-9a-f]{16}\Z")
_decode = msgspec.json.Decoder(tuple[str, ...]).decode


class Visit(NamedTuple):
    """A request. `end` is Unix, `took` and `waited` (for pods) seconds; `address` is the pod's that answered, or "".

    `caller` is the span that the client named, `ingress` NAMESPACE/NAME.
    """

    trace: str
    span: str
    caller: str
    end: float
    took: float
    method: str
    host: str
    path: str
    status: int
    address: str
    waited: float
    ingress: str


def read(datagram: bytes) -> Visit | None:
    """None for what nginx has not said."""
    line = datagram.partition(TAG)[2]
    try:
        said = dict(zip(FIELDS, _decode(line.decode(errors="replace")), strict=True))
        visit = Visit(
            said["trace"],
            said["trace_span"],
            said["trace_caller"],
            float(said["msec"]),
            float(said["request_time"]),
            said["request_method"],
            said["host_asked"],
            # What is asked for behind the question mark is nobody else's business.
            said["request_uri"].partition("?")[0],
            int(said["status"]),
            # After other attempts there are several; the last pod answered.
            said["upstream_addr"].rpartition(", ")[2].rpartition(":")[0],
            sum(float(each) for each in said["upstream_response_time"].replace(":", ",").split(",") if _number(each)),
            said["ingress"],
        )
    except (msgspec.DecodeError, ValueError):
        return None
    # Any program of this machine may send us a datagram.
    known = _TRACE.match(visit.trace) and _SPAN.match(visit.span) and (not visit.caller or _SPAN.match(visit.caller))
    sensible = 0 <= visit.end < LATEST and 0 <= visit.took < LONGEST and 0 <= visit.waited < LONGEST
    return visit if known and sensible and 0 <= visit.status < 1000 else None


def _number(text: str) -> bool:
    return text.strip() not in ("", "-")


Report = Callable[[Sequence[Visit]], Awaitable[None]]


class Visits:
    """`open` listens, on the first call; `run` hands on what was heard, and never returns."""

    def __init__(self, port: int, *, clock: Clock | None = None) -> None:
        self._port = port
        self._clock = clock or RealClock()
        self._socket: socket.socket | None = None
        self._waiting: list[Visit] = []
        self._heard = asyncio.Event()
        self._said = False
        self.total = 0
        self.dropped = 0

    def open(self) -> int:
        """The port that nginx is to tell, 0 when another program has it."""
        if self._socket is None:
            try:
                self._socket = _listening(self._port)
            except OSError as error:
                if not self._said:
                    log.warning("no spans of the ingress: UDP port %d of 127.0.0.1: %s", self._port, error.strerror)
                self._said = True
                return 0
            asyncio.get_running_loop().add_reader(self._socket, self._read, self._socket)
        return self._port

    async def run(self, report: Report) -> None:
        """`report` keeps visits; what it raises costs those that it was given."""
        try:
            while True:
                await self._heard.wait()
                await self._clock.sleep(GATHER)
                self._heard.clear()
                visits, self._waiting = self._waiting, []
                try:
                    await report(visits)
                except Exception:
                    log.exception("%d spans of the ingress are lost", len(visits))
                    self.dropped += len(visits)
        finally:
            self.close()

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _read(self, source: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(AT_ONCE):
                visit = read(source.recv(DATAGRAM))
                if visit is None:
                    continue
                if len(self._waiting) >= LIMIT:
                    self.dropped += 1
                    continue
                self.total += 1
                self._waiting.append(visit)
                self._heard.set()


def _listening(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
        made.bind(("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    return made
