"""Services and EndpointSlices to a ruleset. Pure: no kernel, no clock, no order that is not in the input.

For each port of a service:

    svc-X   choose among all usable endpoints
    loc-X   choose among those of this node (traffic policy Local)
    ext-X   from outside: who may enter, who is masqueraded, and then one of the two above
    ep-X    one endpoint of a service with session affinity: remember the client, translate

Frontends lead there through verdict maps, so the number of services costs a packet nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sampan.api.types import core_v1, discovery_v1
from sampan.network import names
from sampan.network.proxy import endpoints as backends
from sampan.network.proxy.endpoints import Endpoint
from sampan.network.proxy.ruleset import Health, Ruleset, merge

MASQUERADE = 0x4000
"""The bit of the packet mark that asks for masquerading."""

AFFINITY_SECONDS = 10800

NOBODY = "0.0.0.0/32"

PROXY_NAME = "service.kubernetes.io/service-proxy-name"
"""A service with this label is another proxy's business."""


@dataclass(frozen=True, slots=True)
class View:
    """From where we look: the node, its pods' range, addresses that the node answers itself (its DNS), its zone."""

    node: str
    pod_cidr: str
    own_addresses: frozenset[str] = frozenset()
    zone: str = ""


def compute(services: Iterable[core_v1.Service], slices: Iterable[discovery_v1.EndpointSlice], view: View) -> Ruleset:
    """Everything at once, in order of namespace and name."""
    of_service: dict[tuple[str, str], list[discovery_v1.EndpointSlice]] = {}
    for slice in slices:
        of_service.setdefault(service_of(slice), []).append(slice)
    ordered = sorted(services, key=key_of)
    return merge(compute_service(service, of_service.get(key_of(service), ()), view) for service in ordered)


def key_of(service: core_v1.Service) -> tuple[str, str]:
    return service.metadata.namespace or "", service.metadata.name or ""


def service_of(slice: discovery_v1.EndpointSlice) -> tuple[str, str]:
    labels = slice.metadata.labels or {}
    return slice.metadata.namespace or "", labels.get("kubernetes.io/service-name", "")


def compute_service(service: core_v1.Service, slices: Collection[discovery_v1.EndpointSlice], view: View) -> Ruleset:
    ruleset, spec = Ruleset(), service.spec
    if spec.type == "ExternalName" or spec.clusterIP in (None, "", "None"):
        return ruleset
    if PROXY_NAME in service.metadata.labels:
        return ruleset
    ordered = sorted(slices, key=lambda slice: slice.metadata.name or "")
    for port in spec.ports:
        found = backends.of_port(ordered, port.name or "", port.protocol or "TCP", view.node)
        _Port(service, port, found, view, ruleset).write()
    if spec.type == "LoadBalancer" and spec.externalTrafficPolicy == "Local" and spec.healthCheckNodePort:
        ruleset.health[spec.healthCheckNodePort] = Health(*key_of(service), backends.ready_here(ordered, view.node))
    return ruleset


class _Port:
    """One port of one service, written into `ruleset`. A chain is written when the first frontend leads to it."""

    def __init__(
        self,
        service: core_v1.Service,
        port: core_v1.ServicePort,
        found: list[Endpoint],
        view: View,
        ruleset: Ruleset,
    ) -> None:
        self.service = service
        self.spec = service.spec
        self.port = port
        self.protocol = (port.protocol or "TCP").lower()
        self.view = view
        self.ruleset = ruleset
        self.name = names.digest(*key_of(service), port.name or "", self.protocol, str(port.port))
        self.all = backends.near(backends.usable(found), view.node, view.zone)
        self.here = backends.usable([each for each in found if each.local])
        ruleset.hairpins.update(f"{each.address} . {each.address}" for each in (*self.all, *self.here) if each.local)

    def write(self) -> None:
        for address in self.spec.clusterIPs or (self.spec.clusterIP or "",):
            if _is_ipv4(address) and address not in self.view.own_addresses:
                self.internal(address)
        for address, ranges in self.outside().items():
            self.external("services", f"{address} . {self.protocol} . {self.port.port}", ranges)
            self.flow(address, self.port.port, self.spec.externalTrafficPolicy)
        number = self.port.nodePort or 0
        if number and self.spec.type in ("NodePort", "LoadBalancer"):
            self.external("node-ports", f"{self.protocol} . {number}", ())
            self.flow("", number, self.spec.externalTrafficPolicy)

    def outside(self) -> dict[str, tuple[str, ...]]:
        """External addresses, each with the source ranges that may enter (none: all)."""
        found: dict[str, tuple[str, ...]] = {}
        balancer = self.service.status.loadBalancer
        if self.spec.type == "LoadBalancer" and balancer is not None:
            ranges = _ranges(self.spec.loadBalancerSourceRanges)
            for ingress in balancer.ingress:
                if ingress.ip and _is_ipv4(ingress.ip) and ingress.ipMode != "Proxy":
                    found[ingress.ip] = ranges
        for address in self.spec.externalIPs:
            if _is_ipv4(address):
                found.setdefault(address, ())
        return found

    def internal(self, address: str) -> None:
        """The ClusterIP."""
        key = f"{address} . {self.protocol} . {self.port.port}"
        local = self.spec.internalTrafficPolicy == "Local"
        if not self.all:
            self.ruleset.maps["dead-services"][key] = "goto refuse"
        elif local and not self.here:
            self.ruleset.maps["services"][key] = "drop"
        else:
            self.ruleset.maps["services"][key] = f"goto {self.choice(local=local)}"
        self.flow(address, self.port.port, self.spec.internalTrafficPolicy)

    def external(self, into: str, key: str, ranges: tuple[str, ...]) -> None:
        """An address or port that the world sees; `into` is the map of its frontends."""
        if not self.all:
            self.ruleset.maps[f"dead-{into}"][key] = "goto refuse"
            return
        name = f"ext-{self.name}" if not ranges else f"ext-{names.digest(self.name, *ranges)}"
        rules = [f"ip saddr != {{ {', '.join(ranges)} }} drop"] if ranges else []
        masquerade = f"meta mark set meta mark | {MASQUERADE:#x}"
        if self.spec.externalTrafficPolicy == "Local":
            # Traffic that comes from the cluster itself is not external, whatever address it uses.
            rules.append(f"ip saddr {self.view.pod_cidr} goto {self.choice(local=False)}")
            rules.append(f"fib saddr type local {masquerade} goto {self.choice(local=False)}")
            rules.append(f"goto {self.choice(local=True)}" if self.here else "drop")
        else:
            rules.append(f"{masquerade} goto {self.choice(local=False)}")
        self.ruleset.chains[name] = tuple(rules)
        self.ruleset.maps[into][key] = f"goto {name}"

    def choice(self, *, local: bool) -> str:
        """The chain that chooses among all endpoints or those of this node."""
        name = f"{'loc' if local else 'svc'}-{self.name}"
        if name not in self.ruleset.chains:
            endpoints = self.here if local else self.all
            sticky = self.spec.sessionAffinity == "ClientIP"
            self.ruleset.chains[name] = self.sticky(endpoints) if sticky else self.spread(endpoints)
        return name

    def spread(self, endpoints: list[Endpoint]) -> tuple[str, ...]:
        """The last rule is for packets that come while the map is being replaced: they find it empty."""
        last = self.translate(endpoints[0])
        if len(endpoints) == 1:
            return (last,)
        targets = ", ".join(f"{at} : {each.target}" for at, each in enumerate(endpoints))
        choice = f"numgen random mod {len(endpoints)} map {{ {targets} }}"
        return f"meta l4proto {self.protocol} dnat ip addr . port to {choice}", last

    def sticky(self, endpoints: list[Endpoint]) -> tuple[str, ...]:
        """Clients that are remembered first; the others at random. For the last rule see `spread`."""
        config = self.spec.sessionAffinityConfig
        seconds = (config.clientIP.timeoutSeconds if config and config.clientIP else None) or AFFINITY_SECONDS
        marks = [names.digest(self.name, each.target, str(seconds)) for each in endpoints]
        for each, mark in zip(endpoints, marks, strict=True):
            self.ruleset.sets[f"aff-{mark}"] = seconds
            self.ruleset.chains[f"ep-{mark}"] = (f"update @aff-{mark} {{ ip saddr }}", self.translate(each))
        verdicts = ", ".join(f"{at} : goto ep-{mark}" for at, mark in enumerate(marks))
        known = [f"ip saddr @aff-{mark} goto ep-{mark}" for mark in marks]
        return *known, f"numgen random mod {len(endpoints)} vmap {{ {verdicts} }}", f"goto ep-{marks[0]}"

    def translate(self, endpoint: Endpoint) -> str:
        return f"meta l4proto {self.protocol} dnat ip to {endpoint.address}:{endpoint.port}"

    def flow(self, address: str, port: int, policy: str | None) -> None:
        if self.protocol == "udp":
            chosen = self.here if policy == "Local" else self.all
            self.ruleset.flows[address, port] = frozenset((each.address, each.port) for each in chosen)


def _is_ipv4(text: str) -> bool:
    """One text that nft does not take would keep out all that comes with it."""
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False


def _ranges(texts: Collection[str]) -> tuple[str, ...]:
    """IPv4 ranges without those that others contain; with IPv6 ranges only, one that nobody has."""
    found = []
    for text in texts:
        try:
            found.append(ipaddress.IPv4Network(text.strip(), strict=False))
        except ValueError:
            continue
    if not found:
        return (NOBODY,) if texts else ()
    return tuple(str(each) for each in ipaddress.collapse_addresses(found))
