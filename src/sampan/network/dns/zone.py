"""The cluster's own names: services, endpoints, pods and their reverse (Kubernetes DNS specification 1.1.0). Pure.

    SERVICE.NAMESPACE.svc.DOMAIN                 A of the ClusterIP, of all ready endpoints (headless), or CNAME
    HOSTNAME.SERVICE.NAMESPACE.svc.DOMAIN        A of one endpoint; without a hostname it is called a-b-c-d
    _PORT._PROTOCOL.SERVICE.NAMESPACE.svc.DOMAIN SRV
    a-b-c-d.NAMESPACE.pod.DOMAIN                 A of a pod
    d.c.b.a.in-addr.arpa                         PTR of a ClusterIP or of an endpoint of a headless service
    dns-version.DOMAIN                           TXT

Answers are looked up in the informers' caches when somebody asks: there is nothing to keep fresh.
"""

from __future__ import annotations

import ipaddress
import random
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sampan.api.types import core_v1, discovery_v1
from sampan.client.cache import NAMESPACE, Cache
from sampan.network import indexes
from sampan.network.dns import wire
from sampan.network.dns.wire import Record

TTL = 5
VERSION = b"1.1.0"
BY_IP = "cluster-ip"
_LONGEST_NAME = 255


def cluster_ips(service: Any) -> Iterable[str]:
    """Index function of services."""
    return service.spec.clusterIPs or ((service.spec.clusterIP,) if service.spec.clusterIP else ())


class Answer(NamedTuple):
    """`soa` is set when there is nothing to say but that; `alias` is where a CNAME at the end leads."""

    rcode: int
    records: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    soa: Record | None = None
    alias: bytes = b""


class Target(NamedTuple):
    """One ready endpoint: its label and its address."""

    label: bytes
    address: str


class Zone:
    def __init__(
        self,
        services: Cache[core_v1.Service],
        slices: Cache[discovery_v1.EndpointSlice],
        *,
        domain: str,
        service_cidr: str,
        pod_cidr: str,
        dns_ip: str,
    ) -> None:
        self._services = services
        self._slices = slices
        self._domain = wire.name(domain)
        self._depth = len(wire.labels(self._domain))
        self._ranges = [ipaddress.IPv4Network(cidr) for cidr in (service_cidr, pod_cidr)]
        self._pods = self._ranges[1]
        self._dns_ip = dns_ip
        self._origin = [label.lower() for label in wire.labels(self._domain)]

    def answer(self, name: bytes, type: int) -> Answer | None:
        """None for names of the world. `name` in lower case."""
        labels = wire.labels(name)
        if labels[-self._depth :] == self._origin:
            found = self._find(labels[: -self._depth], name, type)
            return self._chosen(found, type, self._domain)
        if labels[-2:] == [b"in-addr", b"arpa"]:
            return self._reverse(labels[:-2], name, type)
        return None

    def _chosen(self, found: _Found | None, type: int, origin: bytes) -> Answer:
        if found is None:
            return Answer(wire.NXDOMAIN, soa=soa(origin))
        chosen = [record for record in found.records if type in (record.type, wire.ANY)]
        if not chosen:
            chosen = [record for record in found.records if record.type == wire.CNAME]
            if chosen and type != wire.CNAME:
                return Answer(wire.NOERROR, chosen, alias=chosen[0].data)
        if not chosen:
            return Answer(wire.NOERROR, soa=soa(origin))
        if len(chosen) > 1:
            random.shuffle(chosen)
        return Answer(wire.NOERROR, chosen, found.additional)

    # --- forward ---

    def _find(self, labels: list[bytes], name: bytes, type: int) -> _Found | None:
        """What is at a name below the domain; None: there is no such name."""
        if not labels:
            return _Found([soa(self._domain), Record(name, wire.NS, self._server(), TTL)])
        kind, rest = labels[-1], labels[:-1]
        if kind == b"svc":
            return self._of_services(rest, name, type)
        if kind == b"pod":
            return self._pod(rest, name)
        if labels == [b"dns-version"]:
            return _Found([Record(name, wire.TXT, bytes((len(VERSION),)) + VERSION, TTL)])
        if labels == [b"dns"]:
            return _Found([])
        if labels == [b"ns", b"dns"]:
            return _Found([_address(name, self._dns_ip)])
        return None

    def _server(self) -> bytes:
        return b"\x02ns\x03dns" + self._domain

    def _of_services(self, labels: list[bytes], name: bytes, type: int) -> _Found | None:
        if not labels:
            return _Found([])
        namespace = _text(labels[-1])
        if len(labels) == 1:
            return _Found([]) if self._services.by(NAMESPACE, namespace) else None
        service = self._services.get(_text(labels[-2]), namespace)
        if service is None:
            return None
        base = wire.join((labels[-2], labels[-1], b"svc")).removesuffix(b"\0") + self._domain
        if len(labels) == 2:
            return self._service(service, name, base, type)
        if service.spec.type == "ExternalName":
            return None
        if labels[0].startswith(b"_") and len(labels) <= 4:
            return self._ports(service, name, base, labels[:-2])
        if len(labels) == 3:
            return self._endpoint(service, labels[0], name)
        return None

    def _service(self, service: core_v1.Service, name: bytes, base: bytes, type: int) -> _Found:
        if service.spec.type == "ExternalName":
            try:
                target = wire.name(service.spec.externalName or "")
            except ValueError:
                return _Found([])
            return _Found([Record(name, wire.CNAME, target, TTL)])
        if headless(service):
            records = [_address(name, target.address) for target in self._targets(service)]
        else:
            records = [_address(name, address) for address in cluster_ips(service)]
        if type in (wire.SRV, wire.ANY):
            found = self._srv(service, name, base, None, None)
            return _Found([*records, *found.records], found.additional)
        return _Found(records)

    def _endpoint(self, service: core_v1.Service, label: bytes, name: bytes) -> _Found | None:
        records = [
            _address(name, target.address)
            for target in self._targets(service)
            if label in (target.label, _dashed(target.address))
        ]
        return _Found(records) if records else None

    def _ports(self, service: core_v1.Service, name: bytes, base: bytes, labels: list[bytes]) -> _Found | None:
        """`_http._tcp` has records; `_tcp` alone is on the way to some."""
        protocol = _text(labels[-1][1:])
        if len(labels) == 1:
            return _Found([]) if self._srv(service, name, base, None, protocol).records else None
        found = self._srv(service, name, base, _text(labels[0][1:]), protocol)
        return found if found.records else None

    def _srv(
        self, service: core_v1.Service, name: bytes, base: bytes, port: str | None, protocol: str | None
    ) -> _Found:
        """Of all ports, those of one protocol, or one by its name."""
        pairs: set[tuple[int, bytes, str]] = set()
        if headless(service):
            for slice in self._of(service):
                for each in slice.ports:
                    if each.port and _matches(each, port, protocol):
                        for target in _targets((slice,)):
                            host = bytes((len(target.label),)) + target.label + base
                            if len(host) <= _LONGEST_NAME:
                                pairs.add((each.port, host, target.address))
        else:
            for own in service.spec.ports:
                if _matches(own, port, protocol):
                    pairs.update((own.port, base, address) for address in cluster_ips(service))
        ends = sorted({(number, host) for number, host, _ in pairs})
        weight = max(1, 100 // len(ends)) if ends else 0
        records = [Record(name, wire.SRV, struct.pack("!HHH", 0, weight, n) + host, TTL) for n, host in ends]
        return _Found(records, [_address(host, ip) for host, ip in sorted({(host, ip) for _, host, ip in pairs})])

    def _pod(self, labels: list[bytes], name: bytes) -> _Found | None:
        """An address of the pods' range or of some endpoint; whether a pod has it just now is not looked up."""
        if not labels or (len(labels) == 1 and self._services.by(NAMESPACE, _text(labels[0]))):
            return _Found([])
        if len(labels) != 2:
            return None
        prefix = _prefix(labels[0].split(b"-")[::-1])
        if prefix is None or prefix.prefixlen < 32:
            return None
        address = prefix.network_address
        if address in self._pods or self._slices.by(indexes.BY_ADDRESS, str(address)):
            return _Found([_address(name, str(address))])
        return None

    def _of(self, service: core_v1.Service) -> Sequence[discovery_v1.EndpointSlice]:
        key = f"{service.metadata.namespace}/{service.metadata.name}"
        return sorted(self._slices.by(indexes.BY_SERVICE, key), key=lambda slice: slice.metadata.name or "")

    def _targets(self, service: core_v1.Service) -> list[Target]:
        return list(_targets(self._of(service)))

    # --- reverse ---

    def _reverse(self, labels: list[bytes], name: bytes, type: int) -> Answer | None:
        prefix = _prefix(labels)
        if prefix is None:
            return None
        range = next((each for each in self._ranges if prefix.subnet_of(each)), None)
        records = list(self._pointers(str(prefix.network_address), name)) if prefix.prefixlen == 32 else []
        if range is None and not records:
            return None
        octets = range.prefixlen // 8 if range else 4
        origin = wire.join([*labels[len(labels) - octets :], b"in-addr", b"arpa"])
        found = _Found(records) if records or prefix.prefixlen < 32 else None
        return self._chosen(found, type, origin)

    def _pointers(self, address: str, name: bytes) -> Iterator[Record]:
        for service in self._services.by(BY_IP, address):
            yield Record(name, wire.PTR, self._name_of(service), TTL)
        seen = set()
        for slice in self._slices.by(indexes.BY_ADDRESS, address):
            owner = slice.metadata.labels.get(indexes.SERVICE_NAME, "")
            found = self._services.get(owner, slice.metadata.namespace or "")
            if found is None or not headless(found):
                continue
            for target in _targets((slice,)):
                host = bytes((len(target.label),)) + target.label + self._name_of(found)
                if target.address == address and host not in seen and len(host) <= _LONGEST_NAME:
                    seen.add(host)
                    yield Record(name, wire.PTR, host, TTL)

    def _name_of(self, service: core_v1.Service) -> bytes:
        path = ((service.metadata.name or "").encode(), (service.metadata.namespace or "").encode(), b"svc")
        return wire.join(path).removesuffix(b"\0") + self._domain


class _Found(NamedTuple):
    """What is at a name; nothing, where only longer names have something."""

    records: list[Record]
    additional: Sequence[Record] = ()


def soa(origin: bytes) -> Record:
    """The start of authority that says for how long a "no" may be believed (RFC 2308)."""
    server, person = b"\x02ns\x03dns" + origin, b"\x0ahostmaster" + origin
    return Record(origin, wire.SOA, server + person + struct.pack("!IIIII", 1, 7200, 1800, 86400, TTL), TTL)


def headless(service: core_v1.Service) -> bool:
    return service.spec.clusterIP == "None"


def _targets(slices: Iterable[discovery_v1.EndpointSlice]) -> Iterator[Target]:
    """Ready endpoints, each once."""
    seen = set()
    for slice in slices:
        if slice.addressType == "FQDN":
            continue
        for endpoint in slice.endpoints:
            if endpoint.conditions is not None and endpoint.conditions.ready is False:
                continue
            for address in endpoint.addresses:
                target = Target((endpoint.hostname or "").encode() or _dashed(address), address)
                if target not in seen:
                    seen.add(target)
                    yield target


def _matches(port: core_v1.ServicePort | discovery_v1.EndpointPort, name: str | None, protocol: str | None) -> bool:
    """Whether it is the port asked for: None asks for any, and only named ports have names of their own."""
    if protocol is not None and ((port.protocol or "TCP").lower() != protocol or not port.name):
        return False
    return name is None or port.name == name


def _prefix(labels: list[bytes]) -> ipaddress.IPv4Network | None:
    """`4 3 2 1` as 1.2.3.4/32, `2 1` as 1.2.0.0/16; None for what is no such thing."""
    octets = [int(label) for label in labels[::-1] if label.isdigit() and len(label) <= 3]
    if not 1 <= len(labels) <= 4 or len(octets) < len(labels) or max(octets) > 255:
        return None
    if [str(octet).encode() for octet in octets] != labels[::-1]:
        return None
    return ipaddress.IPv4Network((bytes(octets).ljust(4, b"\0"), 8 * len(octets)))


def _address(name: bytes, address: str) -> Record:
    if ":" in address:
        return Record(name, wire.AAAA, socket.inet_pton(socket.AF_INET6, address), TTL)
    return Record(name, wire.A, socket.inet_aton(address), TTL)


def _dashed(address: str) -> bytes:
    return address.replace(".", "-").replace(":", "-").encode()


def _text(label: bytes) -> str:
    return label.decode("latin-1")
