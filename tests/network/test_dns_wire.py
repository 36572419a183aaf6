"""The DNS codec: what it reads and refuses, and that nothing breaks it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.network.dns import wire
from sampan.network.dns.wire import Edns, Malformed, Query, Question, Record
from tests.network import dig

WWW = wire.name("www.example.org")
HEAD = struct.Struct("!HHHHHH")

label = st.binary(min_size=1, max_size=63)
name = st.lists(label, max_size=8).map(wire.join).filter(lambda made: len(made) <= 255)
plain = st.builds(
    Record, name, st.sampled_from((1, 16, 28, 99)), st.binary(max_size=300), st.integers(0, 2**31 - 1), st.just(1)
)
naming = st.builds(
    Record, name, st.sampled_from((wire.CNAME, wire.PTR, wire.NS)), name, st.integers(0, 2**31 - 1), st.just(1)
)


def test_names() -> None:
    assert WWW == b"\x03www\x07example\x03org\x00"
    assert wire.name("") == wire.name(".") == b"\0"
    assert wire.labels(WWW) == [b"www", b"example", b"org"]
    assert wire.text(WWW) == "www.example.org."
    for wrong in ("a..b", "x" * 64, ".".join(["x" * 60] * 5), "bücher.example"):
        with pytest.raises(ValueError):
            wire.name(wrong)


@given(
    id=st.integers(0, 65535),
    name=name,
    type=st.integers(0, 65535),
    edns=st.none() | st.builds(Edns, st.integers(0, 65535), st.booleans(), st.integers(0, 255)),
)
def test_a_query_comes_back_as_it_went(id: int, name: bytes, type: int, edns: Edns | None) -> None:
    query = Query(id, wire.RECURSE, Question(name, type), edns)
    assert wire.parse_query(wire.encode_query(query)) == query


@given(answers=st.lists(plain | naming, max_size=12), authority=st.lists(plain, max_size=2), question=name)
def test_a_response_comes_back_as_it_went(answers: list[Record], authority: list[Record], question: bytes) -> None:
    """Compression folds the case of names; what they mean stays."""
    query = Query(5, wire.RECURSE, Question(question, 1), Edns(1232, True))
    message = wire.parse_response(wire.encode_response(query, wire.NXDOMAIN, answers, authority))
    assert (message.id, message.rcode, message.question) == (5, wire.NXDOMAIN, query.question)
    assert [folded(each) for each in message.answers] == [folded(each) for each in answers]
    assert [folded(each) for each in message.authority] == [folded(each) for each in authority]


def folded(record: Record) -> Record:
    data = record.data.lower() if record.type in (wire.CNAME, wire.PTR, wire.NS) else record.data
    return record._replace(name=record.name.lower(), data=data)


@given(data=st.binary(max_size=600))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    for parse in (wire.parse_query, wire.parse_response):
        try:
            parse(data)
        except Malformed:
            continue


@given(data=st.data())
def test_no_damage_breaks_the_reader(data: st.DataObject) -> None:
    """Messages that are nearly right get further than noise."""
    query = Query(5, 0, Question(WWW, 33), Edns(1232, False))
    records = [
        Record(WWW, wire.SRV, b"\0\0\0\1\0\2" + WWW, 5),
        Record(WWW, wire.MX, b"\0\1" + WWW, 5),
        Record(WWW, wire.SOA, WWW + WWW + bytes(20), 5),
        Record(WWW, wire.CNAME, WWW, 5),
    ]
    for message in (wire.encode_query(query), wire.encode_response(query, 0, records)):
        damaged = bytearray(message)
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(
                st.sampled_from((0, 1, 0x3F, 0x40, 0x80, 0xC0, 0xFF))
            )
        for parse in (wire.parse_query, wire.parse_response):
            try:
                parse(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))
            except Malformed:
                continue


QUESTION = WWW + b"\0\1\0\1"
OPT = b"\0" + struct.pack("!HHIH", wire.OPT, 4096, 0, 0)


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        (b"", None),
        (HEAD.pack(1, 0x0100, 1, 0, 0, 0)[:11], None),
        (HEAD.pack(1, 0x8000, 1, 0, 0, 0) + QUESTION, None),
        (HEAD.pack(1, 0x2800, 1, 0, 0, 0) + QUESTION, wire.NOTIMP),
        (HEAD.pack(1, 0, 0, 0, 0, 0), wire.FORMERR),
        (HEAD.pack(1, 0, 2, 0, 0, 0) + QUESTION * 2, wire.FORMERR),
        (HEAD.pack(1, 0, 1, 1, 0, 0) + QUESTION, wire.FORMERR),
        (HEAD.pack(1, 0, 1, 0, 0, 0) + QUESTION[:-1], wire.FORMERR),
        (HEAD.pack(1, 0, 1, 0, 0, 0) + QUESTION + b"\0", wire.FORMERR),
        (HEAD.pack(1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", wire.FORMERR),
        (HEAD.pack(1, 0, 1, 0, 0, 0) + b"\x41" + b"a" * 65 + b"\0\0\1\0\1", wire.FORMERR),
        (HEAD.pack(1, 0, 1, 0, 0, 0) + (b"\x3f" + b"a" * 63) * 4 + b"\0\0\1\0\1", wire.FORMERR),
        (HEAD.pack(1, 0, 1, 0, 0, 2) + QUESTION + OPT * 2, wire.FORMERR),
        (HEAD.pack(1, 0, 1, 0, 0, 3) + QUESTION + OPT * 3, wire.FORMERR),
        (HEAD.pack(1, 0, 1, 0, 0, 1) + QUESTION + OPT[:-1], wire.FORMERR),
        (HEAD.pack(1, 0, 1, 0, 0, 1) + QUESTION + b"\1x" + OPT, wire.FORMERR),
    ],
)
def test_queries_that_are_refused(data: bytes, rcode: int | None) -> None:
    with pytest.raises(Malformed) as caught:
        wire.parse_query(data)
    assert caught.value.rcode == rcode
    if rcode is not None:
        answer = wire.encode_error(data, rcode)
        assert answer[:2] == data[:2]
        assert answer[2] & 0x80 and answer[3] & 0xF == rcode


def test_pointers_cannot_go_round() -> None:
    loop = HEAD.pack(1, 0x8000, 1, 1, 0, 0) + QUESTION + b"\xc0\x21\0\1\0\1\0\0\0\5\0\0"
    with pytest.raises(Malformed):
        wire.parse_response(loop)


def test_what_does_not_fit_is_left_out_and_said_so() -> None:
    query = Query(5, wire.RECURSE, Question(WWW, 1))
    records = [Record(WWW, 1, bytes(4), 5)] * 100
    small = wire.encode_response(query, 0, records, limit=wire.PLAIN)
    assert len(small) <= wire.PLAIN
    said = dig.read(small)
    assert said.truncated
    assert len(said.answers) == (wire.PLAIN - 12 - len(QUESTION)) // 16
    assert not dig.read(wire.encode_response(query, 0, records)).truncated
    extra = wire.encode_response(query, 0, records[:1], (), records, limit=100)
    assert not dig.read(extra).truncated, "additional records are only a courtesy"


def test_edns_is_answered_with_edns() -> None:
    query = Query(5, 0, Question(WWW, 1), Edns(4096, True, 1))
    data = wire.encode_response(query, wire.BADVERS)
    assert data[-11:] == b"\0" + struct.pack("!HHIH", wire.OPT, wire.LARGEST, 1 << 24 | 0x8000, 0)
    assert data[3] & 0xF == 0
