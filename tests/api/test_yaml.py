from __future__ import annotations

from typing import Any

import pytest

from sampan.api import yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("Off", False), ("true", True), ("y", "y"), ("n", "n"),
        ("0644", 420), ("0o17", 15), ("0x1F", 31), ("0b11", 3), ("-7", -7), ("1_000", 1000), ("+5", 5), ("0", 0),
        ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("80:80", "80:80"), ("1:30:00", "1:30:00"),
        ("2001-01-01", "2001-01-01"), ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z"),
        ("~", None), ("null", None), ("", None), ("'1'", "1"), ("1Gi", "1Gi"), ("=", "="),
        ("{1: a, true: b, 1.5: c}", {"1": "a", "true": "b", "1.5": "c"}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    assert yaml.load(text) == (value, [])


def test_documents() -> None:
    assert [document for document, _ in yaml.documents("a: 1\n---\nb: 2\n---\n")] == [{"a": 1}, {"b": 2}, None]
    assert list(yaml.documents("")) == []
    assert yaml.load("a: 1\na: 2\nb: {c: 1, c: 2}") == (
        {"a": 2, "b": {"c": 2}},
        ['line 2: key "a" already set in map', 'line 3: key "c" already set in map'],
    )


@pytest.mark.parametrize(
    "text", ["a: [", "a:\n\t- b", "a: b: c", "{[1]: 2}", "!!python/object:os.system x", b"\xff\xff"]
)
def test_refusals(text: str | bytes) -> None:
    with pytest.raises(yaml.YAMLError):
        yaml.load(text)
