"""Time as the rest of the code sees it: the real one, and one that tests move by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """`now` is Unix seconds for what people and other machines read; `monotonic` measures durations."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...

    def call_later(self, seconds: float, function: Callable[[], None]) -> Timer: ...

    async def sleep(self, seconds: float) -> None: ...


class RealClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def call_later(self, seconds: float, function: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, function)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Alarm:
    def __init__(self, function: Callable[[], None]) -> None:
        self.function: Callable[[], None] | None = function

    def cancel(self) -> None:
        self.function = None


class VirtualClock:
    """Stands still until `advance`; then timers fire in order, and what they wake runs before the next one."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self._alarms: list[tuple[float, int, _Alarm]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def call_later(self, seconds: float, function: Callable[[], None]) -> Timer:
        alarm = _Alarm(function)
        heapq.heappush(self._alarms, (self._now + max(0.0, seconds), next(self._order), alarm))
        return alarm

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, lambda: None if woken.done() else woken.set_result(None))
        try:
            await woken
        finally:
            timer.cancel()

    async def advance(self, seconds: float) -> None:
        end = self._now + seconds
        await settle()
        while self._alarms and self._alarms[0][0] <= end:
            at, _, alarm = heapq.heappop(self._alarms)
            self._now = max(self._now, at)
            if alarm.function is not None:
                alarm.function()
                await settle()
        self._now = end

    @property
    def pending(self) -> int:
        """Timers that are still to fire."""
        return sum(alarm.function is not None for _, _, alarm in self._alarms)


async def settle(turns: int = 50) -> None:
    """Let everything that is ready run: a bounded number of turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


def rfc3339(seconds: float) -> str:
    """metav1.Time: whole seconds, UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """metav1.MicroTime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unix(text: str | None) -> float:
    """Unix seconds of a Time or MicroTime; 0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0
