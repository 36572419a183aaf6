from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from sampan.api.errors import status_error
from sampan.cli import metrics, monitoring, trace
from sampan.cli.context import CommandError
from sampan.http.types import Response
from sampan.monitor.spans import Span
from tests.cli.conftest import Run

NOW = time.time_ns()
SPANS = [
    Span(trace="ab" * 16, span="1" * 16, service="web", name="GET /", kind="server", start=NOW, duration=9_000_000),
    Span(trace="ab" * 16, span="2" * 16, parent="1" * 16, service="shop", name="list", start=NOW, duration=5_000_000),
]
SUMMARY = {"trace": "ab" * 16, "name": "GET /", "service": "web", "start": NOW, "duration": 9_000_000, "spans": 2,
           "services": ["web", "shop"], "errors": 0}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "traces": {"traces": [SUMMARY]},
    f"traces/{'ab' * 16}": {"spans": SPANS},
    "traces/abab": {"spans": SPANS},
    "map": {"edges": [{"caller": "", "callee": "web", "calls": 2, "errors": 1, "median": 1000, "slow": 2000}]},
    "series": {
        "series": [
            {"name": "a_total", "labels": {"pod": "p"}, "points": [[NOW // 10**6 - 10_000, 5], [NOW // 10**6, 25]]}
        ]
    },
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The nodes' answers by path; what is not there is an empty one."""
    known = dict(ANSWERS)

    async def ask(session: Any, path: str, query: Any, type: Any) -> list[Any]:
        return [msgspec.convert(msgspec.to_builtins(known.get(path, {})), type)]

    monkeypatch.setattr(monitoring, "ask", ask)
    return known


def test_the_newest_request_of_an_app(sampan: Run, answers: dict[str, Any]) -> None:
    said = sampan("trace", "shop")
    assert said.code == 0
    assert f"trace {'ab' * 16}" in said.out
    assert "2 spans of 2 services in 9.0 ms\n" in said.out
    assert "web  GET /" in said.out and "  shop  list" in said.out
    assert sampan("trace", "--id", "ABAB").out == said.out


def test_traces_in_lines_and_as_a_map(sampan: Run, answers: dict[str, Any]) -> None:
    assert sampan("trace", "--list").out.splitlines()[1].split()[:1] == ["abababababab"]
    assert sampan("trace", "--map").out.splitlines()[1].split() == ["(outside)", "web", "2", "1", "1", "us", "2", "us"]


def test_figures_in_lines(sampan: Run, answers: dict[str, Any]) -> None:
    value, points, age, name = sampan("metrics", "a_total").out.splitlines()[1].split()
    assert (value, points, name) == ("25", "2", 'a_total{pod="p"}')
    assert age.endswith(("s", "m"))
    assert len(sampan("metrics", "a_total", "--points").out.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("trace", "shop"), "no traces of shop"),
        (("trace", "--map"), "no traces:"),
        (("trace", "--id", "cd"), "no trace cd"),
        (("trace", "a", "b"), "name one app or service"),
        (("metrics",), "no figures: pods show them"),
        (("metrics", "a", "b"), "one name at a time"),
        (("metrics", "a-b"), "ask as NAME"),
        (("metrics", "a{b=c}"), 'LABEL="VALUE"'),
    ],
)
def test_what_cannot_be_told(sampan: Run, answers: dict[str, Any], words: tuple[str, ...], message: str) -> None:
    answers.clear()
    said = sampan(*words)
    assert (said.code, message in said.err) == (1, True), said.err


def test_queries_are_read() -> None:
    assert metrics.parse('a:b{c="d", e="f"}') == ("a:b", {"c": "d", "e": "f"})
    assert metrics.parse('{c="d"}') == ("", {"c": "d"})
    assert metrics.parse("") == ("", {})
    with pytest.raises(CommandError):
        metrics.parse("a b")


class Nodes:
    """A session in which each node answers as told."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    async def read(self, path: str) -> dict[str, Any]:
        return {"items": [{"metadata": {"name": name}} for name in self.answers]}

    async def raw(self, method: str, target: str) -> Response:
        node = target.split("/")[4]
        assert target.endswith("/proxy/monitor/traces?limit=2&service=a&service=b")
        answer = self.answers[node]
        if isinstance(answer, Exception):
            raise answer
        return Response(200, msgspec.json.encode(answer))


async def test_every_node_is_asked() -> None:
    query = {"limit": 2, "service": ["a", "b"], "namespace": ""}
    gone, broken = status_error(404, "NotFound", "no"), status_error(503, "ServiceUnavailable", "down")
    session: Any = Nodes(n1={"traces": [SUMMARY]}, n2=gone, n3=broken)
    assert len(await monitoring.ask(session, "traces", query, trace._Traces)) == 1
    session = Nodes(n2=gone)
    assert await monitoring.ask(session, "traces", query, trace._Traces) == []
    session = Nodes(n2=gone, n3=broken)
    with pytest.raises(type(broken)):
        await monitoring.ask(session, "traces", query, trace._Traces)
