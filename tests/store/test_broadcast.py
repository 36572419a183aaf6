from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from sampan.store import broadcast
from sampan.store.memory import MemoryStore
from sampan.store.types import Event, SlowWatcher, StoreError, Unavailable
from tests.store.reading import take


async def nothing(prefix: str, after: int, upto: int) -> AsyncIterator[Sequence[Event]]:
    for batch in ():
        yield batch


def send(hub: broadcast.Broadcaster, event: Event) -> None:
    for watcher in hub.interested(event.key):
        watcher.offer(event)


async def test_only_those_with_the_prefix_hear_it() -> None:
    hub = broadcast.Broadcaster()
    watches = {prefix: hub.watch(prefix, 0, 0, nothing) for prefix in ("", "/a/", "/ab/", "/a/b/c/d")}
    heard = {prefix: bool(watch in hub.interested("/a/b")) for prefix, watch in watches.items()}
    assert heard == {"": True, "/a/": True, "/ab/": False, "/a/b/c/d": False}
    assert len(hub) == 4


async def test_an_event_is_made_once_for_all() -> None:
    hub = broadcast.Broadcaster()
    watches = [hub.watch("/a/", 0, 0, nothing) for _ in range(3)]
    event = Event(1, "/a/x", b"v", None)
    send(hub, event)
    for watch in watches:
        (seen,) = await take(watch, 1)
        assert seen is event


async def test_a_slow_reader_is_cut_off_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "BOUND", 3)
    store = MemoryStore()
    slow, quick = store.watch("/", after=0), store.watch("/", after=0)
    reading = asyncio.ensure_future(take(quick, 5))
    for i in range(5):
        await store.put(f"/{i}", b"")
    assert [event.revision for event in await reading] == [1, 2, 3, 4, 5]
    with pytest.raises(SlowWatcher, match="3 events behind"):
        await take(slow, 1)
    with pytest.raises(SlowWatcher):
        await take(slow, 1)
    await store.close()


async def test_a_reader_cut_off_while_it_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "BOUND", 3)
    store = MemoryStore()
    for i in range(600):
        await store.put(f"/{i}", b"")
    watch = store.watch("/", after=0)

    async def read_slowly() -> None:
        async for batch in watch:
            assert batch[0].revision == 1, "the second batch comes too late"
            for i in range(4):
                await store.put(f"/new/{i}", b"")

    with pytest.raises(SlowWatcher):
        await read_slowly()
    await store.close()


async def test_failing_ends_everybody() -> None:
    hub = broadcast.Broadcaster()
    watches = [hub.watch(prefix, 0, 0, nothing) for prefix in ("/a", "/a", "/b")]
    waiting = [asyncio.ensure_future(take(watch, 1)) for watch in watches]
    await asyncio.sleep(0)
    hub.fail(Unavailable("gone"))
    for answer in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(answer, StoreError)
        assert str(answer) == "gone"
    assert len(hub) == 0


async def test_dropping_twice_is_fine() -> None:
    hub = broadcast.Broadcaster()
    first, second = hub.watch("/a", 0, 0, nothing), hub.watch("/a", 0, 0, nothing)
    first.close()
    hub.drop(first)
    assert hub.interested("/a/b") == [second]
    second.close()
    assert hub.interested("/a/b") == []
