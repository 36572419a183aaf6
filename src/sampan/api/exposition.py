"""Reads Prometheus' text format (version 0.0.4), as kubelets and programs expose their figures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_LINE = re.compile(
    r"""\s*(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*
        (?:\{(?P<labels>(?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?
        \s+(?P<value>\S+)(?:\s+(?P<at>-?\d+))?\s*$""",
    re.VERBOSE,
)
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n"}


class Reading(NamedTuple):
    """One series at a time: `at` is Unix seconds, None when the text does not say."""

    name: str
    labels: Mapping[str, str]
    value: float
    at: float | None = None


def parse(text: str) -> Iterator[Reading]:
    """Raises ValueError that names the first line that is none of the format."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise ValueError(f"line {number}: expected NAME{{LABELS}} VALUE, found {line[:80]!r}")
        try:
            value = float(match["value"])
        except ValueError:
            raise ValueError(f"line {number}: {match['value'][:40]!r} is not a number") from None
        at = int(match["at"]) / 1000 if match["at"] else None
        yield Reading(match["name"], _labels(match["labels"] or "", number), value, at)


def _labels(text: str, number: int) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text.rstrip()):
        match = _LABEL.match(text, at)
        if match is None:
            raise ValueError(f'line {number}: expected LABEL="VALUE", found {text[at : at + 40]!r}')
        found[match[1]] = _ESCAPE.sub(lambda each: _ESCAPED.get(each[1], each[1]), match[2])
        at = match.end()
    return found
