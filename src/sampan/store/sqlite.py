"""The store in one SQLite file: the log is a table, the index is in memory, values stay on disk.

Reads do not wait for the writer: WAL gives every reading connection its own snapshot.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from sampan.store import keys, mvcc, sqlite_writer
from sampan.store.log import Log, Record
from sampan.store.types import Event, Unavailable

_ROWS = "SELECT revision, key, value, created, previous, expires FROM log"
READERS = 4
CHUNK = 500
RECENT_BYTES = 4 << 20


class SqliteSnapshot:
    """One read transaction on one connection; statements run on the readers' threads."""

    def __init__(self, rows: SqliteRows, db: sqlite3.Connection) -> None:
        self._rows = rows
        self._db = db

    async def rows(self, revisions: Sequence[int]) -> list[Record]:
        found: dict[int, Record] = {}
        for at in range(0, len(revisions), CHUNK):
            chunk = revisions[at : at + CHUNK]
            sql = f"{_ROWS} WHERE revision IN ({','.join('?' * len(chunk))})"
            for row in await self._rows.read(self._db, sql, chunk):
                found[row[0]] = Record(*row)
        return [found[revision] for revision in revisions]

    async def superseded(self, prefix: str, after: int) -> dict[str, int]:
        sql = "SELECT key, previous FROM log WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision DESC"
        # Newest first: the oldest change of a key is the last to be entered.
        return dict(await self._rows.read(self._db, sql, (after, prefix, keys.upper_bound(prefix))))

    async def changes(self, prefix: str, after: int, upto: int, limit: int) -> list[Event]:
        sql = (
            "SELECT l.revision, l.key, l.value, p.value FROM log l LEFT JOIN log p ON p.revision = l.previous "
            "WHERE l.revision > ? AND l.revision <= ? AND l.key >= ? AND l.key < ? ORDER BY l.revision LIMIT ?"
        )
        bounds = (after, upto, prefix, keys.upper_bound(prefix), limit)
        return [Event(*row) for row in await self._rows.read(self._db, sql, bounds)]


class SqliteRows:
    def __init__(self, path: str, lock: int, writer: sqlite_writer.Writer) -> None:
        self._path = path
        self._lock = lock
        self._writer = writer
        self._inline = sqlite_writer.connect(path)
        self._spare: list[sqlite3.Connection] = []
        self._slots = asyncio.Semaphore(READERS)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._recent_bytes = 0

    def append(self, records: Sequence[Record], done: mvcc.Done) -> None:
        def written(failure: Unavailable | None) -> None:
            if failure is None:
                self._remember(records)
            done(failure)

        self._writer.submit(lambda db: sqlite_writer.insert(db, records), written)

    def _remember(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.value is not None:
                self._recent[record.revision] = record.value
                self._recent_bytes += len(record.value)
        while self._recent_bytes > RECENT_BYTES:
            self._recent_bytes -= len(self._recent.popitem(last=False)[1])

    def values(self, revisions: Sequence[int]) -> list[bytes]:
        recent = self._recent
        found = {revision: recent[revision] for revision in revisions if revision in recent}
        missing = [revision for revision in revisions if revision not in found]
        if missing:
            sql = f"{_ROWS} WHERE revision IN ({','.join('?' * len(missing))})"
            try:
                found.update((row[0], row[2]) for row in self._inline.execute(sql, missing))
            except sqlite3.Error as error:
                raise sqlite_writer.unavailable(self._path, error) from error
        return [found[revision] for revision in revisions]

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[SqliteSnapshot]:
        async with self._slots:
            db = self._spare.pop() if self._spare else sqlite_writer.connect(self._path)
            try:
                db.execute("BEGIN")
                db.execute("SELECT 1 FROM log LIMIT 1").fetchone()  # the snapshot is taken by the first read
                yield SqliteSnapshot(self, db)
            except sqlite3.Error as error:
                raise sqlite_writer.unavailable(self._path, error) from error
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                self._spare.append(db)

    async def read(self, db: sqlite3.Connection, sql: str, values: Sequence[object]) -> list[Any]:
        loop = asyncio.get_running_loop()
        reading = loop.run_in_executor(self._threads, lambda: db.execute(sql, values).fetchall())
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait([reading])  # the connection is in use until then
            raise

    async def forget(self, after: int, upto: int, compacted: int) -> None:
        await self._writer.call(lambda db: sqlite_writer.forget(db, after, upto, compacted))

    async def close(self) -> None:
        try:
            for _ in range(READERS):
                await self._slots.acquire()
            for db in (*self._spare, self._inline):
                db.close()
            self._threads.shutdown()
            await self._writer.close()
        finally:
            os.close(self._lock)


class SqliteStore(mvcc.LogStore):
    """`await SqliteStore.open(path)`; one process at a time, the file's lock sees to it."""

    @classmethod
    async def open(cls, path: str | os.PathLike[str]) -> SqliteStore:
        """Open or create. Raises Unavailable: in use, damaged, disk full, not permitted."""
        file = os.fspath(path)
        lock = _lock(file)
        try:
            db, log, forgotten, due = await asyncio.to_thread(_load, file)
        except (sqlite3.Error, OSError) as error:
            os.close(lock)
            raise sqlite_writer.unavailable(file, error) from error
        writer = sqlite_writer.Writer(file, db, asyncio.get_running_loop())
        store = cls(SqliteRows(file, lock, writer), log, forgotten=forgotten)
        store.restore_expiry(due)
        return store


def _lock(path: str) -> int:
    """The open lock file's descriptor; closing it unlocks. The kernel unlocks when the process dies."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable(f"{path}.lock: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise Unavailable(f"{path}: another process uses it (process {holder})") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _load(path: str) -> tuple[sqlite3.Connection, Log, int, list[tuple[float, str, int]]]:
    """The writing connection, the index, how far compaction got, and what expires: (when, key, revision)."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite_writer.prepare(path)
    try:
        meta = dict(db.execute("SELECT name, value FROM meta"))
        log = Log()
        rows = db.execute("SELECT revision, key, created, value IS NULL FROM log ORDER BY revision")
        log.load(rows, meta.get("compacted", 0))
        due = [
            (expires, key, revision)
            for expires, key, revision in db.execute("SELECT expires, key, revision FROM log WHERE expires > 0")
            if key in log.live and log.live[key].revision == revision
        ]
    except sqlite3.Error:
        db.close()
        raise
    return db, log, meta.get("forgotten", 0), due
