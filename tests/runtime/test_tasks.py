from __future__ import annotations

import asyncio
import itertools
import logging

import pytest

from sampan.runtime import tasks
from sampan.runtime.clock import RealClock, VirtualClock, rfc3339, rfc3339_micro, settle, unix


async def test_a_failure_ends_the_group() -> None:
    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    async def fails() -> None:
        raise ValueError("broken")

    started: list[asyncio.Task[None]] = []

    async def run() -> None:
        async with tasks.Group("test") as group:
            started.append(group.start("forever", forever()))
            group.start("fails", fails())

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(ValueError, match="broken")
    assert started[0].cancelled()
    assert started[0].get_name() == "test/forever"


async def test_a_supervised_task_starts_again_later_each_time(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    starts: list[float] = []

    async def works() -> None:
        starts.append(clock.now())
        if len(starts) < 4:
            raise RuntimeError("not yet")

    with caplog.at_level(logging.ERROR):
        async with tasks.Group("test", clock=clock) as group:
            task = group.supervise("works", works)
            for _ in range(40):
                await clock.advance(0.1)
            assert task.done()
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert len(gaps) == 3
    assert 0.1 <= gaps[0] < gaps[1] < gaps[2]
    assert "test/works failed, starting it again" in caplog.text


async def test_all_of_gives_results_and_errors_in_order() -> None:
    async def gives(value: int) -> int:
        await asyncio.sleep(0)
        if value < 0:
            raise ValueError(value)
        return value

    first, second, third = await tasks.all_of("test", [gives(1), gives(-1), gives(3)])
    assert (first, third) == (1, 3)
    assert isinstance(second, ValueError)


async def test_first_of_cancels_the_others() -> None:
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cancelled")

    async def returns() -> None:
        await asyncio.sleep(0)

    assert await tasks.first_of("test", waits(), returns()) == 1
    assert ended == ["cancelled"]


async def test_first_of_raises_what_the_first_raised() -> None:
    async def fails() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError):
        await tasks.first_of("test", fails())


async def test_the_virtual_clock_fires_in_order_and_only_when_moved() -> None:
    clock = VirtualClock(start=1000)
    fired: list[str] = []
    clock.call_later(2, lambda: fired.append("late"))
    clock.call_later(1, lambda: fired.append("early"))
    cancelled = clock.call_later(1.5, lambda: fired.append("never"))
    cancelled.cancel()
    sleeper = asyncio.ensure_future(clock.sleep(3))
    await settle()
    assert fired == []
    await clock.advance(2)
    assert fired == ["early", "late"]
    assert not sleeper.done()
    await clock.advance(1)
    assert sleeper.done()
    assert (clock.now(), clock.monotonic(), clock.pending) == (1003, 1003, 0)


async def test_a_sleeper_that_is_cancelled_leaves_no_timer() -> None:
    clock = VirtualClock()
    sleeper = asyncio.ensure_future(clock.sleep(3))
    await settle()
    sleeper.cancel()
    await settle()
    assert clock.pending == 0


async def test_the_real_clock_moves() -> None:
    clock = RealClock()
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before
    assert clock.now() > 1_700_000_000


def test_times_as_text() -> None:
    assert rfc3339(1_800_000_000.9) == "2027-01-15T08:00:00Z"
    assert rfc3339_micro(1_800_000_000.25) == "2027-01-15T08:00:00.250000Z"
    assert unix("2027-01-15T08:00:00Z") == 1_800_000_000
    assert unix("2027-01-15T08:00:00.250000Z") == 1_800_000_000.25
    assert unix(None) == unix("") == 0
