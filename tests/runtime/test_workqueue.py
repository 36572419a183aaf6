from __future__ import annotations

import asyncio

import pytest

from sampan.runtime.backoff import Exponential, Failures
from sampan.runtime.clock import VirtualClock, settle
from sampan.runtime.workqueue import WorkQueue


def queue(clock: VirtualClock | None = None) -> WorkQueue[str]:
    return WorkQueue("test", clock=clock or VirtualClock(), backoff=Exponential(first=1, longest=60))


async def test_a_key_waits_once() -> None:
    keys = queue()
    for key in ("a", "b", "a", "a"):
        keys.add(key)
    assert len(keys) == 2
    assert [await keys.get(), await keys.get()] == ["a", "b"]
    assert keys.added == 2


async def test_a_key_is_never_given_to_two_workers() -> None:
    keys = queue()
    keys.add("a")
    assert await keys.get() == "a"
    keys.add("a")
    second = asyncio.ensure_future(keys.get())
    await settle()
    assert not second.done()
    assert not keys.idle
    keys.done("a")
    assert await second == "a"
    keys.done("a")
    assert keys.idle


async def test_a_worker_that_is_cancelled_passes_its_turn_on() -> None:
    keys = queue()
    first, second = asyncio.ensure_future(keys.get()), asyncio.ensure_future(keys.get())
    await settle()
    keys.add("a")
    first.cancel()
    assert await second == "a"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_cancelled_waiter_that_was_not_woken_is_forgotten() -> None:
    keys = queue()
    waiting = asyncio.ensure_future(keys.get())
    await settle()
    waiting.cancel()
    await settle()
    keys.add("a")
    assert await keys.get() == "a"


async def test_of_several_times_the_earliest_counts() -> None:
    clock = VirtualClock()
    keys = queue(clock)
    keys.add_after("a", 30)
    keys.add_after("a", 10)
    keys.add_after("a", 20)
    keys.add_after("b", 5)
    assert (len(keys), keys.delayed) == (0, 2)
    await clock.advance(5)
    assert (len(keys), keys.delayed) == (1, 1)
    await clock.advance(5)
    assert (len(keys), keys.delayed) == (2, 0)
    await clock.advance(100)
    assert keys.added == 2
    assert clock.pending == 0


async def test_at_once_means_at_once() -> None:
    keys = queue()
    keys.add_after("a", 0)
    keys.add_after("b", -1)
    assert len(keys) == 2


async def test_retries_wait_longer_each_time_until_the_key_does_well() -> None:
    clock = VirtualClock()
    keys = queue(clock)
    assert [keys.retry("a") for _ in range(3)] == [1, 2, 4]
    assert keys.failures("a") == 3
    assert keys.retry("b") == 1
    keys.forget("a")
    assert keys.retry("a") == 1
    assert keys.retried == 5


def test_backoff_has_a_limit_and_a_spread() -> None:
    steady = Exponential(first=0.005, longest=1000)
    assert steady.delay(1) == 0.005
    assert steady.delay(1000) == 1000
    spread = Exponential(first=1, jitter=0.5)
    assert all(1 <= spread.delay(1) <= 1.5 for _ in range(50))


def test_failures_are_counted_by_key() -> None:
    failures = Failures(Exponential(first=1))
    failures.failed("a")
    assert (failures.count("a"), failures.count("b")) == (1, 0)
    failures.forget("a")
    failures.forget("never")
    assert failures.count("a") == 0
