"""The entries in MariaDB. Values travel beside the statements, never in them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pymysql

LONGEST = {"author": 60, "text": 500}
SHOWN = 50
PATIENCE = 2.0  # seconds that a request waits for a database that is coming back
PAUSES = (0.1, 0.2, 0.4, 0.8, 1.0)

TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    id BIGINT PRIMARY KEY AUTO_INCREMENT,
    author VARCHAR(60) NOT NULL,
    text VARCHAR(500) NOT NULL,
    written TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) CHARACTER SET utf8mb4
"""
ADD = "INSERT INTO entries (author, text) VALUES (%s, %s)"
NEWEST = "SELECT id, author, text, written FROM entries ORDER BY id DESC LIMIT %s"

log = logging.getLogger("guestbook")


class Away(Exception):
    """The database cannot be reached, or it gave up in the middle."""


class Refused(ValueError):
    """An entry that is not kept, and why."""


def checked(author: str, text: str) -> tuple[str, str]:
    """Raises Refused."""
    if not text:
        raise Refused("Write something first.")
    for name, value in (("author", author), ("text", text)):
        if len(value) > LONGEST[name]:
            raise Refused(f"That is too long: {len(value)} characters, {LONGEST[name]} are kept.")
    return author or "somebody", text


class Entries:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._where: dict[str, Any] = {
            "host": environ.get("DB_HOST", "127.0.0.1"),
            "port": int(environ.get("DB_PORT", "3306")),
            "user": environ.get("DB_USER", "guestbook"),
            "password": environ.get("DB_MARIADB_PASSWORD", ""),
            "database": environ.get("DB_NAME", "guestbook"),
        }
        self._seen = threading.Event()
        self.trouble = "not looked for yet"

    # --- the database

    def begin(self) -> None:
        """Look for the database in the background until it is there."""
        threading.Thread(target=self._look, name="database", daemon=True).start()

    def _look(self) -> None:
        attempt = 0
        while not self._seen.is_set():
            try:
                self._make_table()
            except Away as error:
                self.trouble = str(error)
                log.warning("waiting for the database: %s", error)
                time.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
                attempt += 1
        log.warning("the database is there: %s:%s", self._where["host"], self._where["port"])

    def _make_table(self) -> None:
        with self._cursor(patience=0) as cursor:
            cursor.execute(TABLE)
        self._seen.set()

    def seen(self) -> bool:
        return self._seen.is_set()

    @contextlib.contextmanager
    def _cursor(self, patience: float = PATIENCE) -> Iterator[Any]:
        """A connection for one piece of work, committed at its end. Raises Away."""
        connection = self._connect(time.monotonic() + patience)
        try:
            with connection.cursor(pymysql.cursors.DictCursor) as cursor:
                yield cursor
            connection.commit()
        except pymysql.OperationalError as error:
            raise Away(reason(error)) from error
        finally:
            if connection.open:
                connection.close()

    def _connect(self, until: float) -> Any:
        """Tries again while the time lasts: nothing was asked of the database yet."""
        attempt = 0
        while True:
            try:
                return pymysql.connect(
                    **self._where, charset="utf8mb4", connect_timeout=2, read_timeout=5, write_timeout=5
                )
            except pymysql.OperationalError as error:
                pause = PAUSES[min(attempt, len(PAUSES) - 1)]
                if time.monotonic() + pause > until:
                    raise Away(reason(error)) from error
                time.sleep(pause)
                attempt += 1

    # --- the entries

    def add(self, author: str, text: str) -> None:
        values = checked(author, text)
        with self._cursor() as cursor:
            cursor.execute(ADD, values)

    def newest(self) -> list[dict[str, Any]]:
        with self._cursor() as cursor:
            cursor.execute(NEWEST, (SHOWN,))
            return [{**row, "written": f"{row['written']:%Y-%m-%d %H:%M}"} for row in cursor.fetchall()]


def reason(error: pymysql.OperationalError) -> str:
    """The words without the number."""
    return str(error.args[-1]) if error.args else str(error)
