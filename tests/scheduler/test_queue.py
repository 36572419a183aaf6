from __future__ import annotations

import asyncio

import msgspec
import pytest

from sampan.api.types import core_v1
from sampan.runtime.clock import VirtualClock
from sampan.scheduler.queue import LONGEST_WAIT, Queue, State
from tests.scheduler.lab import pod


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def queue(clock: VirtualClock) -> Queue:
    return Queue(clock)


def names(queue: Queue, most: int = 10) -> list[str]:
    return [entry.pod.metadata.name or "" for entry in queue.take(most)]


async def test_priority_first_then_age(queue: Queue, clock: VirtualClock) -> None:
    for name, priority in (("old", 0), ("urgent", 10), ("young", 0)):
        queue.put(pod(name, priority=priority))
        await clock.advance(1)
    assert names(queue, 2) == ["urgent", "old"]
    assert names(queue) == ["young"]


async def test_failed_pods_wait_until_something_helps(queue: Queue, clock: VirtualClock) -> None:
    queue.put(pod("a"))
    (entry,) = queue.take(1)
    queue.failed(entry, ("NodeResourcesFit",))
    await clock.advance(30)
    assert names(queue) == []
    queue.wake(lambda e: "NodeAffinity" in e.rejected)
    assert entry.state is State.UNSCHEDULABLE
    queue.wake(lambda e: "NodeResourcesFit" in e.rejected)
    assert names(queue) == ["a"]


async def test_backoff_doubles_from_one_second_to_ten(queue: Queue, clock: VirtualClock) -> None:
    queue.put(pod("a"))
    for seconds in (1, 2, 4, 8, 10, 10):
        (entry,) = queue.take(1)
        queue.failed(entry, ("X",))
        queue.wake(lambda e: True)
        assert entry.state is State.BACKOFF
        await clock.advance(seconds - 0.1)
        assert queue.count(State.ACTIVE) == 0
        await clock.advance(0.2)
        assert queue.count(State.ACTIVE) == 1


async def test_the_backoff_counts_from_the_attempt(queue: Queue, clock: VirtualClock) -> None:
    queue.put(pod("a"))
    (entry,) = queue.take(1)
    queue.failed(entry, ("X",))
    await clock.advance(5)
    queue.wake(lambda e: True)
    assert entry.state is State.ACTIVE


async def test_a_failure_that_nobody_caused_only_backs_off(queue: Queue, clock: VirtualClock) -> None:
    queue.put(pod("a"))
    (entry,) = queue.take(1)
    queue.failed(entry)
    assert entry.state is State.BACKOFF
    await clock.advance(1.1)
    assert names(queue) == ["a"]


async def test_after_a_long_wait_it_is_tried_anyway(queue: Queue, clock: VirtualClock) -> None:
    queue.put(pod("a"))
    (entry,) = queue.take(1)
    queue.failed(entry, ("X",))
    await clock.advance(LONGEST_WAIT - 1)
    assert names(queue) == []
    await clock.advance(2)
    assert names(queue) == ["a"]


async def test_gated_pods_wait_for_their_last_gate(queue: Queue) -> None:
    gated = pod("a", schedulingGates=[{"name": "example.com/g"}])
    queue.put(gated)
    assert (names(queue), queue.count(State.GATED)) == ([], 1)
    spec = msgspec.structs.replace(gated.spec, schedulingGates=())
    queue.put(msgspec.structs.replace(gated, spec=spec))
    assert names(queue) == ["a"]


async def test_a_changed_pod_is_tried_again_but_not_for_its_status(queue: Queue, clock: VirtualClock) -> None:
    waiting = pod("a")
    queue.put(waiting)
    (entry,) = queue.take(1)
    queue.failed(entry, ("X",))
    await clock.advance(10)
    queue.put(msgspec.structs.replace(waiting, status=core_v1.PodStatus(phase="Pending")))
    assert entry.state is State.UNSCHEDULABLE
    spec = msgspec.structs.replace(waiting.spec, nodeSelector={"a": "b"})
    queue.put(msgspec.structs.replace(waiting, spec=spec))
    assert entry.state is State.ACTIVE


@pytest.mark.parametrize("state", [State.ACTIVE, State.BACKOFF, State.UNSCHEDULABLE])
async def test_removed_pods_never_come_back(queue: Queue, clock: VirtualClock, state: State) -> None:
    queue.put(pod("a"))
    if state is not State.ACTIVE:
        (entry,) = queue.take(1)
        queue.failed(entry, ("X",) if state is State.UNSCHEDULABLE else ())
        assert entry.state is state
    queue.remove("uid-a")
    await clock.advance(LONGEST_WAIT * 2)
    assert (names(queue), len(queue)) == ([], 0)


async def test_removed_while_taken_failing_changes_nothing(queue: Queue) -> None:
    queue.put(pod("a"))
    (entry,) = queue.take(1)
    queue.remove("uid-a")
    queue.failed(entry)
    assert len(queue) == 0


async def test_who_waits_is_told(queue: Queue) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiter = group.create_task(queue.ready())
        await asyncio.sleep(0)
        assert not waiter.done()
        queue.put(pod())


async def test_closing_leaves_no_timer(queue: Queue, clock: VirtualClock) -> None:
    queue.put(pod("a"))
    queue.failed(queue.take(1)[0])
    assert clock.pending == 1
    queue.close()
    assert clock.pending == 0
