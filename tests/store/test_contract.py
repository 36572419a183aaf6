"""What every store promises (store/types.py), over each of them."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from sampan.store.types import Compacted, Conflict, Entry, Event, FutureRevision, Store, StoreError, Unavailable
from tests.store.reading import DEADLINE, contents, take, until


async def test_an_empty_store_has_revision_zero(store: Store) -> None:
    assert store.revision == 0
    assert await store.get("/a") is None
    assert await store.range("/") == ([], 0, 0)


async def test_put_counts_revisions_and_keeps_the_first(store: Store) -> None:
    assert await store.put("/a", b"1") == 1
    assert await store.put("/b", b"2") == 2
    assert await store.put("/a", b"3") == 3
    assert store.revision == 3
    assert await store.get("/a") == Entry("/a", b"3", 3, 1)
    assert await store.get("/b") == Entry("/b", b"2", 2, 2)


async def test_an_empty_value_is_a_value(store: Store) -> None:
    await store.put("/a", b"")
    assert await store.get("/a") == Entry("/a", b"", 1, 1)


async def test_expect_zero_creates_once(store: Store) -> None:
    await store.put("/a", b"1", expect=0)
    with pytest.raises(Conflict) as caught:
        await store.put("/a", b"2", expect=0)
    assert caught.value.entry == Entry("/a", b"1", 1, 1)
    assert store.revision == 1


async def test_expect_a_revision(store: Store) -> None:
    first = await store.put("/a", b"1")
    second = await store.put("/a", b"2", expect=first)
    with pytest.raises(Conflict) as caught:
        await store.put("/a", b"3", expect=first)
    assert caught.value.entry == Entry("/a", b"2", second, first)
    with pytest.raises(Conflict) as caught:
        await store.put("/gone", b"3", expect=first)
    assert caught.value.entry is None


async def test_delete(store: Store) -> None:
    await store.put("/a", b"1")
    assert await store.delete("/a") == 2
    assert await store.get("/a") is None
    assert await store.put("/a", b"2", expect=0) == 3
    assert await store.get("/a") == Entry("/a", b"2", 3, 3)


async def test_delete_compares(store: Store) -> None:
    await store.put("/a", b"1")
    await store.put("/a", b"2")
    with pytest.raises(Conflict) as caught:
        await store.delete("/a", expect=1)
    assert caught.value.entry == Entry("/a", b"2", 2, 1)
    assert await store.delete("/a", expect=2) == 3


async def test_delete_of_nothing_conflicts(store: Store) -> None:
    for expect in (None, 0, 7):
        with pytest.raises(Conflict) as caught:
            await store.delete("/a", expect=expect)
        assert caught.value.entry is None
    assert store.revision == 0


async def test_writers_of_one_key_at_once_have_one_winner(store: Store) -> None:
    answers = await asyncio.gather(*(store.put("/a", b"%d" % i, expect=0) for i in range(20)), return_exceptions=True)
    winners = [answer for answer in answers if isinstance(answer, int)]
    losers = [answer for answer in answers if isinstance(answer, Conflict)]
    assert winners == [1]
    assert len(losers) == 19
    winner = await store.get("/a")
    assert all(loser.entry == winner for loser in losers)


async def test_writers_at_once_each_get_their_own_revision(store: Store) -> None:
    answers = await asyncio.gather(*(store.put(f"/{i:04}", b"%d" % i) for i in range(1000)))
    assert sorted(answers) == list(range(1, 1001))
    page = await store.range("/")
    assert [(e.key, e.revision) for e in page.entries] == [(f"/{i:04}", answers[i]) for i in range(1000)]


async def test_a_counter_of_many_writers_loses_nothing(store: Store) -> None:
    await store.put("/n", b"0")

    async def add(times: int) -> None:
        for _ in range(times):
            entry = await store.get("/n")
            while True:
                assert entry is not None
                try:
                    await store.put("/n", b"%d" % (int(entry.value) + 1), expect=entry.revision)
                    break
                except Conflict as conflict:
                    entry = conflict.entry

    await asyncio.gather(*(add(10) for _ in range(10)))
    entry = await store.get("/n")
    assert entry is not None
    assert entry.value == b"100"


async def test_a_cancelled_writer_harms_nobody(store: Store) -> None:
    tasks = [asyncio.ensure_future(store.put(f"/{i}", b"")) for i in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, int) for answer in done[1::2])
    found = await contents(store)
    assert {f"/{i}" for i in range(1, 10, 2)} <= set(found)
    assert store.revision == len(found)


@pytest.mark.parametrize("key", ["", "/\ud800"])
async def test_keys_that_cannot_be(store: Store, key: str) -> None:
    with pytest.raises(StoreError):
        await store.put(key, b"")
    assert store.revision == 0


async def test_keys_outside_ascii_are_ordered_by_code_point(store: Store) -> None:
    keys = ["/a", "/z", "/é", "/中", "/\U0001f600"]
    for key in reversed(keys):
        await store.put(key, key.encode())
    assert list(await contents(store, "/")) == keys


async def test_range_by_prefix_start_and_limit(store: Store) -> None:
    for key in ("/a", "/b/1", "/b/2", "/b/3", "/b0", "/c"):
        await store.put(key, key.encode())
    page = await store.range("/b/")
    assert [e.key for e in page.entries] == ["/b/1", "/b/2", "/b/3"]
    assert (page.revision, page.remaining) == (6, 0)
    page = await store.range("/b/", limit=2)
    assert ([e.key for e in page.entries], page.remaining) == (["/b/1", "/b/2"], 1)
    page = await store.range("/b/", start="/b/2\0", limit=2)
    assert ([e.key for e in page.entries], page.remaining) == (["/b/3"], 0)
    assert (await store.range("/b/", start="/c")).entries == []


@pytest.mark.parametrize("count", [10, 40, 1500])
async def test_pages_of_one_revision_are_one_picture(store: Store, count: int) -> None:
    """Changes after the first page show neither in the second nor in its count."""
    for i in range(count):
        await store.put(f"/k/{i:05}", b"old")
    then = store.revision
    first = await store.range("/k/", limit=4)
    await store.put("/k/00006", b"new")
    await store.delete("/k/00007")
    await store.put("/k/00005x", b"new")
    await store.put("/other", b"new")
    start = first.entries[-1].key + "\0"
    second = await store.range("/k/", start=start, revision=then)
    assert [(e.key, e.value, e.created) for e in second.entries] == [
        (f"/k/{i:05}", b"old", i + 1) for i in range(4, count)
    ]
    assert (second.revision, second.remaining) == (then, 0)
    page = await store.range("/k/", start=start, limit=3, revision=then)
    assert (len(page.entries), page.remaining) == (3, count - 7)
    assert len((await store.range("/k/")).entries) == count


async def test_a_future_revision_is_refused(store: Store) -> None:
    await store.put("/a", b"")
    with pytest.raises(FutureRevision) as caught:
        await store.range("/", revision=2)
    assert (caught.value.requested, caught.value.newest) == (2, 1)


async def test_watch_tells_what_was_and_what_comes(store: Store) -> None:
    await store.put("/w/a", b"1")
    await store.put("/w/a", b"2")
    await store.put("/x", b"")
    watch = store.watch("/w/", after=1)
    await store.delete("/w/a")
    await store.put("/w/b", b"3")
    assert await take(watch, 3) == [
        Event(2, "/w/a", b"2", b"1"),
        Event(4, "/w/a", None, b"2"),
        Event(5, "/w/b", b"3", None),
    ]


async def test_watch_from_now_hears_only_what_comes(store: Store) -> None:
    await store.put("/a", b"1")
    watch = store.watch("/", after=store.revision)
    reading = asyncio.ensure_future(take(watch, 1))
    await store.put("/b", b"2")
    assert await reading == [Event(2, "/b", b"2", None)]


async def test_watch_after_a_revision_to_come(store: Store) -> None:
    watch = store.watch("/", after=2)
    for i in range(4):
        await store.put(f"/{i}", b"")
    assert [event.revision for event in await take(watch, 2)] == [3, 4]


async def test_every_watcher_sees_every_event_in_order(store: Store) -> None:
    for i in range(700):
        await store.put(f"/{i % 7}/k", b"%d" % i)
    starts = (0, 1, 350, 699, 700)
    watches = [store.watch("/", after=after) for after in starts]
    partial = store.watch("/3/", after=0)
    reading = [asyncio.ensure_future(take(w, 1400 - after)) for w, after in zip(watches, starts, strict=True)]
    some = asyncio.ensure_future(take(partial, 200))
    await asyncio.gather(*(store.put(f"/{i % 7}/k", b"%d" % i) for i in range(700, 1400)))
    for events, after in zip(await asyncio.gather(*reading), starts, strict=True):
        assert [event.revision for event in events] == list(range(after + 1, 1401))
    assert all(event.key == "/3/k" for event in await some)
    chain = [(event.previous, event.value) for event in await some]
    assert all(before[1] == after[0] for before, after in itertools.pairwise(chain))


async def test_a_closed_watch_ends(store: Store) -> None:
    watch = store.watch("/", after=0)
    reading = asyncio.ensure_future(_drain(watch))
    await store.put("/a", b"")
    watch.close()
    watch.close()
    async with asyncio.timeout(DEADLINE):
        await reading
    await store.put("/b", b"")


async def _drain(watch) -> list[Event]:
    return [event async for batch in watch for event in batch]


async def test_compaction_forgets_what_was_superseded(store: Store) -> None:
    await store.put("/a", b"1")
    await store.put("/a", b"2")
    await store.put("/b", b"3")
    await store.delete("/b")
    await store.put("/c", b"5")
    await store.compact(4)
    assert await contents(store, revision=4) == {"/a": b"2"}
    assert await contents(store) == {"/a": b"2", "/c": b"5"}
    with pytest.raises(Compacted) as caught:
        await store.range("/", revision=3)
    assert (caught.value.requested, caught.value.oldest) == (3, 4)
    with pytest.raises(Compacted):
        await take(store.watch("/", after=3), 1)
    assert [event.revision for event in await take(store.watch("/", after=4), 1)] == [5]
    await store.compact(4)
    with pytest.raises(Compacted):
        await store.compact(3)
    with pytest.raises(FutureRevision):
        await store.compact(6)


async def test_compaction_beside_writers_and_readers(store: Store) -> None:
    """Long histories are removed in pieces; what is live stays readable all the time."""

    async def write() -> None:
        for i in range(40):
            await asyncio.gather(*(store.put(f"/k/{k:03}", b"%d" % i) for k in range(100)))

    async def compact() -> None:
        while not writing.done():
            await asyncio.sleep(0)
            await store.compact(store.revision)
            assert len((await store.range("/k/")).entries) in (0, 100)

    writing = asyncio.ensure_future(write())
    await compact()
    await writing
    await store.compact(store.revision)
    assert set((await contents(store)).values()) == {b"39"}


async def test_a_key_with_a_time_to_live_goes_by_itself(store: Store) -> None:
    watch = store.watch("/", after=0)
    await store.put("/short", b"1", ttl=1)
    await store.put("/long", b"2", ttl=3600)
    await store.put("/kept", b"3", ttl=1)
    await store.put("/kept", b"4")
    events = await take(watch, 5)
    assert events[-1] == Event(5, "/short", None, b"1")
    assert await contents(store) == {"/kept": b"4", "/long": b"2"}


async def test_a_key_put_again_lives_its_new_time(store: Store) -> None:
    await store.put("/a", b"1", ttl=1)
    await store.put("/a", b"2", ttl=3600)
    await store.put("/b", b"", ttl=1)

    async def gone() -> bool:
        return await store.get("/b") is None

    await until(gone)
    assert await contents(store) == {"/a": b"2"}


async def test_a_closed_store_is_unavailable(store: Store) -> None:
    await store.put("/a", b"1")
    watch = store.watch("/", after=1)
    reading = asyncio.ensure_future(take(watch, 1))
    await asyncio.sleep(0)
    writes = [asyncio.ensure_future(store.put(f"/{i}", b"")) for i in range(5)]
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert all(isinstance(answer, int) for answer in await asyncio.gather(*writes)), "accepted writes are finished"
    with pytest.raises(Unavailable, match="closed"):
        await reading
    for call in (store.get("/a"), store.range("/"), store.put("/a", b""), store.delete("/a"), store.compact(1)):
        with pytest.raises(Unavailable, match="closed"):
            await call
    with pytest.raises(Unavailable, match="closed"):
        store.watch("/", after=0)
