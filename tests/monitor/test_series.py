from __future__ import annotations

import math
from pathlib import Path

import pytest

from sampan.api.exposition import Reading
from sampan.monitor.series import Series

POD = {"namespace": "default", "pod": "web"}


@pytest.fixture
def series(tmp_path: Path) -> Series:
    return Series(tmp_path / "s.db", series=5, points=100, kept=60)


def test_points_are_found_by_name_and_labels(series: Series) -> None:
    series.add([Reading("requests", {"code": "200"}, 1.0), Reading("requests", {"code": "500"}, 2.0)], POD, 10.0)
    series.add([Reading("requests", {"code": "200", "pod": "liar"}, 5.0)], POD, 20.0)
    (line,) = series.find("requests", {"code": "200"}, 0.0, 10)
    assert (line.labels, line.points) == ({**POD, "code": "200"}, ((10_000, 1.0), (20_000, 5.0)))
    assert [each.labels["code"] for each in series.find("", {"pod": "web"}, 0.0, 10)] == ["200", "500"]
    assert series.find("requests", {"code": "404"}, 0.0, 10) == ()
    assert len(series.find("requests", {}, 15.0, 10)) == 1, "the other has said nothing since"
    assert len(series.find("requests", {}, 0.0, 1)) == 1
    assert series.names() == (("requests", 2),)
    series.close()


def test_too_many_series_are_not_taken(series: Series) -> None:
    series.add([Reading(f"m{number}", {}, 1.0) for number in range(9)], POD, 10.0)
    assert (len(series.names()), series.dropped, series.points) == (5, 4, 5)
    series.close()


def test_what_is_old_goes_and_makes_room(series: Series) -> None:
    series.add([Reading(f"m{number}", {}, 1.0) for number in range(5)], POD, 10.0)
    series.add([Reading("m0", {}, 2.0)], POD, 60.0)
    series.forget(71.0)
    assert (series.names(), series.points) == ((("m0", 1),), 1)
    series.add([Reading("new", {}, 1.0)], POD, 72.0)
    assert series.names() == (("m0", 1), ("new", 1))
    series.close()


def test_too_many_points_go_before_their_time(series: Series) -> None:
    for moment in range(50):
        series.add([Reading(f"m{number}", {}, float(moment)) for number in range(4)], POD, moment / 10)
    series.forget(5.0)
    assert 60 <= series.points <= 100
    assert series.find("m0", {}, 0.0, 1)[0].points[-1] == (4900, 49.0)
    series.close()


def test_what_is_no_number_is_kept_as_such(series: Series) -> None:
    series.add([Reading("nan", {}, math.nan), Reading("inf", {}, math.inf)], POD, 1.0)
    assert math.isnan(series.find("nan", {}, 0.0, 1)[0].points[0][1])
    assert series.find("inf", {}, 0.0, 1)[0].points[0][1] == math.inf
    series.close()


def test_series_outlive_the_process(tmp_path: Path) -> None:
    first = Series(tmp_path / "s.db")
    first.add([Reading("a", {}, 1.0)], POD, 1.0)
    first.close()
    second = Series(tmp_path / "s.db")
    second.add([Reading("a", {}, 2.0)], POD, 2.0)
    assert (second.points, len(second.find("a", {}, 0.0, 9)[0].points)) == (2, 2)
    second.close()
