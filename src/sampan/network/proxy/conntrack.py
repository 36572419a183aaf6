"""The kernel's table of connections: look at flows over IPv4 and delete some (ctnetlink).

Source: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from typing import Final

from sampan.host.netlink import DUMP, NETFILTER, Netlink, attribute, attributes, nested
from sampan.network.proxy.ruleset import Address

_SUBSYSTEM: Final = 1 << 8
_GET: Final = _SUBSYSTEM | 1
_DELETE: Final = _SUBSYSTEM | 2
_HEADER: Final = struct.Struct("=BBH")
_ORIGINAL, _REPLY, _FILTER, _ID, _ZONE = 1, 2, 25, 12, 18
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCE, _DESTINATION = 1, 2
_PROTO, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FILTER_ORIGINAL, _FILTER_REPLY = 1, 2
_FILTER_SOURCE: Final = 1
_FILTER_PROTO: Final = 1 << 3
_HEAD: Final = _HEADER.pack(socket.AF_INET, 0, 0)


def delete_udp(outdated: Callable[[Address, Address], bool]) -> int:
    """Delete the flows for which `outdated(destination, where answers come from)`; returns how many. Raises OSError."""
    deleted = 0
    with Netlink(NETFILTER) as net:
        for body in net.query(_GET, DUMP, _HEAD + _only_udp()):
            found = attributes(body[_HEADER.size :])
            original, reply = attributes(found[_ORIGINAL]), attributes(found[_REPLY])
            if attributes(original[_TUPLE_PROTO]).get(_PROTO) != bytes((socket.IPPROTO_UDP,)):
                continue
            if outdated(_end(original, _DESTINATION), _end(reply, _SOURCE)):
                deleted += _delete(net, found)
    return deleted


def delete_answered_by(address: str) -> int:
    """Delete the flows whose answers come, or would come, from this address; returns how many. Raises OSError."""
    deleted, source = 0, socket.inet_aton(address)
    with Netlink(NETFILTER) as net:
        for body in net.query(_GET, DUMP, _HEAD + _only_answered_by(source)):
            found = attributes(body[_HEADER.size :])
            if attributes(attributes(found[_REPLY])[_TUPLE_IP])[_SOURCE] == source:
                deleted += _delete(net, found)
    return deleted


def _only_answered_by(source: bytes) -> bytes:
    """Older kernels do not know the filter and send all; so below."""
    flags = attribute(_FILTER_REPLY, struct.pack("=I", _FILTER_SOURCE))
    return nested(_REPLY, nested(_TUPLE_IP, attribute(_SOURCE, source))) + nested(_FILTER, flags)


def _only_udp() -> bytes:
    proto = nested(_TUPLE_PROTO, attribute(_PROTO, bytes((socket.IPPROTO_UDP,))))
    flags = attribute(_FILTER_ORIGINAL, struct.pack("=I", _FILTER_PROTO))
    return nested(_ORIGINAL, proto) + nested(_FILTER, flags)


def _end(tuple: dict[int, bytes], side: int) -> Address:
    port = _SOURCE_PORT if side == _SOURCE else _DESTINATION_PORT
    number = int.from_bytes(attributes(tuple[_TUPLE_PROTO])[port], "big")
    return socket.inet_ntoa(attributes(tuple[_TUPLE_IP])[side]), number


def _delete(net: Netlink, found: dict[int, bytes]) -> int:
    """By its ID, so that a new flow between the same ends is left alone."""
    body = _HEAD + nested(_ORIGINAL, found[_ORIGINAL]) + attribute(_ID, found[_ID])
    if _ZONE in found:
        body += attribute(_ZONE, found[_ZONE])
    try:
        net.request(_DELETE, 0, body)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return 0
    return 1
