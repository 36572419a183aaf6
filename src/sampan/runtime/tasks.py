"""The only place where tasks begin: named, in groups that end together, and never failing in silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, TypeVar

from sampan.runtime.backoff import Exponential
from sampan.runtime.clock import Clock, RealClock

T = TypeVar("T")

log = logging.getLogger(__name__)

RESTART = Exponential(first=0.1, longest=30.0, jitter=0.2)
HEALTHY_AFTER = 60.0
"""Seconds without a failure after which a supervised task's earlier failures are forgotten."""


class Group:
    """`async with Group("manager") as group:` leaves when its tasks have ended.

    A task of `start` that fails ends the whole group, which then raises what it raised. A task of `supervise` is
    reported and started again. Leaving by an exception cancels all of them.
    """

    def __init__(self, name: str, *, clock: Clock | None = None) -> None:
        self.name = name
        self._clock = clock or RealClock()
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Group:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._group.__aexit__(type, error, trace)

    def start(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self._group.create_task(work, name=f"{self.name}/{name}")

    def supervise(self, name: str, work: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
        """Run `work()` until it returns; an exception is reported and it starts again, later each time."""
        return self.start(name, self._supervised(name, work))

    async def _supervised(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        failures = 0
        while True:
            started = self._clock.monotonic()
            try:
                await work()
                return
            except Exception:
                failures = 1 if self._clock.monotonic() - started > HEALTHY_AFTER else failures + 1
                delay = RESTART.delay(failures)
                log.exception("%s/%s failed, starting it again in %.1f s", self.name, name, delay)
            await self._clock.sleep(delay)


async def all_of(name: str, work: Iterable[Coroutine[Any, Any, T]]) -> list[T | Exception]:
    """Run them side by side and wait for all: each one's result or the exception it raised, in order."""

    async def outcome(coroutine: Coroutine[Any, Any, T]) -> T | Exception:
        try:
            return await coroutine
        except Exception as error:
            return error

    async with Group(name) as group:
        tasks = [group.start(str(at), outcome(coroutine)) for at, coroutine in enumerate(work)]
    return [task.result() for task in tasks]


async def first_of(name: str, *work: Coroutine[Any, Any, Any]) -> int:
    """Run them side by side until one ends; the others are cancelled. Returns its position, raises what it raised."""
    tasks = [asyncio.get_running_loop().create_task(each, name=f"{name}/{at}") for at, each in enumerate(work)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    ended = next(at for at, task in enumerate(tasks) if task in done)
    tasks[ended].result()
    return ended
