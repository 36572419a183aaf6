"""EndpointSlices of services with a selector: who serves, where, and in what state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sampan.api.kinds import core
from sampan.api.types import core_v1, discovery_v1, meta_v1
from sampan.client.cache import Key
from sampan.controllers import owners, pods, serving, slices
from sampan.controllers.settings import Settings
from sampan.controllers.slices import Endpoint, Groups, Ports, Slice
from sampan.runtime.actions import Delete, Plan, View
from sampan.runtime.controller import Controller, Watch, unless_unchanged

MANAGER = (serving.MANAGED_BY, "endpointslice-controller.k8s.io")


def plan(service: core_v1.Service, view: View) -> Plan:
    if not serving.selects(service) or service.metadata.deletionTimestamp is not None:
        return
    present = slices.existing(service.metadata.namespace or "", service.metadata.name or "", MANAGER, view)
    chosen = tuple(serving.selected(service, view))
    wanted = serving.families(service)
    for family in wanted:

        def make(ports: Ports, endpoints: tuple[Endpoint, ...], family: str = family) -> Slice:
            return describe(service, family, ports, endpoints)

        # A service without endpoints has one empty slice, so that proxies know that it is looked after.
        groups = group(service, family, chosen, view) or {(): ()}
        mine = [each for each in present if each.addressType == family]
        yield from slices.reconcile(groups, mine, make)
    for slice in present:
        if slice.addressType not in wanted:
            yield Delete(slice)


def gone(key: Key, view: View) -> Plan:
    for slice in slices.existing(*key, MANAGER, view):
        yield Delete(slice)


def group(service: core_v1.Service, family: str, chosen: Iterable[core_v1.Pod], view: View) -> Groups:
    """Endpoints by the ports they offer: named ports may differ from pod to pod."""
    groups: dict[Ports, list[Endpoint]] = defaultdict(list)
    for pod in chosen:
        addresses = serving.addresses(pod, family)
        ports = ports_of(service, pod)
        if addresses and (ports or not service.spec.ports):
            groups[ports].append(endpoint(service, pod, addresses[0], view))
    return groups


def ports_of(service: core_v1.Service, pod: core_v1.Pod) -> Ports:
    found = []
    for port in service.spec.ports:
        number = serving.target_port(pod, port)
        if number is not None:
            found.append(
                discovery_v1.EndpointPort(
                    name=port.name or "", port=number, protocol=port.protocol or "TCP", appProtocol=port.appProtocol
                )
            )
    return tuple(found)


def endpoint(service: core_v1.Service, pod: core_v1.Pod, address: str, view: View) -> Endpoint:
    serves = pods.is_ready(pod) or bool(service.spec.publishNotReadyAddresses)
    terminating = pod.metadata.deletionTimestamp is not None
    ready = bool(service.spec.publishNotReadyAddresses) or (serves and not terminating)
    node = view.get(core_v1.Node, pod.spec.nodeName) if pod.spec.nodeName else None
    zone = node.metadata.labels.get(serving.ZONE) if node is not None else None
    return Endpoint(
        addresses=(address,),
        conditions=discovery_v1.EndpointConditions(ready=ready, serving=serves, terminating=terminating),
        hostname=serving.hostname(service, pod),
        nodeName=pod.spec.nodeName or None,
        zone=zone or None,
        targetRef=serving.reference(pod),
        hints=_hints(service, zone, pod.spec.nodeName) if ready else None,
    )


def _hints(service: core_v1.Service, zone: str | None, node: str | None) -> discovery_v1.EndpointHints | None:
    """trafficDistribution asks proxies to stay close."""
    how = service.spec.trafficDistribution
    zones = (discovery_v1.ForZone(name=zone),) if zone else ()
    if how in ("PreferClose", "PreferSameZone") and zones:
        return discovery_v1.EndpointHints(forZones=zones)
    if how == "PreferSameNode" and node:
        return discovery_v1.EndpointHints(forNodes=(discovery_v1.ForNode(name=node),), forZones=zones)
    return None


def describe(service: core_v1.Service, family: str, ports: Ports, endpoints: tuple[Endpoint, ...]) -> Slice:
    name = service.metadata.name or ""
    return Slice(
        metadata=meta_v1.ObjectMeta(
            generateName=f"{name[:57]}-",
            namespace=service.metadata.namespace,
            labels={**serving.labels(service), serving.SERVICE_NAME: name, MANAGER[0]: MANAGER[1]},
            ownerReferences=(owners.reference(service, core.SERVICE),),
        ),
        addressType=family,
        ports=ports,
        endpoints=endpoints,
    )


def _services_on(node: core_v1.Node, view: View) -> Iterable[Key]:
    on_node = view.by(core_v1.Pod, pods.BY_NODE, node.metadata.name or "")
    return {key for pod in on_node for key in serving.services_of(pod, view)}


def declare(settings: Settings) -> Controller:
    return Controller(
        name="endpointslice-controller",
        primary=core_v1.Service,
        plan=plan,
        gone=gone,
        watches=(
            serving.PODS,
            Watch(Slice, slices.keys_of_slice(MANAGER)),
            Watch(core_v1.Node, _services_on, unless_unchanged(lambda node: node.metadata.labels.get(serving.ZONE))),
        ),
        indexes={
            core_v1.Pod: {pods.BY_NODE: pods.node_of},
            Slice: {slices.BY_SERVICE: slices.service_of},
        },
    )
