from __future__ import annotations

import math

import pytest

from sampan.api.exposition import Reading, parse


def test_lines_are_read() -> None:
    text = (
        "# HELP a what it is\n# TYPE a counter\n\n"
        "a 1\n"
        'http_requests_total{method="post",code="200"} 1027 1395066363000\n'
        'b{path="C:\\\\DIR\\\\F.TXT",error="say \\"no\\"\\nnow, {now}",} 1.458e9\n'
        "c{} +Inf\n"
        "d NaN -5\n"
    )
    *found, last = parse(text)
    assert found == [
        Reading("a", {}, 1.0),
        Reading("http_requests_total", {"method": "post", "code": "200"}, 1027.0, 1395066363.0),
        Reading("b", {"path": "C:\\DIR\\F.TXT", "error": 'say "no"\nnow, {now}'}, 1.458e9),
        Reading("c", {}, math.inf),
    ]
    assert (last.name, math.isnan(last.value), last.at) == ("d", True, -0.005)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ok 1\n<html>", "line 2: expected NAME"),
        ("a one", "line 1: 'one' is not a number"),
        ('a{b="c" 1', "line 1: expected NAME"),
        ("a{b} 1", "line 1: expected LABEL"),
        ("a", "line 1: expected NAME"),
    ],
)
def test_what_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(parse(text))
