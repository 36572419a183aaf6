"""What a figure is: an identifier, a unit, a target, and a coroutine that measures it once."""

from __future__ import annotations

import json
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.lab import Lab


@dataclass(frozen=True, slots=True)
class Figure:
    """`measure` returns one run's value in `unit`; the table shows the median of `runs`.

    It gets a running cluster that the figures share; one that measures starting makes its own.
    """

    id: str
    name: str
    unit: str
    target: float
    better: Literal["lower", "higher"]
    measure: Callable[[Lab], Awaitable[float]]
    runs: int = 3


@dataclass(frozen=True, slots=True)
class Result:
    figure: Figure
    values: Sequence[float]
    error: str = ""

    @property
    def value(self) -> float:
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        if self.error:
            return False
        if self.figure.better == "lower":
            return self.value <= self.figure.target
        return self.value >= self.figure.target

    def json(self) -> str:
        f = self.figure
        if self.error:
            return json.dumps({"id": f.id, "error": self.error})
        return json.dumps(
            {
                "id": f.id,
                "value": round(self.value, 4),
                "unit": f.unit,
                "target": f.target,
                "better": f.better,
                "runs": len(self.values),
            }
        )

    def row(self) -> tuple[str, ...]:
        f = self.figure
        bound = f"{'<=' if f.better == 'lower' else '>='} {f.target:g}"
        if self.error:
            return (f.id, f.name, "failed", f.unit, bound, self.error)
        return (f.id, f.name, f"{self.value:.4g}", f.unit, bound, "reached" if self.reached else "not reached")


def table(results: Sequence[Result]) -> str:
    rows = [("id", "figure", "median", "unit", "target", ""), *(r.row() for r in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
