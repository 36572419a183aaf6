"""The bounded store of spans: an SQLite file in which the oldest give way to the newest.

Not thread-safe, and it blocks: whoever owns it calls it from one thread at a time, off the event loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from sampan.monitor.spans import PEER, Span

LIMIT = 100_000
"""Spans that are kept."""
CHUNK = 1_000
"""Spans that go at once."""
VERSION = 2

_SCHEMA = f"""
CREATE TABLE spans (
    id INTEGER PRIMARY KEY, trace BLOB NOT NULL, service TEXT NOT NULL, namespace TEXT NOT NULL,
    start INTEGER NOT NULL, peer TEXT, document BLOB NOT NULL
);
CREATE INDEX by_trace ON spans (trace);
CREATE INDEX by_service ON spans (service, start);
CREATE INDEX by_peer ON spans (peer, start) WHERE peer IS NOT NULL;
CREATE INDEX by_start ON spans (start);
PRAGMA user_version = {VERSION};
"""
_INSERT = "INSERT INTO spans (trace, service, namespace, start, peer, document) VALUES (?, ?, ?, ?, ?, ?)"
_encode = msgspec.json.Encoder().encode
_DECODER = msgspec.json.Decoder(Span)


def open_file(path: Path, version: int, schema: str) -> sqlite3.Connection:
    """A file whose content may be lost: one that cannot be read or has another form begins anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _open(path, version, schema)
    except sqlite3.DatabaseError:
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm", f"{path.name}-journal"):
            path.with_name(name).unlink(missing_ok=True)
        return _open(path, version, schema)


def _open(path: Path, version: int, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = OFF", "cache_size = -1024"):
            connection.execute(f"PRAGMA {pragma}")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, version):
            raise sqlite3.DatabaseError(f"version {found}")
        if not found:
            connection.executescript(schema)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


class Traces:
    def __init__(self, path: Path, *, limit: int = LIMIT) -> None:
        self._limit = limit
        self._connection = open_file(path, VERSION, _SCHEMA)

    def add(self, spans: Iterable[Span]) -> None:
        """In one transaction; what is too much goes with it, the oldest first."""
        rows = [
            (bytes.fromhex(s.trace), s.service, s.namespace, s.start, s.attributes.get(PEER), _encode(s)) for s in spans
        ]
        connection = self._connection
        connection.execute("BEGIN")
        try:
            connection.executemany(_INSERT, rows)
            first, last = connection.execute("SELECT min(id), max(id) FROM spans").fetchone()
            if first is not None and last - first + 1 > self._limit:
                # The keys count up without a gap: what is below the bound has come before.
                step = min(CHUNK, self._limit // 10)
                connection.execute("DELETE FROM spans WHERE id <= ?", (last - self._limit + step,))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def trace(self, trace: str) -> tuple[Span, ...]:
        """The spans of one trace, in the order of their beginnings. `trace` may be the beginning of its ID."""
        if len(trace) == 32:
            return self._read("WHERE trace = ? ORDER BY start, id", (bytes.fromhex(trace),))
        low = bytes.fromhex(trace.ljust(32, "0"))
        high = bytes.fromhex(trace.ljust(32, "f"))
        row = self._connection.execute("SELECT trace FROM spans WHERE trace BETWEEN ? AND ? LIMIT 1", (low, high))
        found = row.fetchone()
        return self.trace(found[0].hex()) if found else ()

    def recent(self, services: Sequence[str] = (), namespace: str = "", limit: int = 20) -> tuple[str, ...]:
        """The traces that services took part in or were called in (any, without `services`), the newest first.

        With `namespace`, those of it, and of senders whose namespace is not known.
        """
        where, values = [], list[str | int]()
        if services:
            listed = ",".join("?" * len(services))
            where.append(f"(service IN ({listed}) OR peer IN ({listed}))")
            values += (*services, *services)
        if namespace:
            where.append("namespace IN (?, '')")
            values.append(namespace)
        condition = f"WHERE {' AND '.join(where)}" if where else ""
        query = f"SELECT trace, max(start) AS last FROM spans {condition} GROUP BY trace ORDER BY last DESC LIMIT ?"  # noqa: S608 - the values are bound
        return tuple(row[0].hex() for row in self._connection.execute(query, (*values, limit)))

    def since(self, start: int, limit: int) -> tuple[Span, ...]:
        """The newest spans that began at or after `start`, at most `limit`."""
        return self._read("WHERE start >= ? ORDER BY start DESC LIMIT ?", (start, limit))

    def services(self) -> tuple[tuple[str, str], ...]:
        """Namespace and name of every service that has sent something."""
        return tuple(self._connection.execute("SELECT DISTINCT namespace, service FROM spans ORDER BY 1, 2"))

    def __len__(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM spans").fetchone()[0])

    def _read(self, rest: str, values: Sequence[object]) -> tuple[Span, ...]:
        rows = self._connection.execute(f"SELECT document FROM spans {rest}", values)  # noqa: S608 - ours
        return tuple(_DECODER.decode(row[0]) for row in rows)

    def close(self) -> None:
        self._connection.close()
