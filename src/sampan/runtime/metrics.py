"""Metrics of a component in Prometheus' text format."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Sample(NamedTuple):
    """One series: `kind` is counter or gauge; samples of one name stand together."""

    name: str
    kind: str
    help: str
    labels: Mapping[str, str]
    value: float


def expose(samples: Iterable[Sample]) -> str:
    lines: list[str] = []
    described: set[str] = set()
    for sample in sorted(samples, key=lambda s: s.name):
        if sample.name not in described:
            described.add(sample.name)
            lines += [f"# HELP {sample.name} {sample.help}", f"# TYPE {sample.name} {sample.kind}"]
        labels = ",".join(f'{name}="{_escape(value)}"' for name, value in sample.labels.items())
        name = f"{sample.name}{{{labels}}}" if labels else sample.name
        lines.append(f"{name} {_number(sample.value)}")
    return "\n".join(lines) + "\n" if lines else ""


def _number(value: float) -> str:
    """All digits: a counter past a million still has to move by one."""
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(float(value))


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
