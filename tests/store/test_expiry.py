from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from sampan.store import expiry
from sampan.store.sqlite import SqliteStore
from tests.store.reading import DEADLINE, until


class Recorder:
    def __init__(self) -> None:
        self.expired: list[tuple[str, int]] = []
        self.stale: set[tuple[str, int]] = set()
        self.changed = asyncio.Event()
        self.expiry = expiry.Expiry(self.expire, self.is_current)

    def expire(self, due: Sequence[tuple[str, int]]) -> None:
        self.expired += due
        self.changed.set()

    def is_current(self, key: str, revision: int) -> bool:
        return (key, revision) not in self.stale

    async def wait(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE):
            while len(self.expired) < count:
                await self.changed.wait()
                self.changed.clear()


async def test_the_nearest_comes_first() -> None:
    recorder = Recorder()
    now = time.time()
    recorder.expiry.add(now + 0.1, "/later", 1)
    recorder.expiry.add(now + 3600, "/never", 2)
    recorder.expiry.add(now + 0.05, "/sooner", 3)
    recorder.expiry.add(now - 10, "/past", 4)
    await recorder.wait(3)
    assert recorder.expired == [("/past", 4), ("/sooner", 3), ("/later", 1)]
    assert len(recorder.expiry) == 1
    recorder.expiry.close()


async def test_stale_pairs_are_swept_out() -> None:
    recorder = Recorder()
    for revision in range(10 * expiry.STALE):
        recorder.stale.add(("/a", revision - 1))
        recorder.expiry.add(time.time() + 3600, "/a", revision)
    assert len(recorder.expiry) <= 2 * expiry.STALE
    recorder.expiry.close()


async def test_more_than_a_batch_at_once() -> None:
    recorder = Recorder()
    for revision in range(3 * expiry.STALE):
        recorder.expiry.add(time.time() - 1, f"/{revision}", revision)
    await recorder.wait(3 * expiry.STALE)
    recorder.expiry.close()


async def test_what_could_not_be_deleted_is_tried_again() -> None:
    recorder = Recorder()
    recorder.expiry.retry("/a", 1)
    await recorder.wait(1)
    recorder.expiry.close()
    recorder.expiry.add(time.time(), "/b", 2)


async def test_times_survive_a_restart(path: Path) -> None:
    store = await SqliteStore.open(path)
    await store.put("/short", b"", ttl=1)
    await store.put("/again", b"", ttl=1)
    await store.put("/again", b"")
    await store.put("/long", b"", ttl=3600)
    await store.close()
    store = await SqliteStore.open(path)

    async def gone() -> bool:
        return await store.get("/short") is None

    await until(gone)
    assert [entry.key for entry in (await store.range("/")).entries] == ["/again", "/long"]
    await store.close()
