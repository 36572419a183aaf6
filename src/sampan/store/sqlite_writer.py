"""The one thread that writes to the database file.

A batch is one SQL statement, so one step: the interpreter's lock is given up once, for the insert, the
commit and its fsync together, and taken back once. Row counts are rounded up to a few sizes (spare rows
are NULL and skipped) so that every statement is compiled once.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence

from sampan.store.log import Record
from sampan.store.types import Unavailable

SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    expires REAL NOT NULL,
    value BLOB
);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
SIZES = (1, 4, 16, 64, 256)
_COLUMNS = 6
_ROW = "(" + ",".join("?" * _COLUMNS) + ")"
_INSERT = (
    "INSERT INTO log (revision, key, created, previous, expires, value) "
    "SELECT * FROM (VALUES @) WHERE column1 IS NOT NULL"
)
_PADDED = {size: _INSERT.replace("@", ",".join([_ROW] * size)) for size in SIZES}

Job = Callable[[sqlite3.Connection], None]


def connect(path: str) -> sqlite3.Connection:
    """Any of our connections: autocommit, usable from whichever thread has it now."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    db.execute("PRAGMA cache_size = -2048")
    return db


def prepare(path: str) -> sqlite3.Connection:
    """The writing connection, on a file that has our tables. Raises sqlite3.Error."""
    db = connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA wal_autocheckpoint = 2000")
    db.execute(f"PRAGMA journal_size_limit = {64 << 20}")
    db.executescript(SCHEMA)
    return db


def insert(db: sqlite3.Connection, records: Sequence[Record]) -> None:
    """All records, durable when this returns, or none. At most SIZES[-1] of them."""
    size = next(size for size in SIZES if size >= len(records))
    values: list[object] = []
    for revision, key, value, created, previous, expires in records:
        values += (revision, key, created, previous, expires, value)
    values += [None] * ((size - len(records)) * _COLUMNS)
    try:
        db.execute(_PADDED[size], values)
    except sqlite3.OperationalError:
        # SQLite has rolled back, except when only the fsync failed: then the file itself must tell.
        if newest(db) != records[-1].revision:
            raise


def newest(db: sqlite3.Connection) -> int:
    found: int = db.execute("SELECT coalesce(max(revision), 0) FROM log").fetchone()[0]
    return found


def forget(db: sqlite3.Connection, after: int, upto: int, compacted: int) -> None:
    """Remove what changes in (after, upto] superseded, and deletions there, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        db.execute(
            "DELETE FROM log WHERE revision IN (SELECT previous FROM log WHERE revision > ? AND revision <= ?)",
            (after, upto),
        )
        db.execute("DELETE FROM log WHERE revision > ? AND revision <= ? AND value IS NULL", (after, upto))
        db.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?), ('forgotten', ?)", (compacted, upto))
        db.execute("COMMIT")
    except sqlite3.Error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def unavailable(path: str, error: Exception) -> Unavailable:
    """What happened, in words for a person."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extension, such as SQLITE_CORRUPT_VTAB
    if code == sqlite3.SQLITE_FULL:
        return Unavailable(f"{path}: the disk is full")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Unavailable(f"{path}: the file is damaged ({error}); restore it from a backup")
    return Unavailable(f"{path}: {error}")


class Writer:
    """Runs jobs in order on its own thread; each answer comes back to the event loop in one call."""

    def __init__(self, path: str, db: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._path = path
        self._db = db
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Job, Callable[[Unavailable | None], None]] | None]
        self._jobs = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job, done: Callable[[Unavailable | None], None]) -> None:
        """Run `job` on the thread, then `done` on the loop. Callers hold at most two jobs at a time here."""
        self._jobs.put((job, done))

    async def call(self, job: Job) -> None:
        answer: asyncio.Future[None] = self._loop.create_future()

        def done(failure: Unavailable | None) -> None:
            if answer.done():
                return
            if failure is None:
                answer.set_result(None)
            else:
                answer.set_exception(failure)

        self.submit(job, done)
        await answer

    async def close(self) -> None:
        """Finish the jobs, fold the WAL into the file, close it."""
        try:
            await self.call(_checkpoint)
        finally:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (work := self._jobs.get()) is not None:
            job, done = work
            failure: Unavailable | None = None
            try:
                job(self._db)
            except Exception as error:  # whatever it is, the callers on the loop must hear it
                failure = unavailable(self._path, error)
            self._loop.call_soon_threadsafe(done, failure)
        self._db.close()


def _checkpoint(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
