"""Links, addresses, neighbours and routes of one network namespace (rtnetlink, rtnetlink(7)).

Every function takes the Netlink socket of the namespace it changes. IPv4; addresses are text.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from sampan.host.netlink import CREATE, DUMP, EXCLUSIVE, REPLACE, Netlink, attribute, attributes, nested

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWROUTE, _DELROUTE, _GETROUTE = 24, 25, 26
_NEWNEIGH = 28

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO = 1, 3, 4, 18
_IFLA_AF_SPEC, _IFLA_GROUP, _IFLA_NET_NS_FD = 26, 27, 28
_INFO_KIND, _INFO_DATA = 1, 2
_VETH_PEER: Final = 1
_INET_CONF: Final = 1
_ROUTE_LOCALNET: Final = 26
_ADDRESS_MODE: Final = 8  # IFLA_INET6_ADDR_GEN_MODE
_ADDRESS_NONE: Final = 1  # IN6_ADDR_GEN_MODE_NONE
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 5, 6, 7
_NDA_DST, _NDA_LLADDR = 1, 2
_PERMANENT: Final = 0x80
_UP: Final = 1

_LINK = struct.Struct("=BBHiII")
_ADDRESS = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BBHiHBB")
_MAIN: Final = 254
_STATIC: Final = 4
_SCOPES = {"global": 0, "link": 253, "host": 254}
_NOWHERE: Final = 255
"""The scope that matches any in a deletion."""
_KINDS = {"unicast": 1, "blackhole": 6, "unreachable": 7}

Kind = Literal["unicast", "blackhole", "unreachable"]
Scope = Literal["global", "link", "host"]


@dataclass(frozen=True, slots=True)
class Link:
    index: int
    name: str
    mtu: int
    group: int


class Route(NamedTuple):
    """`gateway` and `link` (an index) are empty when the route has none; those that lead nowhere have neither."""

    destination: str
    link: int
    gateway: str
    metric: int


def _u32(value: int) -> bytes:
    return struct.pack("=I", value)


def _name(name: str) -> bytes:
    return attribute(_IFLA_IFNAME, name.encode() + b"\0")


def _mac(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))


def links(netlink: Netlink) -> list[Link]:
    return [_as_link(body) for body in netlink.query(_GETLINK, DUMP, _LINK.pack(0, 0, 0, 0, 0, 0))]


def link(netlink: Netlink, name: str) -> Link | None:
    try:
        (body,) = netlink.query(_GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0, 0) + _name(name))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return _as_link(body)


def _as_link(body: bytes) -> Link:
    index = _LINK.unpack_from(body)[3]
    found = attributes(body[_LINK.size :])
    mtu, group = (struct.unpack("=I", found.get(kind, bytes(4)))[0] for kind in (_IFLA_MTU, _IFLA_GROUP))
    return Link(index, found[_IFLA_IFNAME].rstrip(b"\0").decode(), mtu, group)


def create_bridge(netlink: Netlink, name: str, mac: str, mtu: int) -> None:
    """Create it, up; raises FileExistsError."""
    kind = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"bridge"))
    body = _LINK.pack(0, 0, 0, 0, _UP, _UP) + _name(name) + attribute(_IFLA_ADDRESS, _mac(mac))
    netlink.request(_NEWLINK, CREATE | EXCLUSIVE, body + attribute(_IFLA_MTU, _u32(mtu)) + kind)


def create_veth(
    netlink: Netlink, name: str, mac: str, mtu: int, group: int, *, peer: str, peer_mac: str, peer_namespace: int
) -> None:
    """A pair, still down: `name` here in a group of links, `peer` in the namespace behind the descriptor."""
    other = (
        _LINK.pack(0, 0, 0, 0, 0, 0)
        + _name(peer)
        + attribute(_IFLA_MTU, _u32(mtu))
        + attribute(_IFLA_ADDRESS, _mac(peer_mac))
        + attribute(_IFLA_NET_NS_FD, _u32(peer_namespace))
    )
    info = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"veth"), nested(_INFO_DATA, nested(_VETH_PEER, other)))
    body = _LINK.pack(0, 0, 0, 0, 0, 0) + _name(name) + attribute(_IFLA_MTU, _u32(mtu))
    body += attribute(_IFLA_ADDRESS, _mac(mac)) + attribute(_IFLA_GROUP, _u32(group))
    netlink.request(_NEWLINK, CREATE | EXCLUSIVE, body + info)


def set_up(netlink: Netlink, name: str) -> None:
    netlink.request(_NEWLINK, 0, _LINK.pack(0, 0, 0, 0, _UP, _UP) + _name(name))


def route_localnet(netlink: Netlink, index: int) -> None:
    """Let connections of 127.0.0.0/8 that were translated leave and answers to them come in (ip-sysctl)."""
    conf = nested(_INET_CONF, attribute(_ROUTE_LOCALNET, _u32(1)))
    _specify(netlink, index, socket.AF_INET, conf)


def no_link_local(netlink: Netlink, index: int) -> None:
    """Give a link that is still down no IPv6 address of its own; without IPv6 there is nothing to do."""
    try:
        _specify(netlink, index, socket.AF_INET6, attribute(_ADDRESS_MODE, bytes((_ADDRESS_NONE,))))
    except OSError as error:
        if error.errno != errno.EAFNOSUPPORT:
            raise


def _specify(netlink: Netlink, index: int, family: int, conf: bytes) -> None:
    netlink.request(_NEWLINK, 0, _LINK.pack(0, 0, 0, index, 0, 0) + nested(_IFLA_AF_SPEC, nested(family, conf)))


def delete_link(netlink: Netlink, name: str) -> None:
    """Idempotent."""
    try:
        netlink.request(_DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0, 0) + _name(name))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def set_group(netlink: Netlink, index: int, group: int) -> None:
    """A link that is gone in the meantime is in no group."""
    try:
        netlink.request(_NEWLINK, 0, _LINK.pack(0, 0, 0, index, 0, 0) + attribute(_IFLA_GROUP, _u32(group)))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def delete_group(netlink: Netlink, group: int) -> None:
    """Delete all links of a group, which takes hardly longer than one. Idempotent."""
    try:
        netlink.request(_DELLINK, 0, _LINK.pack(0, 0, 0, 0, 0, 0) + attribute(_IFLA_GROUP, _u32(group)))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def add_address(netlink: Netlink, index: int, address: str, length: int, scope: Scope = "global") -> None:
    """Idempotent."""
    packed = socket.inet_aton(address)
    body = _ADDRESS.pack(socket.AF_INET, length, 0, _SCOPES[scope], index)
    body += attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)
    with contextlib.suppress(FileExistsError):
        netlink.request(_NEWADDR, CREATE | EXCLUSIVE, body)


def delete_address(netlink: Netlink, index: int, address: str, length: int) -> None:
    """Idempotent."""
    body = _ADDRESS.pack(socket.AF_INET, length, 0, 0, index) + attribute(_IFA_LOCAL, socket.inet_aton(address))
    try:
        netlink.request(_DELADDR, 0, body)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise


def addresses(netlink: Netlink, index: int) -> set[str]:
    """IPv4 addresses of a link."""
    found = set()
    for body in netlink.query(_GETADDR, DUMP, _ADDRESS.pack(socket.AF_INET, 0, 0, 0, 0)):
        *_, link = _ADDRESS.unpack_from(body)
        local = attributes(body[_ADDRESS.size :]).get(_IFA_LOCAL)
        if link == index and local is not None:
            found.add(socket.inet_ntoa(local))
    return found


def add_neighbour(netlink: Netlink, index: int, address: str, mac: str) -> None:
    """A permanent entry: nobody has to ask who has the address."""
    body = _NEIGHBOUR.pack(socket.AF_INET, 0, 0, index, _PERMANENT, 0, 0)
    body += attribute(_NDA_DST, socket.inet_aton(address)) + attribute(_NDA_LLADDR, _mac(mac))
    netlink.request(_NEWNEIGH, CREATE | REPLACE, body)


def add_route(
    netlink: Netlink,
    destination: str,
    *,
    index: int = 0,
    gateway: str = "",
    source: str = "",
    metric: int = 0,
    kind: Kind = "unicast",
) -> None:
    """`destination` as 10.0.0.0/8. Idempotent; replaces the route of the same metric."""
    address, _, length = destination.partition("/")
    scope = _SCOPES["link" if index and not gateway else "global"]
    body = _ROUTE.pack(socket.AF_INET, int(length), 0, 0, _MAIN, _STATIC, scope, _KINDS[kind], 0)
    body += attribute(_RTA_DST, socket.inet_aton(address)) if int(length) else b""
    body += attribute(_RTA_OIF, _u32(index)) if index else b""
    body += attribute(_RTA_GATEWAY, socket.inet_aton(gateway)) if gateway else b""
    body += attribute(_RTA_PREFSRC, socket.inet_aton(source)) if source else b""
    body += attribute(_RTA_PRIORITY, _u32(metric)) if metric else b""
    netlink.request(_NEWROUTE, CREATE | REPLACE, body)


def delete_route(netlink: Netlink, destination: str, *, metric: int = 0, kind: Kind = "unicast") -> None:
    """Idempotent."""
    address, _, length = destination.partition("/")
    scope = _NOWHERE if kind == "unicast" else _SCOPES["global"]
    body = _ROUTE.pack(socket.AF_INET, int(length), 0, 0, _MAIN, 0, scope, _KINDS[kind], 0)
    body += attribute(_RTA_DST, socket.inet_aton(address))
    body += attribute(_RTA_PRIORITY, _u32(metric)) if metric else b""
    try:
        netlink.request(_DELROUTE, 0, body)
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


def routes(netlink: Netlink) -> list[Route]:
    """The main table."""
    found: list[Route] = []
    for body in netlink.query(_GETROUTE, DUMP, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
        _, length, _, _, table, *_ = _ROUTE.unpack_from(body)
        if table != _MAIN:
            continue
        values = attributes(body[_ROUTE.size :])
        address = socket.inet_ntoa(values.get(_RTA_DST, bytes(4)))
        index = struct.unpack("=I", values.get(_RTA_OIF, bytes(4)))[0]
        gateway = socket.inet_ntoa(values[_RTA_GATEWAY]) if _RTA_GATEWAY in values else ""
        metric = struct.unpack("=I", values.get(_RTA_PRIORITY, bytes(4)))[0]
        found.append(Route(f"{address}/{length}", index, gateway, metric))
    return found
