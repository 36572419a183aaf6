"""Which endpoints a connection may go to: readiness, termination and traffic policy. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sampan.api.types import discovery_v1


class Endpoint(NamedTuple):
    address: str
    port: int
    ready: bool
    serving: bool
    terminating: bool
    local: bool
    nodes: frozenset[str] = frozenset()
    """For whom the slice wants it: names of nodes, and of zones."""
    zones: frozenset[str] = frozenset()

    @property
    def target(self) -> str:
        return f"{self.address} . {self.port}"


def of_port(slices: Iterable[discovery_v1.EndpointSlice], name: str, protocol: str, node: str) -> list[Endpoint]:
    """Endpoints behind one port of a service, each address once, in order. Source: EndpointSlice API conventions."""
    found: dict[tuple[str, int], Endpoint] = {}
    for slice in slices:
        if slice.addressType != "IPv4":
            continue
        for port in slice.ports:
            if (port.name or "") != name or (port.protocol or "TCP") != protocol or not port.port:
                continue
            for endpoint in slice.endpoints:
                for address in endpoint.addresses[:1]:  # the API says that all are alike and to use the first
                    made = _endpoint(endpoint, address, port.port, node)
                    known = found.get((address, port.port))
                    if known is None or (made.ready, made.serving) > (known.ready, known.serving):
                        found[address, port.port] = made
    return [found[key] for key in sorted(found, key=lambda key: (tuple(map(int, key[0].split("."))), key[1]))]


def _endpoint(endpoint: discovery_v1.Endpoint, address: str, port: int, node: str) -> Endpoint:
    conditions = endpoint.conditions or discovery_v1.EndpointConditions()
    ready = conditions.ready is not False
    serving = conditions.serving if conditions.serving is not None else ready
    nodes = frozenset(hint.name for hint in endpoint.hints.forNodes) if endpoint.hints else frozenset()
    zones = frozenset(hint.name for hint in endpoint.hints.forZones) if endpoint.hints else frozenset()
    local = endpoint.nodeName == node
    return Endpoint(address, port, ready, serving, bool(conditions.terminating), local, nodes, zones)


def ready_here(slices: Iterable[discovery_v1.EndpointSlice], node: str) -> int:
    """How many ready endpoints a node has, whatever their ports."""
    return len(
        {
            address
            for slice in slices
            if slice.addressType == "IPv4"
            for endpoint in slice.endpoints
            for address in endpoint.addresses[:1]
            if (made := _endpoint(endpoint, address, 0, node)).ready and made.local
        }
    )


def usable(endpoints: list[Endpoint]) -> list[Endpoint]:
    """The ready ones; when there are none, those that still serve while they terminate."""
    ready = [endpoint for endpoint in endpoints if endpoint.ready]
    return ready or [endpoint for endpoint in endpoints if endpoint.serving and endpoint.terminating]


def near(endpoints: list[Endpoint], node: str, zone: str) -> list[Endpoint]:
    """Those whose hints name this node, else this zone; all of them when hints are missing or leave nobody.

    Source: service.spec.trafficDistribution, EndpointSlice hints.
    """
    if all(endpoint.nodes for endpoint in endpoints):
        chosen = [endpoint for endpoint in endpoints if node in endpoint.nodes]
        if chosen:
            return chosen
    if all(endpoint.zones for endpoint in endpoints):
        return [endpoint for endpoint in endpoints if zone in endpoint.zones] or endpoints
    return endpoints
