"""Takes traces from pods: OTLP over HTTP, on the bridge's address, port 4318.

Source: the OTLP/HTTP specification (opentelemetry.io), protobuf and JSON, gzip.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from sampan.http.errors import BodyTooLarge
from sampan.http.types import Request, Response
from sampan.monitor import otlp
from sampan.monitor.protobuf import Malformed
from sampan.monitor.spans import Span

PORT = 4318
LIMIT = 4 << 20
"""Bytes of one export, unpacked."""
SMALL = 16 << 10
WAITING = 16
"""Exports that are worked on at once; whoever comes beyond is asked to come again."""

AGENTS, PROBE = ("http.user_agent", "user_agent.original"), "kube-probe/"
"""Attributes that name the program that asked, and how that of probes begins."""

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"


class Origin(NamedTuple):
    """Who has an address: `service` is what it is called when it does not say."""

    namespace: str
    pod: str
    service: str


class Receiver:
    """`handle` is a http.types.Handler. `origin` tells who has an address; `keep` takes spans, and waits."""

    def __init__(
        self,
        keep: Callable[[Sequence[Span]], Awaitable[None]],
        origin: Callable[[str], Origin | None],
        sources: Sequence[str],
    ) -> None:
        """`sources` are the networks that may send."""
        self._keep = keep
        self._origin = origin
        self._sources = tuple(ipaddress.ip_network(each) for each in sources)
        self._working = 0
        self.spans = 0
        self.refused = 0

    async def handle(self, request: Request) -> Response:
        if request.raw_path.rstrip("/") != "/v1/traces":
            return _refusal(request, 404, f"{request.raw_path[:80]} is not here: traces go to /v1/traces")
        if request.method != "POST":
            return _refusal(request, 405, "send traces by POST")
        if not self._welcome(request.peer):
            return _refusal(request, 403, "traces are taken from this node's pods only")
        if self._working >= WAITING:
            self.refused += 1
            return _refusal(request, 503, "too many exports at once", (("Retry-After", "2"),))
        self._working += 1
        try:
            spans = visitors(await _read(await body_of(request), request.headers.get("content-type", "")))
            await self._keep([self._placed(span, host_of(request.peer)) for span in spans])
        except Malformed as error:
            self.refused += 1
            return _refusal(request, 400, str(error))
        except BodyTooLarge:
            self.refused += 1
            return _refusal(request, 413, f"an export has {LIMIT} bytes at most")
        finally:
            self._working -= 1
        self.spans += len(spans)
        media = _media(request)
        return Response(200, b"{}" if media == _JSON else b"", (("Content-Type", media),))

    def _welcome(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(host_of(peer))
        except ValueError:
            return False
        return address.is_loopback or any(address in network for network in self._sources)

    def _placed(self, span: Span, address: str) -> Span:
        """With where it came from; what the address proves counts more than what the span says."""
        origin = self._origin(address)
        if origin is None:
            return span if span.service else replace(span, service="unknown")
        service = span.service
        if not service or service.startswith("unknown_service"):
            service = origin.service
        return replace(span, namespace=origin.namespace, pod=origin.pod, service=service)


async def _read(body: bytes, media: str) -> list[Span]:
    """Large ones in a thread: containers are looked after in this one."""
    if len(body) <= SMALL:
        return otlp.read(body, media)
    return await asyncio.to_thread(otlp.read, body, media)


def visitors(spans: Sequence[Span]) -> list[Span]:
    """Without what answers the node's own probes: a trace each second would hide all others."""
    probes = {span.trace for span in spans if any(span.attributes.get(key, "").startswith(PROBE) for key in AGENTS)}
    return [span for span in spans if span.trace not in probes]


def host_of(peer: str) -> str:
    """The address of `host:port`."""
    return peer.rpartition(":")[0].strip("[]")


async def body_of(request: Request) -> bytes:
    """Unpacked. Raises Malformed, BodyTooLarge."""
    body = await request.read(LIMIT)
    how = request.headers.get("content-encoding", "").strip().lower()
    if how in ("", "identity"):
        return body
    if how not in ("gzip", "deflate"):
        raise Malformed(f"content encoding {how[:20]!r}: send gzip, deflate or nothing")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        unpacked = unpacker.decompress(body, LIMIT)
    except zlib.error as error:
        raise Malformed(f"this is no {how}: {error}") from None
    if unpacker.unconsumed_tail:
        raise BodyTooLarge(LIMIT)
    if not unpacker.eof:
        raise Malformed(f"the {how} stream does not end")
    return unpacked


def _media(request: Request) -> str:
    return _JSON if request.headers.get("content-type", "").startswith(_JSON) else _PROTOBUF


def _refusal(request: Request, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A google.rpc.Status in the form that the sender reads."""
    media = _media(request)
    if media == _JSON:
        body = json.dumps({"message": message}).encode()
    else:
        text = message.encode()[:120]
        body = bytes((0x12, len(text))) + text
    return Response(status, body, (("Content-Type", media), *headers))
