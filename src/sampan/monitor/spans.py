"""One operation of a request, as it is kept."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

KINDS = ("", "internal", "server", "client", "producer", "consumer")
ERROR = 2
PEER = "peer.service"
"""Attribute: whom a span called, who may send no spans itself."""


class Span(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`trace`, `span` and `parent` are lower-case hex; `start` Unix and `duration` nanoseconds; `kind` one of KINDS.

    `namespace` and `pod` are where it came from, "" when that is not known.
    """

    trace: str
    span: str
    parent: str = ""
    service: str = ""
    namespace: str = ""
    pod: str = ""
    name: str = ""
    kind: str = ""
    start: int = 0
    duration: int = 0
    error: bool = False
    message: str = ""
    attributes: Mapping[str, str] = {}
    events: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        return self.start + self.duration
