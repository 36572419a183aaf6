"""A query's answer: from the zone and the cache at once, from other servers later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sampan.network.dns import wire
from sampan.network.dns.forward import Forwarder, Unanswered
from sampan.network.dns.wire import Message, Query, Question, Record
from sampan.network.dns.zone import TTL, Answer, Zone, soa

_LONGEST_CHAIN = 8
_TRANSFERS = (251, 252)
_LOCALHOST = b"\x09localhost\x00"


class Reply(NamedTuple):
    rcode: int
    answers: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    flags: int = wire.RECURSES

    def encode(self, query: Query, limit: int) -> bytes:
        return wire.encode_response(
            query, self.rcode, self.answers, self.authority, self.additional, limit=limit, flags=self.flags
        )


FAILED = Reply(wire.SERVFAIL)


class _Onward(NamedTuple):
    """What the zone knows, and the question that others have to answer."""

    chain: Sequence[Record]
    question: Question


class Resolver:
    def __init__(self, zone: Zone, forwarder: Forwarder) -> None:
        self._zone = zone
        self._forwarder = forwarder

    def at_once(self, query: Query) -> Reply | None:
        """None: others must be asked."""
        found = self._look(query)
        if isinstance(found, Reply):
            return found
        message = self._forwarder.cached(query._replace(question=found.question))
        return _joined(found.chain, message) if message is not None else None

    async def later(self, query: Query) -> Reply:
        found = self._look(query)
        if isinstance(found, Reply):
            return found
        try:
            return _joined(found.chain, await self._forwarder.ask(query._replace(question=found.question)))
        except Unanswered:
            return FAILED

    def _look(self, query: Query) -> Reply | _Onward:
        name, type, class_ = query.question
        if query.edns is not None and query.edns.version:
            return Reply(wire.BADVERS)
        if class_ not in (wire.IN, wire.ANY_CLASS) or type in _TRANSFERS:
            return Reply(wire.REFUSED)
        chain: list[Record] = []
        for _ in range(_LONGEST_CHAIN):
            answer = self._local(name.lower(), type)
            if answer is None:
                return _Onward(chain, Question(name, type, class_))
            chain += answer.records
            if not answer.alias:
                authority = (answer.soa,) if answer.soa else ()
                return Reply(answer.rcode, chain, authority, answer.additional, wire.AUTHORITATIVE | wire.RECURSES)
            name = answer.alias
        return FAILED

    def _local(self, name: bytes, type: int) -> Answer | None:
        if name == _LOCALHOST or name.endswith(_LOCALHOST):
            return localhost(name, type)
        return self._zone.answer(name, type)


def _joined(chain: Sequence[Record], message: Message) -> Reply:
    return Reply(message.rcode, [*chain, *message.answers], message.authority)


def localhost(name: bytes, type: int) -> Answer:
    """Never asked of others (RFC 6761)."""
    found = {wire.A: b"\x7f\0\0\1", wire.AAAA: bytes(15) + b"\1"}
    if type in found:
        return Answer(wire.NOERROR, [Record(name, type, found[type], TTL)])
    return Answer(wire.NOERROR, soa=soa(_LOCALHOST))
