"""Requests that the ingress tells of, as spans. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sampan.monitor.receiver import Origin
from sampan.monitor.spans import Span

SERVICE = "ingress"
TICK = 1_000_000
"""Nanoseconds: nginx's clock counts milliseconds, so the request lay somewhere within one more."""


class Visit(Protocol):
    """See network.ingress.visits: `end` is Unix, `took` and `waited` seconds."""

    @property
    def trace(self) -> str: ...
    @property
    def span(self) -> str: ...
    @property
    def caller(self) -> str: ...
    @property
    def end(self) -> float: ...
    @property
    def took(self) -> float: ...
    @property
    def method(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def status(self) -> int: ...
    @property
    def address(self) -> str: ...
    @property
    def waited(self) -> float: ...
    @property
    def ingress(self) -> str: ...


def span(visit: Visit, origin: Callable[[str], Origin | None]) -> Span:
    """`origin` tells who has a pod's address."""
    pod = origin(visit.address) if visit.address else None
    attributes = {
        "http.request.method": visit.method,
        "http.response.status_code": str(visit.status),
        "server.address": visit.host,
        "url.path": visit.path,
        "network.peer.address": visit.address,
        "peer.service": pod.service if pod else "",
        "peer.pod": pod.pod if pod else "",
        "upstream.duration": f"{visit.waited * 1000:.0f} ms" if visit.address else "",
        "ingress": visit.ingress,
    }
    took = round(visit.took * 1000) * TICK + TICK
    return Span(
        trace=visit.trace,
        span=visit.span,
        parent=visit.caller,
        service=SERVICE,
        namespace=visit.ingress.partition("/")[0],
        name=f"{visit.method} {visit.host}{visit.path}"[:256],
        kind="server",
        start=round(visit.end * 1000) * TICK + TICK - took,
        duration=took,
        error=visit.status >= 500,
        message=f"answered {visit.status}" if visit.status >= 500 else "",
        attributes={key: value[:1024] for key, value in attributes.items() if value},
    )
