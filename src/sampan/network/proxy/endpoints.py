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
                for address in endpoint.addresses[:1]:
                    made = _endpoint(endpoint, address, port.port, node)
                    known = found.get((address, port.port))
                    if known is None or (made.ready, made.serving) > (known.ready, known.serving):
                        found[address, port.port] = made
    return [found[key] for key in sorted(found, key=lambda key: (tuple(map(int, key[0].split("."))), key[1]))]


def _endpoint(endpoint: discovery_v1.Endpoint, address: str, port: int, node: str) -> Endpoint:
    conditions = endpoint.conditions or discovery_v1.EndpointConditions()
    ready = conditions.ready is not False
    serving = conditions.serving if conditions.serving is not None else ready
    return Endpoint(address, port, ready, serving, bool(conditions.terminating), endpoint.nodeName == node)


def usable(endpoints: list[Endpoint], *, local: bool) -> list[Endpoint]:
    """The ready ones; when there are none, those that still serve while they terminate. `local`: this node's only."""
    here = [endpoint for endpoint in endpoints if endpoint.local] if local else endpoints
    ready = [endpoint for endpoint in here if endpoint.ready]
    return ready or [endpoint for endpoint in here if endpoint.serving and endpoint.terminating]
