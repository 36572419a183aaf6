"""Endpoints, the older form of EndpointSlices: one object per service, ready and not ready apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from msgspec.structs import replace

from sampan.api.types import core_v1, meta_v1
from sampan.client.cache import Key
from sampan.controllers import pods, serving
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Create, Delete, Plan, Update, View
from sampan.runtime.controller import Controller, Watch

MOST = 1000
"""Addresses that one Endpoints object holds; the rest is only in EndpointSlices."""

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"

Ports = tuple[core_v1.EndpointPort, ...]


def plan(service: core_v1.Service, view: View) -> Plan:
    if not serving.selects(service) or service.metadata.deletionTimestamp is not None:
        return
    subsets, cut = _truncated(gather(service, view))
    name, namespace = service.metadata.name or "", service.metadata.namespace or ""
    present = view.get(core_v1.Endpoints, name, namespace)
    labels = {**serving.labels(service), MANAGED_BY: "endpoint-controller"}
    annotations = {OVER_CAPACITY: "truncated"} if cut else {}
    if present is None:
        metadata = meta_v1.ObjectMeta(name=name, namespace=namespace, labels=labels, annotations=annotations)
        yield Create(core_v1.Endpoints(metadata=metadata, subsets=subsets))
        return
    kept = {key: value for key, value in present.metadata.annotations.items() if key != OVER_CAPACITY}
    metadata = replace(present.metadata, labels=labels, annotations={**kept, **annotations})
    wanted = replace(present, metadata=metadata, subsets=subsets)
    if wanted != present:
        yield Update(wanted)


def gone(key: Key, view: View) -> Plan:
    """Endpoints end with their service, also those that somebody wrote by hand for it."""
    present = view.get(core_v1.Endpoints, key[1], key[0])
    if present is not None and MANAGED_BY in present.metadata.labels:
        yield Delete(present)


def gather(service: core_v1.Service, view: View) -> tuple[core_v1.EndpointSubset, ...]:
    """Addresses by the ports they offer."""
    ready: dict[Ports, list[core_v1.EndpointAddress]] = defaultdict(list)
    unready: dict[Ports, list[core_v1.EndpointAddress]] = defaultdict(list)
    tolerant = bool(service.spec.publishNotReadyAddresses)
    family = serving.families(service)[0]
    for pod in serving.selected(service, view):
        if pod.metadata.deletionTimestamp is not None and not tolerant:
            continue
        addresses, ports = serving.addresses(pod, family), _ports(service, pod)
        if addresses and (ports or not service.spec.ports):
            side = ready if tolerant or pods.is_ready(pod) else unready
            side[ports].append(_address(service, pod, addresses[0]))
    return tuple(
        core_v1.EndpointSubset(
            addresses=tuple(sorted(ready[ports], key=_order)),
            notReadyAddresses=tuple(sorted(unready[ports], key=_order)),
            ports=ports,
        )
        for ports in sorted({**ready, **unready}, key=repr)
    )


def _order(address: core_v1.EndpointAddress) -> tuple[str, str]:
    return address.ip, (address.targetRef.uid or "") if address.targetRef else ""


def _ports(service: core_v1.Service, pod: core_v1.Pod) -> Ports:
    found = []
    for port in service.spec.ports:
        number = serving.target_port(pod, port)
        if number is not None:
            protocol = port.protocol or "TCP"
            found.append(
                core_v1.EndpointPort(name=port.name, port=number, protocol=protocol, appProtocol=port.appProtocol)
            )
    return tuple(found)


def _address(service: core_v1.Service, pod: core_v1.Pod, ip: str) -> core_v1.EndpointAddress:
    return core_v1.EndpointAddress(
        ip=ip,
        nodeName=pod.spec.nodeName or None,
        hostname=serving.hostname(service, pod),
        targetRef=serving.reference(pod),
    )


def _truncated(subsets: tuple[core_v1.EndpointSubset, ...]) -> tuple[tuple[core_v1.EndpointSubset, ...], bool]:
    """At most MOST addresses, ready ones before others."""
    total = sum(len(each.addresses) + len(each.notReadyAddresses) for each in subsets)
    if total <= MOST:
        return subsets, False
    room = MOST
    kept = []
    for each in subsets:
        addresses = each.addresses[:room]
        room -= len(addresses)
        kept.append(replace(each, addresses=addresses))
    cut = []
    for each in kept:
        unready = each.notReadyAddresses[:room]
        room -= len(unready)
        cut.append(replace(each, notReadyAddresses=unready))
    return tuple(each for each in cut if each.addresses or each.notReadyAddresses), True


def _service_of(endpoints: core_v1.Endpoints, view: View) -> Iterable[Key]:
    return ((endpoints.metadata.namespace or "", endpoints.metadata.name or ""),)


def declare(settings: Settings) -> Controller:
    return Controller(
        name="endpoints-controller",
        primary=core_v1.Service,
        plan=plan,
        gone=gone,
        watches=(serving.PODS, Watch(core_v1.Endpoints, _service_of)),
    )
