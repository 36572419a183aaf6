"""The file: reopening, damage, a full disk, memory."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.store import mvcc, sqlite, sqlite_writer
from sampan.store.log import Record
from sampan.store.sqlite import SqliteStore
from sampan.store.types import Compacted, Event, Unavailable
from tests.store.reading import contents, take


async def test_reopening_finds_everything(path: Path) -> None:
    store = await SqliteStore.open(path)
    await asyncio.gather(*(store.put(f"/{i:04}", b"%d" % i) for i in range(1000)))
    await store.put("/0000", b"new")
    await store.delete("/0001")
    await store.close()
    store = await SqliteStore.open(path)
    assert store.revision == 1002
    found = await contents(store)
    assert found == {"/0000": b"new"} | {f"/{i:04}": b"%d" % i for i in range(2, 1000)}
    assert (await take(store.watch("/", after=1000), 2))[1] == Event(1002, "/0001", None, b"1")
    assert await store.put("/0001", b"", expect=0) == 1003
    await store.close()


async def test_the_revision_outlives_its_row(path: Path) -> None:
    """A deletion, compacted away, was the last thing that happened: its number is not used again."""
    store = await SqliteStore.open(path)
    await store.put("/a", b"")
    await store.delete("/a")
    await store.compact(2)
    await store.close()
    store = await SqliteStore.open(path)
    assert store.revision == 2
    assert await store.put("/a", b"") == 3
    with pytest.raises(Compacted):
        await take(store.watch("/", after=1), 1)
    await store.close()


async def test_a_compaction_that_was_cut_short_is_finished_by_the_next(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mvcc, "FORGET", 10)
    store = await SqliteStore.open(path)
    for _ in range(50):
        await store.put("/a", b"")
    real, calls = sqlite_writer.forget, []

    def failing(*args) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise sqlite3.OperationalError("cut short")
        real(*args)

    monkeypatch.setattr(sqlite_writer, "forget", failing)
    with pytest.raises(Unavailable, match="cut short"):
        await store.compact(50)
    with pytest.raises(Compacted):
        await store.range("/", revision=49)
    await store.close()
    store = await SqliteStore.open(path)
    with pytest.raises(Compacted):
        await store.range("/", revision=49)
    await store.put("/a", b"last")
    await store.compact(51)
    await store.close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT revision FROM log").fetchall() == [(51,)]
    db.close()


async def test_the_file_does_not_grow_with_history(path: Path) -> None:
    store = await SqliteStore.open(path)
    sizes = []
    for _ in range(5):
        for _ in range(10):
            await asyncio.gather(*(store.put(f"/{i}", bytes(1000)) for i in range(100)))
        await store.compact(store.revision)
        await store._rows._writer.call(lambda db: sqlite_writer._checkpoint(db))
        sizes.append(path.stat().st_size)
    assert sizes[-1] < sizes[0] * 1.5
    await store.close()


async def test_the_value_cache_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "RECENT_BYTES", 10_000)
    store = await SqliteStore.open(path)
    for i in range(100):
        await store.put(f"/{i:03}", bytes([i]) * 1000)
    assert len(store._rows._recent) <= 10
    assert await contents(store) == {f"/{i:03}": bytes([i]) * 1000 for i in range(100)}
    entry = await store.get("/000")
    assert entry is not None
    assert entry.value == bytes(1000)
    watch = store.watch("/", after=100)
    await store.put("/000", b"new")
    assert await take(watch, 1) == [Event(101, "/000", b"new", bytes(1000))]
    await store.close()


async def test_too_many_writes_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mvcc, "WAITING", 10)
    store = await SqliteStore.open(path)
    answers = await asyncio.gather(*(store.put(f"/{i}", b"") for i in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, Unavailable) for answer in answers) == 10
    assert await store.put("/a", b"") == 11
    await store.close()


async def test_large_values_make_small_batches(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mvcc, "BATCH_BYTES", 2 << 20)
    store = await SqliteStore.open(path)
    await asyncio.gather(*(store.put(f"/{i}", bytes(1 << 20)) for i in range(12)))
    assert len((await store.range("/")).entries) == 12
    await store.close()


@pytest.mark.parametrize("size", [1, 2, 4, 5, 63, 64, 65, 256])
def test_every_size_of_batch(path: Path, size: int) -> None:
    db = sqlite_writer.prepare(str(path))
    records = [Record(i + 1, f"/{i}", b"%d" % i if i % 3 else None, i + 1, 0, 0.5) for i in range(size)]
    sqlite_writer.insert(db, records)
    rows = db.execute("SELECT revision, key, value, created, previous, expires FROM log ORDER BY revision")
    assert [Record(*row) for row in rows] == records
    with pytest.raises(sqlite3.IntegrityError):
        sqlite_writer.insert(db, [Record(1, "/x", b"", 1, 0, 0.0)])
    db.close()


def test_a_commit_that_succeeded_although_it_said_otherwise(path: Path) -> None:
    """When only the fsync after the commit failed, the file tells that the batch is there."""
    real = sqlite_writer.prepare(str(path))

    class Lying:
        def execute(self, sql: str, values=()):
            answer = real.execute(sql, values)
            if sql.startswith("INSERT"):
                raise sqlite3.OperationalError("disk I/O error")
            return answer

    sqlite_writer.insert(Lying(), [Record(1, "/a", b"", 1, 0, 0.0)])  # type: ignore[arg-type]
    assert sqlite_writer.newest(real) == 1
    real.close()


@pytest.mark.parametrize(
    "content", [b"this is no database at all, whatever its name says" * 100, b"SQLite format 3\0xx"]
)
async def test_what_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"store\.db: the file is damaged"):
        await SqliteStore.open(path)
    assert path.read_bytes() == content
    path.unlink()
    await (await SqliteStore.open(path)).close()


async def test_damaged_pages(path: Path) -> None:
    store = await SqliteStore.open(path)
    await asyncio.gather(*(store.put(f"/{i}", bytes(3000)) for i in range(200)))
    await store.close()
    with path.open("r+b") as file:
        for page in range(2, 150):
            file.seek(page * 4096)
            file.write(os.urandom(4096))
    with pytest.raises(Unavailable, match="damaged"):
        await SqliteStore.open(path)


async def test_a_torn_wal_loses_only_the_tail(path: Path) -> None:
    """The last bytes of the WAL never reached the disk: what was whole before them is there."""
    store = await SqliteStore.open(path)
    for i in range(20):
        await store.put(f"/{i:02}", b"v")
    wal = Path(f"{path}-wal").read_bytes()
    file = path.read_bytes()
    await store.close()
    for cut in (1, 100, 5000, 20_000):
        copy = path.with_name(f"copy{cut}.db")
        copy.write_bytes(file)
        Path(f"{copy}-wal").write_bytes(wal[:-cut])
        store = await SqliteStore.open(copy)
        assert list(await contents(store)) == [f"/{i:02}" for i in range(store.revision)]
        assert store.revision < 20
        await store.put("/new", b"")
        await store.close()


async def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file or directory"):
        await SqliteStore.open(tmp_path / "missing" / "store.db")
    (tmp_path / "dir").mkdir()
    with pytest.raises(Unavailable, match="Is a directory"):
        await SqliteStore.open(tmp_path / "dir")


async def test_the_file_is_private(path: Path) -> None:
    await (await SqliteStore.open(path)).close()
    assert path.stat().st_mode & 0o077 == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "sampan-test", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.kernel
async def test_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1 << 20))
    path = small_disk / "store.db"
    store = await SqliteStore.open(path)
    watch = store.watch("/", after=0)
    written: list[str] = []

    async def fill() -> None:
        for i in range(1000):
            await store.put(f"/{i:04}", bytes(10_000))
            written.append(f"/{i:04}")

    with pytest.raises(Unavailable, match="the disk is full"):
        await fill()
    assert store.revision == len(written)
    assert list(await contents(store)) == written
    filler.unlink()
    assert await store.put("/after", b"") == len(written) + 1
    events = await take(watch, len(written) + 1)
    assert [event.key for event in events] == [*written, "/after"]
    await store.close()
    store = await SqliteStore.open(path)
    assert list(await contents(store)) == [*written, "/after"]
    await store.close()
