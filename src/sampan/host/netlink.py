"""Netlink sockets: requests with an answer, dumps, and sockets that live in another network namespace.

The framing that rtnetlink (links, addresses, routes) and conntrack share. Source: linux/netlink.h, RFC 3549.
Calls block for as long as the kernel takes, so they run on a thread of their own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from sampan.host import syscalls

ROUTE: Final = 0
NETFILTER: Final = 12

REQUEST: Final = 0x1
ACK: Final = 0x4
REPLACE: Final = 0x100
EXCLUSIVE: Final = 0x200
CREATE: Final = 0x400
DUMP: Final = 0x300

NESTED: Final = 0x8000

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR: Final = 2
_DONE: Final = 3
_SOL_NETLINK: Final = 270
_CAP_ACK: Final = 10
_EXT_ACK: Final = 11
_ACK_TLVS: Final = 0x200
_ACK_MESSAGE: Final = 1
_CLONE_NEWNET: Final = 0x40000000
_BUFFER: Final = 1 << 18


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(attributes))


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by kind; of several of one kind the last."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


class Netlink:
    """One socket in the network namespace that the thread was in when it was made."""

    def __init__(self, protocol: int = ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def request(self, kind: int, flags: int, payload: bytes) -> None:
        """Send and wait for the kernel's answer. Raises OSError with the kernel's own words where it has some."""
        for _ in self._exchange(kind, flags | REQUEST | ACK, payload):
            pass

    def query(self, kind: int, flags: int, payload: bytes) -> list[bytes]:
        """The messages that answer; with DUMP all of them."""
        return list(self._exchange(kind, flags | REQUEST | (0 if flags & DUMP == DUMP else ACK), payload))

    def _exchange(self, kind: int, flags: int, payload: bytes) -> Iterator[bytes]:
        self._sequence += 1
        self._socket.send(_HEADER.pack(_HEADER.size + len(payload), kind, flags, self._sequence, 0) + payload)
        while True:
            data = self._socket.recv(_BUFFER)
            at = 0
            while at + _HEADER.size <= len(data):
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
                body = data[at + _HEADER.size : at + length]
                at += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    _check(body, flags)
                    return
                yield body


def _check(body: bytes, flags: int) -> None:
    (code,) = struct.unpack_from("=i", body)
    if code:
        words = os.strerror(-code)
        if flags & _ACK_TLVS:
            # With CAP_ACK the echoed request is its header only; the explanation follows it.
            explained = attributes(body[4 + _HEADER.size :]).get(_ACK_MESSAGE, b"").rstrip(b"\0").decode()
            words = f"{words} ({explained})" if explained else words
        raise OSError(-code, words)


@contextlib.contextmanager
def entered(path: str) -> Iterator[None]:
    """The calling thread is in the network namespace at `path` for a while; nothing may be awaited meanwhile."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscalls.setns(there, _CLONE_NEWNET)
            try:
                yield
            finally:
                syscalls.setns(home, _CLONE_NEWNET)
        finally:
            os.close(there)
    finally:
        os.close(home)


def inside(path: str, protocol: int = ROUTE) -> Netlink:
    """A socket that speaks to the network namespace at `path`; the calling thread is back home afterwards."""
    with entered(path):
        return Netlink(protocol)
