"""P4 and P5: what the cluster costs when nothing happens, all processes together."""

from __future__ import annotations

import asyncio
import os

from benchmarks.figure import Figure
from benchmarks.lab import Lab, pss, ticks

SETTLE = 15
WATCHED = 20


async def memory(place: Lab) -> float:
    await asyncio.sleep(SETTLE)
    return sum(pss(pid) for pid in place.pids().values()) / (1 << 20)


async def processor(place: Lab) -> float:
    await asyncio.sleep(SETTLE)
    pids = place.pids().values()
    before = sum(ticks(pid) for pid in pids)
    await asyncio.sleep(WATCHED)
    used = sum(ticks(pid) for pid in pids) - before
    return 100 * used / os.sysconf("SC_CLK_TCK") / WATCHED


FIGURES = (
    Figure("P4", "idle memory of all parts together (PSS)", "MiB", 150, "lower", memory, runs=1),
    Figure("P5", "idle processor time of all parts together", "% of a core", 1, "lower", processor),
)
