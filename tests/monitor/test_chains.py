from __future__ import annotations

from typing import Any

from sampan.monitor import chains
from sampan.monitor.spans import Span

MS = 1_000_000


def span(id: str, parent: str = "", service: str = "shop", start: float = 0, took: float = 10, **more: Any) -> Span:
    return Span(trace="t", span=id, parent=parent, service=service, name=more.pop("name", id), start=int(start * MS),
                duration=int(took * MS), **more)  # fmt: skip


def names(spans: list[Span]) -> list[tuple[int, str]]:
    return [(call.depth, call.span.span) for call in chains.chain(spans)]


def test_calls_are_below_their_callers_in_order() -> None:
    spans = [span("d", "b", start=5), span("c", "a", start=9), span("b", "a", start=2), span("a", took=30)]
    assert names(spans) == [(0, "a"), (1, "b"), (2, "d"), (1, "c")]


def test_a_caller_that_is_not_there_is_told() -> None:
    calls = chains.chain([span("b", "gone"), span("a", start=-1)])
    assert [(call.span.span, call.depth, call.lost) for call in calls] == [("a", 0, False), ("b", 0, True)]


def test_circles_and_repetitions_end() -> None:
    assert names([span("a", "b"), span("b", "a", start=1)]) == [(0, "a"), (1, "b")]
    assert names([span("a", "a"), span("a", "a")]) == [(0, "a")]
    deep = [span(f"s{n}", f"s{n - 1}" if n else "", start=n) for n in range(5000)]
    assert len(chains.chain(deep)) == 5000


def test_a_trace_in_a_line() -> None:
    told = chains.summary([span("b", "a", "db", 5, 30, error=True), span("a", took=20, name="GET /")])
    assert (told.name, told.service, told.services) == ("GET /", "shop", ("shop", "db"))
    assert (told.start, told.duration, told.spans, told.errors) == (0, 35 * MS, 2, 1)


def test_the_map_shows_calls_between_services() -> None:
    spans = [
        span("a", service="web", kind="server", took=50),
        span("b", "a", "web", took=40, kind="client"),
        span("c", "b", "shop", took=30, kind="server"),
        span("d", "c", "shop", took=5, kind="client", attributes={"db.system": "mariadb", "db.name": "goods"}),
        span(
            "e", "c", "shop", took=9, kind="client", attributes={"db.system": "mariadb", "db.name": "goods"}, error=True
        ),
        span("f", "c", "shop", took=9, kind="client", attributes={"server.address": "mail"}),
        span("g", "c", "shop", kind="internal"),
    ]
    assert [
        (e.caller, e.callee, e.calls, e.errors, e.median // MS, e.slow // MS) for e in chains.service_map(spans)
    ] == [
        ("", "web", 1, 0, 50, 50),
        ("shop", "mail", 1, 0, 9, 9),
        ("shop", "mariadb goods", 2, 1, 9, 9),
        ("web", "shop", 1, 0, 30, 30),
    ]


def test_the_waterfall() -> None:
    spans = [
        span("a", service="web", name="GET /", took=100),
        span("b", "a", "shop", 25, 50, name="SELECT", attributes={"db.statement": "SELECT 1\n  FROM goods"}),
        span("c", "b", "shop", 50, 25, name="lock", error=True, message="deadlock", events=("exception Deadlock",)),
        span("d", "gone", "shop", 99.9, 0.0, name="late"),
    ]
    assert chains.waterfall(spans, 80) == [
        "web  GET /                   |================================| 100.0 ms",
        "  shop  SELECT 1 FROM goods  |        ================        |  50.0 ms",
        "    shop  lock              !|                xxxxxxxx        |  25.0 ms",
        "      ! deadlock",
        "      ! exception Deadlock",
        "shop  late                   |                               =|     0 us",
        "  (what called it sent no span)",
    ]
    assert chains.waterfall([]) == []
    assert all(len(line) <= 60 + 22 for line in chains.waterfall([span("a", name="x" * 500)], 60))


def test_durations_are_read_by_people() -> None:
    assert [chains.duration(each) for each in (45_000, 1_234_567, 1_200_000_000)] == ["45 us", "1.2 ms", "1.20 s"]
