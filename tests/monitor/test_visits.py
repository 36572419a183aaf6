"""What the ingress tells, as spans: nested with those of pods, found by whom it called, on the map."""

from __future__ import annotations

from pathlib import Path

from sampan.monitor import chains, visits
from sampan.monitor.receiver import Origin, visitors
from sampan.monitor.spans import Span
from sampan.monitor.traces import Traces
from sampan.network.ingress.visits import Visit

TRACE = "0af7651916cd43dd8448eb211c80319c"
VISIT = Visit(
    trace=TRACE,
    span="b7ad6b7169203331",
    caller="",
    end=1_764_532_800.005,
    took=0.004,
    method="GET",
    host="shop.localhost",
    path="/items/4",
    status=200,
    address="10.244.0.7",
    waited=0.003,
    ingress="default/shop",
)


def origin(address: str) -> Origin | None:
    return Origin("default", "shop-1", "shop") if address == "10.244.0.7" else None


def test_a_request_becomes_a_span() -> None:
    span = visits.span(VISIT, origin)
    assert (span.service, span.namespace, span.kind) == ("ingress", "default", "server")
    assert span.name == "GET shop.localhost/items/4"
    assert (span.trace, span.span, span.parent) == (TRACE, "b7ad6b7169203331", "")
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": "200",
        "server.address": "shop.localhost",
        "url.path": "/items/4",
        "network.peer.address": "10.244.0.7",
        "peer.service": "shop",
        "peer.pod": "shop-1",
        "upstream.duration": "3 ms",
        "ingress": "default/shop",
    }


def test_it_covers_what_happened_within_its_milliseconds() -> None:
    span = visits.span(VISIT, origin)
    assert (span.start, span.end) == (1_764_532_800_001_000_000, 1_764_532_800_006_000_000)


def test_an_answer_of_500_or_more_is_an_error() -> None:
    assert [visits.span(VISIT._replace(status=each), origin).error for each in (200, 404, 499, 500, 502)] == [
        *(False, False, False),
        *(True, True),
    ]
    assert visits.span(VISIT._replace(status=502), origin).message == "answered 502"


def test_a_request_that_no_pod_answered_says_nothing_of_pods() -> None:
    span = visits.span(VISIT._replace(address="", status=502), origin)
    assert not {"peer.service", "peer.pod", "upstream.duration"} & set(span.attributes)


def test_an_app_that_sends_no_spans_is_found_by_those_that_lead_to_it(tmp_path: Path) -> None:
    traces = Traces(tmp_path / "traces.db")
    traces.add([visits.span(VISIT, origin)])
    assert traces.recent(["shop"], "default") == (TRACE,)
    assert traces.recent(["shop"], "other") == ()
    assert traces.recent(["cart"], "default") == ()
    traces.close()


def test_the_map_shows_whom_the_ingress_called() -> None:
    alone = visits.span(VISIT, origin)
    assert edges(alone) == [("", "ingress", 1), ("ingress", "shop", 1)]
    below = Span(trace=TRACE, span="1" * 16, parent=alone.span, service="shop", kind="server")
    assert edges(alone, below) == [("", "ingress", 1), ("ingress", "shop", 1)]


def edges(*spans: Span) -> list[tuple[str, str, int]]:
    return [(each.caller, each.callee, each.calls) for each in chains.service_map(spans)]


def test_probes_are_no_visitors() -> None:
    probe = Span(trace="1" * 32, span="1" * 16, attributes={"http.user_agent": "kube-probe/1.37"})
    below = Span(trace="1" * 32, span="2" * 16, parent="1" * 16)
    visitor = Span(trace="2" * 32, span="3" * 16, attributes={"user_agent.original": "curl/8"})
    assert visitors([probe, below, visitor]) == [visitor]
