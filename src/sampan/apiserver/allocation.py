"""Addresses and node ports of services: chosen when a service is written, never given twice.

What is taken is read from the watch cache; between the choice and the write a reservation holds it. The first
part of each range is left to those who choose for themselves, as upstream's allocators do.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from contextlib import contextmanager

from sampan.api.errors import FieldError, internal, invalid, invalid_error
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import core_v1
from sampan.apiserver.contracts import View

HEADLESS = "None"


class ServiceAllocator:
    """`cidr` is the service range, `ports` the first and last node port."""

    def __init__(self, view: View, cidr: str, ports: tuple[int, int] = (30000, 32767)) -> None:
        self._view = view
        self._range = ipaddress.ip_network(cidr)
        self._ports = ports
        self._reserved_ips: set[str] = set()
        self._reserved_ports: set[tuple[str, int]] = set()
        self._random = random.Random()

    @contextmanager
    def reserve(self, kind: Kind, document: Document, old: Document | None) -> Iterator[None]:
        """Fill in what the service needs and hold it while the caller writes. Raises Invalid for what is taken."""
        if kind.resource != "services" or not isinstance(document.get("spec"), dict):
            yield
            return
        ips: set[str] = set()
        ports: set[tuple[str, int]] = set()
        try:
            self._allocate(document, old or {}, ips, ports)
            yield
        finally:
            self._reserved_ips -= ips
            self._reserved_ports -= ports

    def _allocate(self, document: Document, old: Document, ips: set[str], ports: set[tuple[str, int]]) -> None:
        spec, before = document["spec"], old.get("spec") or {}
        errors: list[FieldError] = []
        if spec.get("type") == "ExternalName":
            return
        taken_ips, taken_ports = self._taken(document["metadata"])
        self._address(spec, before, taken_ips, ips, errors)
        if spec.get("type") in ("NodePort", "LoadBalancer") and not (
            spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False
        ):
            self._node_ports(spec, taken_ports, ports, errors)
        if spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
            if not spec.get("healthCheckNodePort"):
                spec["healthCheckNodePort"] = self._free_port(taken_ports, ("TCP",), ports)
        if errors:
            raise invalid_error("Service", "", str(document["metadata"].get("name") or ""), errors)

    def _taken(self, meta: Document) -> tuple[set[str], set[tuple[str, int]]]:
        ips, ports = set(self._reserved_ips), set(self._reserved_ports)
        own = (meta.get("namespace"), meta.get("name"))
        for service in self._view.list(core_v1.Service):
            if (service.metadata.namespace, service.metadata.name) == own:
                continue
            ips.update(ip for ip in service.spec.clusterIPs if ip != HEADLESS)
            ports.update((port.protocol or "TCP", port.nodePort) for port in service.spec.ports if port.nodePort)
            if service.spec.healthCheckNodePort:
                ports.add(("TCP", service.spec.healthCheckNodePort))
        return ips, ports

    def _address(
        self, spec: Document, before: Document, taken: set[str], held: set[str], errors: list[FieldError]
    ) -> None:
        given = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or ()), "")
        if not given:
            given = self._free_address(taken)
            self._reserved_ips.add(given)
            held.add(given)
        elif given not in (HEADLESS, before.get("clusterIP")):
            if problem := self._unusable(given, taken):
                errors.append(invalid("spec.clusterIPs", [given], f"failed to allocate IP {given}: {problem}"))
                return
            self._reserved_ips.add(given)
            held.add(given)
        spec["clusterIP"] = given
        if not spec.get("clusterIPs"):
            spec["clusterIPs"] = [given]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _unusable(self, given: str, taken: set[str]) -> str:
        try:
            address = ipaddress.ip_address(given)
        except ValueError:
            return ""  # validation says what is wrong with it
        if address not in self._range or address in (self._range[0], self._range[-1]):
            return f"the provided IP ({given}) is not in the valid range. The range of valid IPs is {self._range}"
        return "provided IP is already allocated" if given in taken else ""

    def _free_address(self, taken: set[str]) -> str:
        size = self._range.num_addresses
        static = min(max(16, size // 16), 256)
        for low, high in ((static + 1, size - 2), (1, static)):
            for _ in range(64):
                candidate = str(self._range[self._random.randint(low, max(low, high))])
                if candidate not in taken:
                    return candidate
            for at in range(low, high + 1):
                candidate = str(self._range[at])
                if candidate not in taken:
                    return candidate
        raise internal(f"failed to allocate a serviceIP: range {self._range} is full")

    def _node_ports(
        self, spec: Document, taken: set[tuple[str, int]], held: set[tuple[str, int]], errors: list[FieldError]
    ) -> None:
        own: set[tuple[str, int]] = set()
        low, high = self._ports
        for at, port in enumerate(spec.get("ports") or ()):
            protocol, number = port.get("protocol") or "TCP", port.get("nodePort")
            if not number:
                continue
            path = f"spec.ports[{at}].nodePort"
            if not low <= number <= high:
                text = f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
                errors.append(invalid(path, number, text))
            elif (protocol, number) in taken:
                errors.append(invalid(path, number, "provided port is already allocated"))
            else:
                own.add((protocol, number))
                self._hold(protocol, number, held)
        same: dict[int, int] = {}
        for port in spec.get("ports") or ():
            protocol = port.get("protocol") or "TCP"
            if not port.get("nodePort"):
                number = same.get(port.get("port"), 0)
                if not number or (protocol, number) in own or (protocol, number) in taken:
                    number = self._free_port(taken | own, (protocol,), held)
                else:
                    self._hold(protocol, number, held)
                port["nodePort"] = number
            own.add((protocol, port["nodePort"]))
            same.setdefault(port.get("port"), port["nodePort"])

    def _hold(self, protocol: str, number: int, held: set[tuple[str, int]]) -> None:
        self._reserved_ports.add((protocol, number))
        held.add((protocol, number))

    def _free_port(self, taken: set[tuple[str, int]], protocols: tuple[str, ...], held: set[tuple[str, int]]) -> int:
        low, high = self._ports
        static = min(max(16, (high - low + 1) // 32), 128)
        dynamic = range(low + static, high + 1)
        numbers: list[int] = [*self._random.sample(dynamic, len(dynamic)), *range(low, low + static)]
        for number in numbers:
            if all((protocol, number) not in taken for protocol in protocols):
                for protocol in protocols:
                    self._hold(protocol, number, held)
                return number
        raise internal("failed to allocate a nodePort: range is full")
