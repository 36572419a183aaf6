"""The pipeline runs these in the image that is deployed: python3 -m pytest."""

from __future__ import annotations

import time

import pymysql
import pytest

import entries as rooms
import server


class Kept:
    """Entries in a list, in the place of the database."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self.trouble = "not there yet"
        self.there = True

    def seen(self) -> bool:
        return self.there

    def newest(self) -> list[dict[str, object]]:
        if not self.there:
            raise rooms.Away("no route to <db>")
        return self.rows[::-1]

    def add(self, author: str, text: str) -> None:
        author, text = rooms.checked(author, text)
        self.rows.append({"id": len(self.rows), "author": author, "text": text, "written": "2026-01-01 00:00"})


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def visitor(kept: Kept):
    return server.create(kept).test_client()


def test_an_entry_is_shown_with_pod_and_version(visitor) -> None:
    assert "Nobody has written yet" in visitor.get("/").text
    answer = visitor.post("/entries", data={"author": "Ada", "text": "hello"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    page = visitor.get("/").text
    assert "<strong>Ada</strong>" in page and "hello" in page and f"version <code>{server.VERSION}</code>" in page


def test_what_visitors_write_is_text(visitor) -> None:
    visitor.post("/entries", data={"author": "<b>", "text": "<script>alert(1)</script>"})
    answer = visitor.get("/")
    assert "&lt;script&gt;" in answer.text and "<script" not in answer.text and "<b>" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(("text", "why"), [("", "Write something"), ("x" * 501, "501 characters, 500 are kept")])
def test_what_is_not_kept_says_why_and_stays_in_the_form(visitor, kept: Kept, text: str, why: str) -> None:
    answer = visitor.post("/entries", data={"author": "Ada", "text": text})
    assert answer.status_code == 422 and why in answer.text and 'value="Ada"' in answer.text
    assert kept.rows == []


def test_a_form_on_another_site_writes_nothing(visitor, kept: Kept) -> None:
    answer = visitor.post("/entries", data={"text": "x"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403 and kept.rows == []


def test_the_page_says_that_the_database_is_away(visitor, kept: Kept) -> None:
    kept.there = False
    answer = visitor.get("/")
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert "The database is away" in answer.text and "no route to &lt;db&gt;" in answer.text


def test_health_waits_for_the_database(visitor, kept: Kept) -> None:
    kept.there = False
    answer = visitor.get("/healthz")
    assert answer.status_code == 503 and "not there yet" in answer.text
    kept.there = True
    assert visitor.get("/healthz").status_code == 200


def test_work_is_bounded(visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_WORK", 5)
    assert visitor.get("/work?ms=999999999").json["rounds"] > 0  # comes back, which a year would not
    assert visitor.get("/work?ms=-1").status_code == 400


def test_a_database_that_comes_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def connect(**_: object) -> object:
        if len(pauses) < 2:
            raise pymysql.OperationalError(2003, "Can't connect")
        return "a connection"

    monkeypatch.setattr(rooms.pymysql, "connect", connect)
    monkeypatch.setattr(rooms.time, "sleep", pauses.append)
    made = rooms.Entries({"DB_HOST": "db"})
    assert made._connect(time.monotonic() + 60) == "a connection"
    assert pauses == [0.1, 0.2]


def test_a_database_that_stays_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(**_: object) -> object:
        raise pymysql.OperationalError(2003, "Can't connect")

    monkeypatch.setattr(rooms.pymysql, "connect", connect)
    with pytest.raises(rooms.Away, match="Can't connect"):
        rooms.Entries({})._connect(time.monotonic())
