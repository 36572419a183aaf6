"""Services of type LoadBalancer get addresses that answer: those of the nodes, or one of a range.

The node's proxy leads what comes to an address of status.loadBalancer to the service's pods; the controller only has to
choose, so that no two services want the same port of one address, and to write it down. What no longer is of the type
is released. Services with a loadBalancerClass are for others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from sampan import addresses
from sampan.api.types import core_v1, networking_v1
from sampan.client.cache import Key, key_of
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Emit, Plan, UpdateStatus, View
from sampan.runtime.controller import Controller, Watch, unless_unchanged

NAME = "service-lb-controller"
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
INGRESS = "sampan.dev/ingress"
"""The controller of the IngressClasses that the nodes serve themselves."""

Port = tuple[str, int]
"""Protocol and number."""


def planned(settings: Settings, service: core_v1.Service, view: View) -> Plan:
    if not wanted(service):
        if of_ours(service) and _given(service):
            yield UpdateStatus(_with(service, ()))
            yield Emit(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")
        return
    if service.metadata.deletionTimestamp is not None:
        return
    chosen, why = _choose(settings, service, view)
    if chosen != _given(service):
        yield UpdateStatus(_with(service, chosen))
    if chosen and chosen != _given(service):
        yield Emit(service, "Normal", "EnsuredLoadBalancer", f"Ensured load balancer at {', '.join(chosen)}")
    elif not chosen:
        yield Emit(service, "Warning", "SyncLoadBalancerFailed", f"Error syncing load balancer: {why}")


def wanted(service: core_v1.Service) -> bool:
    return service.spec.type == "LoadBalancer" and not service.spec.loadBalancerClass


def of_ours(service: core_v1.Service) -> bool:
    """Whether what is in its status can be from here."""
    return not service.spec.loadBalancerClass


def _given(service: core_v1.Service) -> tuple[str, ...]:
    balancer = service.status.loadBalancer
    return tuple(each.ip or "" for each in balancer.ingress) if balancer else ()


def _with(service: core_v1.Service, chosen: tuple[str, ...]) -> core_v1.Service:
    ingress = tuple(core_v1.LoadBalancerIngress(ip=each, ipMode="VIP") for each in chosen)
    return replace(service, status=replace(service.status, loadBalancer=core_v1.LoadBalancerStatus(ingress=ingress)))


def ports(service: core_v1.Service) -> set[Port]:
    return {(port.protocol or "TCP", port.port) for port in service.spec.ports}


def _choose(settings: Settings, service: core_v1.Service, view: View) -> tuple[tuple[str, ...], str]:
    """The addresses, or none and why."""
    taken = _taken(service, view)
    if settings.load_balancer_range:
        return _of_range(settings.load_balancer_range, service, taken)
    nodes = tuple(_nodes(view))
    if not nodes:
        return (), "no node is ready that takes part in load balancing"
    asked = service.spec.loadBalancerIP
    if asked and asked not in nodes:
        return (), f"address {asked} is no node's, and the cluster has no range of addresses (--load-balancer-range)"
    published = _published(settings, view)
    found, why = [], ""
    for address in (asked,) if asked else nodes:
        used = {port: name for port in ports(service) if (name := taken.get((address, port)))}
        used |= dict.fromkeys(ports(service) & published, "the Ingresses")
        if used:
            port, name = min(used.items())
            why = f"port {port[1]}/{port[0]} of {address} belongs to {name}; use another port, or an Ingress"
        else:
            found.append(address)
    return tuple(found), why


def _of_range(text: str, service: core_v1.Service, taken: dict[tuple[str, Port], str]) -> tuple[tuple[str, ...], str]:
    """The address that it has, the one that it asks for, or the first that nobody has any port of."""
    asked, has = service.spec.loadBalancerIP, _given(service)
    occupied = {address for address, _ in taken}
    if asked:
        if not addresses.contains(text, asked):
            return (), f"address {asked} is not in the range {text}"
        for port in sorted(ports(service)):
            if name := taken.get((asked, port)):
                return (), f"port {port[1]}/{port[0]} of {asked} belongs to {name}"
        return (asked,), ""
    if len(has) == 1 and addresses.contains(text, has[0]) and has[0] not in occupied:
        return has, ""
    first, last = addresses.parse(text)
    for number in range(first, last + 1):
        address = str(ipaddress.IPv4Address(number))
        if address not in occupied:
            return (address,), ""
    return (), f"all {last - first + 1} addresses of the range {text} are taken"


def _taken(service: core_v1.Service, view: View) -> dict[tuple[str, Port], str]:
    """Who has which port of which address already."""
    found = {}
    for other in view.all(core_v1.Service):
        if key_of(other) != key_of(service) and other.spec.type == "LoadBalancer":
            for address in _given(other):
                for port in ports(other):
                    found[address, port] = f"service {other.metadata.namespace}/{other.metadata.name}"
    return found


def _nodes(view: View) -> Iterator[str]:
    """The addresses of nodes that are ready, in order of their names."""
    for node in sorted(view.all(core_v1.Node), key=lambda each: each.metadata.name or ""):
        ready = any(each.type == "Ready" and each.status == "True" for each in node.status.conditions)
        if ready and EXCLUDED not in node.metadata.labels:
            yield from [each.address for each in node.status.addresses if each.type == "InternalIP"][:1]


def _published(settings: Settings, view: View) -> set[Port]:
    """Ports at which nodes serve Ingresses, as soon as there is one."""
    ours = {each.metadata.name for each in view.all(networking_v1.IngressClass) if each.spec.controller == INGRESS}
    if any(each.spec.ingressClassName in ours for each in view.all(networking_v1.Ingress)):
        return {("TCP", port) for port in settings.node_ports}
    return set()


def _all(_: Any, view: View) -> Iterable[Key]:
    return [key_of(each) for each in view.all(core_v1.Service) if wanted(each)]


def _waiting(service: core_v1.Service, view: View) -> Iterable[Key]:
    """What others wait for may be free now."""
    return [key for key in _all(service, view) if key != key_of(service) and not _has(key, view)]


def _has(key: Key, view: View) -> bool:
    service = view.get(core_v1.Service, key[1], key[0])
    return service is not None and bool(_given(service))


def _node_matters(node: core_v1.Node) -> object:
    ready = [each.status for each in node.status.conditions if each.type == "Ready"]
    return ready, node.status.addresses, EXCLUDED in node.metadata.labels


def declare(settings: Settings) -> Controller:
    return Controller(
        name=NAME,
        primary=core_v1.Service,
        plan=lambda service, view: planned(settings, service, view),
        changed=unless_unchanged(lambda each: (each.spec, each.status, each.metadata.deletionTimestamp)),
        watches=(
            Watch(core_v1.Service, _waiting, unless_unchanged(lambda each: (each.spec, each.status))),
            Watch(core_v1.Node, _all, unless_unchanged(_node_matters)),
            Watch(networking_v1.Ingress, _all, unless_unchanged(lambda each: each.spec.ingressClassName)),
            Watch(networking_v1.IngressClass, _all),
        ),
        # One choice at a time: two services must not get the same port.
        workers=1,
    )
