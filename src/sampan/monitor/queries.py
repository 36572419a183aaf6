"""What is answered about traces and figures, as JSON, below /monitor on the node's server:

traces                summaries of the newest (service, namespace, limit)
traces/ID             the spans of one, in the order of the call chain
map                   the service map of the last seconds (since)
services              who has sent traces
series                figures (name, label=KEY=VALUE, since, limit); without a name, which names there are
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.http.types import Request, Response
from sampan.monitor import chains

if TYPE_CHECKING:
    from sampan.monitor.room import Monitor
    from sampan.monitor.series import Series
    from sampan.monitor.traces import Traces

TRACES, SPANS, LINES = 500, 20_000, 1_000
"""At most this many traces, spans and series in one answer."""
_ID = re.compile(r"[0-9a-f]{4,32}")
_HEADERS = (("Content-Type", "application/json"),)


class Unclear(Exception):
    """The question cannot be understood."""


async def answer(monitor: Monitor, request: Request, rest: Sequence[str], now: float) -> Response:
    if request.method not in ("GET", "HEAD"):
        return _refusal(405, "this is for reading only")
    try:
        found = await _find(monitor, request, rest, now)
    except Unclear as error:
        return _refusal(400, str(error))
    if found is None:
        return _refusal(404, f"nothing is at {request.path}")
    return _response(found)


async def _find(monitor: Monitor, request: Request, rest: Sequence[str], now: float) -> Any:
    match tuple(rest):
        case ("traces",):
            services, namespace = request.query.get("service", ()), request.param("namespace")
            limit = int(_number(request, "limit", 20, TRACES))
            return await monitor.with_traces(lambda traces: _recent(traces, services, namespace, limit))
        case ("traces", id):
            if not _ID.fullmatch(id):
                raise Unclear(f"{id[:40]!r} is no trace: give 4 to 32 hexadecimal digits")
            spans = await monitor.with_traces(lambda traces: traces.trace(id))
            return {"spans": [call.span for call in chains.chain(spans)]} if spans else None
        case ("map",):
            start = int((now - _number(request, "since", 3600, 7 * 86400)) * 1e9)
            edges = await monitor.with_traces(lambda traces: chains.service_map(traces.since(start, SPANS)))
            return {"edges": edges}
        case ("services",):
            found = await monitor.with_traces(lambda traces: traces.services())
            return {"services": [{"namespace": namespace, "service": service} for namespace, service in found]}
        case ("series",):
            return await _series(monitor, request, now)
    return None


def _recent(traces: Traces, services: Sequence[str], namespace: str, limit: int) -> dict[str, Any]:
    ids = traces.recent(services, namespace, limit)
    return {"traces": [chains.summary(traces.trace(id)) for id in ids]}


async def _series(monitor: Monitor, request: Request, now: float) -> dict[str, Any]:
    name = request.param("name")
    labels = dict(_label(each) for each in request.query.get("label", ()))
    if not name and not labels:
        names = await monitor.with_series(lambda series: series.names())
        return {"names": [{"name": each, "series": count} for each, count in names]}
    start = now - _number(request, "since", 300, 7 * 86400)
    limit = int(_number(request, "limit", 100, LINES))

    def work(series: Series) -> dict[str, Any]:
        return {"series": series.find(name, labels, start, limit)}

    return await monitor.with_series(work)


def _label(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise Unclear(f"label {text[:40]!r}: give KEY=VALUE")
    return key, value


def _number(request: Request, name: str, default: float, most: float) -> float:
    text = request.param(name)
    try:
        value = float(text) if text else default
    except ValueError:
        raise Unclear(f"{name} {text[:40]!r} is no number") from None
    if not 0 < value <= most:
        raise Unclear(f"{name} {text[:40]}: give a number up to {most:g}")
    return value


def _response(document: Any) -> Response:
    return Response(200, msgspec.json.encode(document), _HEADERS)


def _refusal(status: int, message: str) -> Response:
    return Response(status, f"{message}\n".encode(), (("Content-Type", "text/plain; charset=utf-8"),))
