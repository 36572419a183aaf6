from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from sampan.monitor.spans import Span
from sampan.monitor.traces import Traces


def span(number: int, trace: int | None = None, service: str = "shop", namespace: str = "default") -> Span:
    return Span(
        trace=f"{number if trace is None else trace:032x}",
        span=f"{number:016x}",
        service=service,
        namespace=namespace,
        name=f"s{number}",
        start=number * 10,
        duration=5,
        attributes={"a": "b"},
    )


@pytest.fixture
def traces(tmp_path: Path) -> Traces:
    return Traces(tmp_path / "monitor" / "traces.db", limit=100)


def test_what_was_kept_is_found(traces: Traces) -> None:
    traces.add([span(2, 1), span(1, 1), span(3)])
    assert traces.trace(f"{1:032x}") == (span(1, 1), span(2, 1))
    assert traces.trace(f"{9:032x}") == ()
    traces.close()


def test_the_beginning_of_an_id_is_enough(traces: Traces) -> None:
    one = Span(trace="ab" * 16, span="1" * 16)
    traces.add([one, span(7)])
    assert traces.trace("abab") == (one,)
    assert traces.trace("abac") == ()
    traces.close()


def test_the_newest_traces_of_services(traces: Traces) -> None:
    traces.add([span(1, 1), span(2, 2, "db"), span(3, 1, "db"), span(4, 4, "web", "other")])
    ids = [f"{each:032x}" for each in (4, 1, 2)]
    assert traces.recent() == tuple(ids)
    assert traces.recent(limit=1) == (ids[0],)
    assert traces.recent(["db"]) == (ids[1], ids[2])
    assert traces.recent(["web"], "default") == ()
    assert traces.recent(["web", "shop"]) == (ids[0], ids[1])
    traces.add([span(5, 5, "host", "")])
    assert traces.recent(["host"], "default") == (f"{5:032x}",)
    assert traces.services()[1:] == (("default", "db"), ("default", "shop"), ("other", "web"))
    assert [each.start for each in traces.since(20, 2)] == [50, 40]
    traces.close()


def test_the_oldest_give_way(traces: Traces) -> None:
    for start in range(0, 1000, 25):
        traces.add(span(number) for number in range(start, start + 25))
        assert len(traces) <= 100
    assert 75 <= len(traces) <= 100
    assert traces.trace(f"{999:032x}") == (span(999),)
    assert traces.trace(f"{0:032x}") == ()
    traces.close()


def test_one_export_larger_than_the_store(traces: Traces) -> None:
    traces.add(span(number) for number in range(350))
    assert len(traces) <= 100
    assert traces.trace(f"{349:032x}") == (span(349),)
    traces.close()


def test_an_export_is_kept_whole_or_not_at_all(traces: Traces) -> None:
    with pytest.raises(ValueError, match="non-hexadecimal"):
        traces.add([span(1), Span(trace="zz", span="1")])
    assert len(traces) == 0
    traces.add([span(1)])
    assert len(traces) == 1
    traces.close()


def test_spans_outlive_the_process(tmp_path: Path) -> None:
    first = Traces(tmp_path / "t.db")
    first.add([span(1)])
    first.close()
    second = Traces(tmp_path / "t.db")
    assert len(second) == 1
    second.close()


def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(b"this is no database, and it is long enough to look like one" * 40)
    traces = Traces(path)
    assert len(traces) == 0
    traces.close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    again = Traces(path)
    again.add([span(1)])
    assert len(again) == 1
    again.close()
