"""How long an answer of another server is believed."""

from __future__ import annotations

import pytest

from sampan.network.dns import cache, wire
from sampan.network.dns.cache import AnswerCache, Key, lifetime
from sampan.network.dns.wire import Message, Question, Record

WWW = wire.name("www.example.org")
QUESTION = Question(WWW, wire.A)


def address(ttl: int) -> Record:
    return Record(WWW, wire.A, bytes(4), ttl)


def soa(ttl: int, minimum: int) -> Record:
    return Record(WWW, wire.SOA, bytes(18) + minimum.to_bytes(4, "big"), ttl)


def message(*answers: Record, authority: tuple[Record, ...] = (), flags: int = wire.RESPONSE) -> Message:
    return Message(1, flags, QUESTION, answers, authority)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (message(address(7), address(20)), 7),
        (message(address(3600)), cache.LONGEST),
        (message(address(0)), 0),
        (message(authority=(soa(9, 60),)), 9),
        (message(authority=(soa(60, 4),), flags=wire.RESPONSE | wire.NXDOMAIN), 4),
        (message(address(300), authority=(soa(60, 4),), flags=wire.RESPONSE | wire.NXDOMAIN), 4),
        (message(), 0),
        (message(address(7), flags=wire.RESPONSE | wire.SERVFAIL), 0),
        (message(address(7), flags=wire.RESPONSE | wire.TRUNCATED), 0),
    ],
)
def test_lifetime(given: Message, seconds: int) -> None:
    assert lifetime(given) == seconds


def key(number: int) -> Key:
    return WWW, number, 1, 0


def test_times_to_live_run_down() -> None:
    kept = AnswerCache()
    kept.put(key(1), message(address(10), address(25)), 100.0)
    found = kept.get(key(1), 104.5)
    assert found is not None
    assert [record.ttl for record in found.answers] == [6, 21]
    assert kept.get(key(1), 110.0) is None
    assert len(kept) == 0


def test_the_one_that_nobody_asked_for_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST", 2)
    kept = AnswerCache()
    for number in (1, 2):
        kept.put(key(number), message(address(9)), 0.0)
    kept.get(key(1), 1.0)
    kept.put(key(3), message(address(9)), 1.0)
    assert [kept.get(key(number), 1.0) is not None for number in (1, 2, 3)] == [True, False, True]


def test_what_is_too_large_or_dead_is_not_kept() -> None:
    kept = AnswerCache()
    kept.put(key(1), message(Record(WWW, wire.TXT, bytes(cache.LARGEST + 1), 9)), 0.0)
    kept.put(key(2), message(address(0)), 0.0)
    assert len(kept) == 0
