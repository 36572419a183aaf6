"""`python -m benchmarks [--json] [ID...]`: measure the figures asked for, all when none is."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from benchmarks import (
    building,
    cold,
    fanout,
    idle,
    ingress,
    pods,
    requests,
    schedule,
    service,
    start,
    transfer,
    writes,
)
from benchmarks.figure import Figure, Result, table
from benchmarks.lab import Lab, lab

# Idle figures come first, before the cluster has history; what fills the store comes last.
FIGURES: tuple[Figure, ...] = (
    *start.FIGURES,
    *cold.FIGURES,
    *idle.FIGURES,
    *pods.FIGURES,
    *service.FIGURES,
    *ingress.FIGURES,
    *building.FIGURES,
    *transfer.FIGURES,
    *requests.FIGURES[:1],
    *fanout.FIGURES,
    *requests.FIGURES[1:],
    *schedule.FIGURES,
    *writes.FIGURES,
)


async def measure(figure: Figure, place: Lab) -> Result:
    values: list[float] = []
    try:
        for _ in range(figure.runs):
            values.append(await figure.measure(place))
    except (RuntimeError, OSError, TimeoutError) as error:
        return Result(figure, values, str(error).strip().splitlines()[-1] if str(error) else type(error).__name__)
    return Result(figure, values)


def chosen(wanted: Sequence[str]) -> list[Figure]:
    unknown = [w for w in wanted if not any(f.id.split("/")[0] == w or f.id == w for f in FIGURES)]
    if unknown:
        sys.exit(f"no such figure: {', '.join(unknown)}; there are {', '.join(f.id for f in FIGURES)}")
    return [f for f in FIGURES if not wanted or f.id in wanted or f.id.split("/")[0] in wanted]


async def run(figures: Sequence[Figure], as_json: bool) -> int:
    results: list[Result] = []
    async with lab(image=True) as place:
        for figure in figures:
            print(f"measuring {figure.id}: {figure.name}", file=sys.stderr, flush=True)
            results.append(await measure(figure, place))
            if as_json:
                print(results[-1].json(), flush=True)
    if not as_json:
        print(table(results))
    return 1 if any(result.error for result in results) else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object a line instead of the table")
    parser.add_argument("id", nargs="*", help="figures to measure, such as P6 P14")
    options = parser.parse_args()
    figures = chosen(options.id)
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(run(figures, options.json)))


if __name__ == "__main__":
    main()
