"""Answers of other servers, for as long as they allow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from sampan.network.dns import wire
from sampan.network.dns.wire import Message, Record

MOST = 4096
"""Answers kept; the one that nobody asked for the longest goes first."""
LARGEST = 4096
"""Bytes of data of an answer that is kept."""
LONGEST = 30
"""Seconds that an answer is kept at most."""

Key = tuple[bytes, int, int, int]
"""Name in lower case, type, class, flags."""


class _Entry(NamedTuple):
    message: Message
    at: float
    until: float


class AnswerCache:
    """`now` is monotonic."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, now: float) -> Message | None:
        """The answer with what is left of its times to live."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.until:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        age = int(now - entry.at)
        return entry.message._replace(
            answers=_aged(entry.message.answers, age), authority=_aged(entry.message.authority, age)
        )

    def put(self, key: Key, message: Message, now: float) -> None:
        seconds = lifetime(message)
        if seconds <= 0 or sum(len(each.data) for each in (*message.answers, *message.authority)) > LARGEST:
            return
        self._entries[key] = _Entry(message, now, now + seconds)
        self._entries.move_to_end(key)
        if len(self._entries) > MOST:
            self._entries.popitem(last=False)


def lifetime(message: Message) -> int:
    """Seconds; of a "no" what its SOA says (RFC 2308), 0 for failures and when nothing is said."""
    if message.flags & wire.TRUNCATED or message.rcode not in (wire.NOERROR, wire.NXDOMAIN):
        return 0
    if message.answers and message.rcode == wire.NOERROR:
        return min(LONGEST, *(record.ttl for record in message.answers))
    for record in message.authority:
        if record.type == wire.SOA and len(record.data) >= 20:
            return min(LONGEST, record.ttl, int.from_bytes(record.data[-4:], "big"))
    return 0


def _aged(records: Sequence[Record], age: int) -> Sequence[Record]:
    return [record._replace(ttl=max(0, record.ttl - age)) for record in records] if age else records
