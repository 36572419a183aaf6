"""DNS messages as bytes: strict reading, compressed writing (RFC 1035, RFC 6891).

A name is its wire form without compression: b"\\x03www\\x00". Lengths are below 64 and letters above, so that
`bytes.lower` gives the form in which names are compared.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

A, NS, CNAME, SOA, PTR, HINFO, MX, TXT, AAAA, SRV, NAPTR, DNAME, OPT, ANY = (
    *(1, 2, 5, 6, 12, 13, 15, 16, 28, 33, 35, 39, 41, 255),
)
IN: Final = 1
ANY_CLASS: Final = 255

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

RESPONSE, AUTHORITATIVE, TRUNCATED, RECURSE, RECURSES, CHECKED, UNCHECKED = (
    *(0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010),
)
DNSSEC_OK: Final = 0x8000

PLAIN: Final = 512
"""Bytes of an answer over UDP to somebody who does not say how many he takes."""
LARGEST: Final = 1232
"""Bytes of an answer over UDP at most: what passes every link unfragmented (dnsflagday.net/2020)."""

_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_POINTER: Final = 0xC000
_MOST_RECORDS: Final = 2000

_LEADING = {NS: 0, CNAME: 0, PTR: 0, DNAME: 0, MX: 2, SRV: 6}
"""Types whose data is so many bytes and then one name."""


class Malformed(Exception):
    """`rcode` is what to answer; None: nothing, for it is no query."""

    def __init__(self, rcode: int | None, why: str) -> None:
        super().__init__(why)
        self.rcode = rcode


class Question(NamedTuple):
    name: bytes
    type: int
    class_: int = IN


class Edns(NamedTuple):
    size: int
    dnssec: bool
    version: int = 0


class Query(NamedTuple):
    id: int
    flags: int
    question: Question
    edns: Edns | None = None


class Record(NamedTuple):
    """`data` without compression."""

    name: bytes
    type: int
    data: bytes
    ttl: int
    class_: int = IN


class Message(NamedTuple):
    """A response. `rcode` without the extension that EDNS brings."""

    id: int
    flags: int
    question: Question
    answers: Sequence[Record] = ()
    authority: Sequence[Record] = ()

    @property
    def rcode(self) -> int:
        return self.flags & 0xF


# --- names ---


def name(text: str) -> bytes:
    """From `www.example.org`, with or without the last dot. Raises ValueError."""
    labels = [label.encode("ascii") for label in text.rstrip(".").split(".")] if text.rstrip(".") else []
    made = join(labels)
    if any(not 0 < len(label) < 64 for label in labels) or len(made) > 255:
        raise ValueError(f"{text!r} is no domain name")
    return made


def join(labels: Iterable[bytes]) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def labels(name: bytes) -> list[bytes]:
    found, at = [], 0
    while name[at]:
        found.append(name[at + 1 : at + 1 + name[at]])
        at += 1 + name[at]
    return found


def text(name: bytes) -> str:
    """For people: `www.example.org.`"""
    return ".".join(label.decode("ascii", "backslashreplace") for label in labels(name)) + "."


def _read_name(data: bytes, at: int) -> tuple[bytes, int]:
    """The name at an offset, and the offset behind it. Pointers lead backwards only, so they cannot go round."""
    parts: list[bytes] = []
    length, behind, limit = 1, 0, at
    while True:
        size = data[at] if at < len(data) else -1
        if size == 0:
            return b"".join(parts) + b"\0", behind or at + 1
        if 0 < size < 64:
            length += 1 + size
            if length > 255 or at + 1 + size > len(data):
                raise Malformed(FORMERR, "a name is too long")
            parts.append(data[at : at + 1 + size])
            at += 1 + size
        elif size >= 0xC0 and at + 1 < len(data):
            target = (size & 0x3F) << 8 | data[at + 1]
            if target >= limit:
                raise Malformed(FORMERR, "a pointer does not lead backwards")
            behind = behind or at + 2
            at = limit = target
        else:
            raise Malformed(FORMERR, "a name ends too early or has a label of an unknown kind")


# --- reading ---


def parse_query(data: bytes) -> Query:
    """Raises Malformed. One question, no answers, perhaps one OPT among the additional records, nothing behind."""
    if len(data) < _HEADER.size:
        raise Malformed(None, "too short")
    id, flags, questions, answers, authority, additional = _HEADER.unpack_from(data)
    if flags & RESPONSE:
        raise Malformed(None, "a response")
    if flags & 0x7800:
        raise Malformed(NOTIMP, "not a standard query")
    if questions != 1 or answers or authority or additional > 2:
        raise Malformed(FORMERR, "not one question")
    question, at = _read_question(data)
    edns = None
    for _ in range(additional):
        start = at
        record, at = _read_record(data, at)
        if record.type == OPT:
            if edns is not None or data[start]:
                raise Malformed(FORMERR, "a second OPT, or one with a name")
            edns = Edns(record.class_, bool(record.ttl & DNSSEC_OK), record.ttl >> 16 & 0xFF)
    if at != len(data):
        raise Malformed(FORMERR, "something follows the message")
    return Query(id, flags, question, edns)


def parse_response(data: bytes) -> Message:
    """What another server answered, without its additional records. Raises Malformed."""
    if len(data) < _HEADER.size:
        raise Malformed(None, "too short")
    id, flags, questions, answers, authority, additional = _HEADER.unpack_from(data)
    if not flags & RESPONSE or questions != 1 or answers + authority + additional > _MOST_RECORDS:
        raise Malformed(None, "not a response to one question")
    question, at = _read_question(data)
    sections: list[list[Record]] = [[], []]
    for section, count in zip(sections, (answers, authority), strict=True):
        for _ in range(count):
            record, at = _read_record(data, at)
            section.append(record)
    return Message(id, flags, question, *sections)


def _read_question(data: bytes) -> tuple[Question, int]:
    name, at = _read_name(data, _HEADER.size)
    if at + _QUESTION.size > len(data):
        raise Malformed(FORMERR, "the question is cut short")
    return Question(name, *_QUESTION.unpack_from(data, at)), at + _QUESTION.size


def _read_record(data: bytes, at: int) -> tuple[Record, int]:
    name, at = _read_name(data, at)
    if at + _RECORD.size > len(data):
        raise Malformed(FORMERR, "a record is cut short")
    type, class_, ttl, size = _RECORD.unpack_from(data, at)
    at += _RECORD.size
    end = at + size
    if end > len(data):
        raise Malformed(FORMERR, "a record's data is cut short")
    return Record(name, type, _read_data(data, at, end, type), ttl, class_), end


def _read_data(data: bytes, at: int, end: int, type: int) -> bytes:
    """Data of the types in which names may be compressed, without compression (RFC 3597, section 4)."""
    if type in _LEADING:
        start = at + _LEADING[type]
        name, behind = _read_name(data, start)
        parts = data[at:start] + name
    elif type == SOA:
        first, behind = _read_name(data, at)
        second, behind = _read_name(data, behind)
        parts = first + second + data[behind : behind + 20]
        behind += 20
    else:
        return data[at:end]
    if behind != end:
        raise Malformed(FORMERR, "a record's data has another length than its name")
    return parts


# --- writing ---


class _Writer:
    """A message in the making; remembers where names stand."""

    def __init__(self, question: Question) -> None:
        self.data = bytearray(_HEADER.size)
        self._known: dict[bytes, int] = {}
        self.name(question.name)
        self.data += _QUESTION.pack(question.type, question.class_)

    def name(self, name: bytes) -> None:
        at, folded = 0, name.lower()
        while name[at]:
            known = self._known.get(folded[at:])
            if known is not None:
                self.data += (_POINTER | known).to_bytes(2, "big")
                return
            if len(self.data) < 0x4000:
                self._known[folded[at:]] = len(self.data)
            self.data += name[at : at + 1 + name[at]]
            at += 1 + name[at]
        self.data.append(0)

    def record(self, record: Record) -> None:
        self.name(record.name)
        start = len(self.data)
        self.data += _RECORD.pack(record.type, record.class_, record.ttl, len(record.data))
        if record.type in (NS, CNAME, PTR):
            self.name(record.data)
            size = len(self.data) - start - _RECORD.size
            self.data[start + 8 : start + 10] = size.to_bytes(2, "big")
        else:
            self.data += record.data


def encode_response(
    query: Query,
    rcode: int,
    answers: Sequence[Record] = (),
    authority: Sequence[Record] = (),
    additional: Sequence[Record] = (),
    *,
    limit: int = 0xFFFF,
    flags: int = 0,
) -> bytes:
    """At most `limit` bytes: what does not fit is left out, and TRUNCATED says so unless it was only additional."""
    writer = _Writer(query.question)
    room = min(limit, 0xFFFF) - (11 if query.edns is not None else 0)
    counts = [0, 0, 0]
    for section, records in enumerate((answers, authority, additional)):
        for record in records:
            before = len(writer.data)
            writer.record(record)
            if len(writer.data) > room:
                del writer.data[before:]
                flags |= TRUNCATED if section < 2 else 0
                break
            counts[section] += 1
        if flags & TRUNCATED:
            break
    if query.edns is not None:
        extended = rcode >> 4 << 24 | (DNSSEC_OK if query.edns.dnssec else 0)
        writer.data += b"\0" + _RECORD.pack(OPT, LARGEST, extended, 0)
        counts[2] += 1
    flags |= RESPONSE | query.flags & (RECURSE | UNCHECKED) | rcode & 0xF
    _HEADER.pack_into(writer.data, 0, query.id, flags, 1, *counts)
    return bytes(writer.data)


def encode_query(query: Query) -> bytes:
    """Ours, to another server."""
    head = _HEADER.pack(query.id, query.flags, 1, 0, 0, 1 if query.edns else 0)
    body = query.question.name + _QUESTION.pack(query.question.type, query.question.class_)
    if query.edns is not None:
        flags = query.edns.version << 16 | (DNSSEC_OK if query.edns.dnssec else 0)
        body += b"\0" + _RECORD.pack(OPT, query.edns.size, flags, 0)
    return head + body


def encode_error(data: bytes, rcode: int) -> bytes:
    """To a query that could not be read: its ID and nothing else of it."""
    id, flags = struct.unpack_from("!HH", data)
    return _HEADER.pack(id, RESPONSE | flags & (0x7800 | RECURSE) | rcode & 0xF, 0, 0, 0, 0)
