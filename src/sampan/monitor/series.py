"""The bounded store of figures over time: an SQLite file in which the oldest give way to the newest.

Not thread-safe, and it blocks, like traces.Traces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from sampan.api.exposition import Reading
from sampan.monitor.traces import open_file

SERIES = 20_000
"""Series at most; further ones are not taken before older ones have ended."""
POINTS = 1_000_000
"""Points at most, of all series together."""
KEPT = 6 * 3600.0
"""Seconds for which a point is kept."""
VERSION = 1

_SCHEMA = f"""
CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL, labels TEXT NOT NULL, UNIQUE (name, labels));
CREATE TABLE points (at INTEGER NOT NULL, series INTEGER NOT NULL, value REAL, PRIMARY KEY (at, series)) WITHOUT ROWID;
CREATE INDEX by_series ON points (series, at);
PRAGMA user_version = {VERSION};
"""
_encode = msgspec.json.Encoder(order="deterministic").encode
_LABELS = msgspec.json.Decoder(dict[str, str])


class Line(msgspec.Struct, frozen=True):
    """One series with its points: milliseconds since 1970, and the value."""

    name: str
    labels: Mapping[str, str]
    points: tuple[tuple[int, float], ...]


class Series:
    def __init__(self, path: Path, *, series: int = SERIES, points: int = POINTS, kept: float = KEPT) -> None:
        self._limit, self._points, self._kept = series, points, kept
        self._connection = open_file(path, VERSION, _SCHEMA)
        self._ids: dict[tuple[str, str], int] = {
            (name, labels): id for id, name, labels in self._connection.execute("SELECT id, name, labels FROM series")
        }
        self._count = int(self._connection.execute("SELECT count(*) FROM points").fetchone()[0])
        self.dropped = 0
        """Points of series that were too many."""

    def add(self, readings: Iterable[Reading], labels: Mapping[str, str], now: float) -> None:
        """In one transaction. `labels` are added to each reading's own, and win."""
        connection, at = self._connection, int(now * 1000)
        connection.execute("BEGIN")
        try:
            rows = [(at, id, r.value) for r in readings if (id := self._id(r.name, {**r.labels, **labels})) is not None]
            self._count += connection.executemany("INSERT OR REPLACE INTO points VALUES (?, ?, ?)", rows).rowcount
        except BaseException:
            connection.execute("ROLLBACK")
            self._ids = {(n, text): id for id, n, text in connection.execute("SELECT id, name, labels FROM series")}
            raise
        connection.execute("COMMIT")

    def _id(self, name: str, labels: Mapping[str, str]) -> int | None:
        key = (name, _encode(labels).decode())
        found = self._ids.get(key)
        if found is None:
            if len(self._ids) >= self._limit:
                self.dropped += 1
                return None
            found = self._connection.execute("INSERT INTO series (name, labels) VALUES (?, ?)", key).lastrowid
            assert found is not None
            self._ids[key] = found
        return found

    def forget(self, now: float) -> None:
        """What is too old or too much goes, and series that have no points any more."""
        connection = self._connection
        oldest = int((now - self._kept) * 1000)
        if self._count > self._points:
            too_many = (self._count - self._points + self._points // 10,)
            row = connection.execute("SELECT at FROM points ORDER BY at LIMIT 1 OFFSET ?", too_many).fetchone()
            oldest = max(oldest, row[0]) if row else oldest
        gone = connection.execute("DELETE FROM points WHERE at < ?", (oldest,)).rowcount
        self._count -= gone
        if gone:
            ended = (
                "DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM points WHERE series = id) RETURNING name, labels"
            )
            for name, labels in connection.execute(ended).fetchall():
                self._ids.pop((name, labels), None)

    def find(self, name: str, wanted: Mapping[str, str], start: float, limit: int) -> tuple[Line, ...]:
        """Series called `name` (any, for "") with these labels, at most `limit`, with their points since `start`."""
        rows = self._connection.execute(
            "SELECT id, name, labels FROM series WHERE name = ?1 OR ?1 = '' ORDER BY name, labels", (name,)
        )
        found: list[Line] = []
        for id, own, text in rows.fetchall():
            labels = _LABELS.decode(text)
            if all(labels.get(key) == value for key, value in wanted.items()):
                points = self._between(id, start)
                if points:
                    found.append(Line(own, labels, points))
                if len(found) >= limit:
                    break
        return tuple(found)

    def _between(self, id: int, start: float) -> tuple[tuple[int, float], ...]:
        query = "SELECT at, value FROM points WHERE series = ? AND at >= ? ORDER BY at"
        rows: Sequence[tuple[int, float | None]] = self._connection.execute(query, (id, int(start * 1000))).fetchall()
        return tuple((at, float("nan") if value is None else value) for at, value in rows)

    def names(self) -> tuple[tuple[str, int], ...]:
        """Every name, and how many series have it."""
        return tuple(self._connection.execute("SELECT name, count(*) FROM series GROUP BY name ORDER BY name"))

    @property
    def points(self) -> int:
        return self._count

    def close(self) -> None:
        self._connection.close()
