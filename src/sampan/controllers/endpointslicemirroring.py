"""Endpoints that somebody wrote by hand, for a service without selector, appear as EndpointSlices too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from sampan.api.kinds import core
from sampan.api.types import core_v1, discovery_v1, meta_v1
from sampan.client.cache import Key
from sampan.controllers import owners, serving, slices
from sampan.controllers.settings import Settings
from sampan.controllers.slices import Endpoint, Ports, Slice
from sampan.runtime.actions import Delete, Plan, View
from sampan.runtime.controller import Controller, Watch

MANAGER = (serving.MANAGED_BY, "endpointslicemirroring-controller.k8s.io")
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
MOST = 1000
"""Addresses of one subset that are mirrored."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"


def plan(endpoints: core_v1.Endpoints, view: View) -> Plan:
    namespace, name = endpoints.metadata.namespace or "", endpoints.metadata.name or ""
    service = view.get(core_v1.Service, name, namespace)
    present = slices.existing(namespace, name, MANAGER, view)
    if service is None or service.spec.selector or not _is_mirrored(endpoints):
        yield from _clear(present)
        return
    for family in ("IPv4", "IPv6"):

        def make(ports: Ports, content: tuple[Endpoint, ...], family: str = family) -> Slice:
            return describe(endpoints, family, ports, content)

        mine = [each for each in present if each.addressType == family]
        yield from slices.reconcile(group(endpoints, family), mine, make)


def gone(key: Key, view: View) -> Plan:
    yield from _clear(slices.existing(*key, MANAGER, view))


def _clear(present: Iterable[Slice]) -> Plan:
    for slice in present:
        yield Delete(slice)


def _is_mirrored(endpoints: core_v1.Endpoints) -> bool:
    metadata = endpoints.metadata
    return metadata.labels.get(SKIP) != "true" and LEADER not in metadata.annotations


def group(endpoints: core_v1.Endpoints, family: str) -> dict[Ports, list[Endpoint]]:
    groups: dict[Ports, list[Endpoint]] = defaultdict(list)
    for subset in endpoints.subsets:
        ports = tuple(
            discovery_v1.EndpointPort(
                name=port.name or "", port=port.port, protocol=port.protocol or "TCP", appProtocol=port.appProtocol
            )
            for port in subset.ports
        )
        mirrored = [each for each in _mirror(subset) if serving.family(each.addresses[0]) == family][:MOST]
        if mirrored:
            groups[ports] += mirrored
    return groups


def _mirror(subset: core_v1.EndpointSubset) -> Iterator[Endpoint]:
    sides = ((subset.addresses, True), (subset.notReadyAddresses, False))
    for addresses, ready in sides:
        for address in addresses:
            yield Endpoint(
                addresses=(address.ip,),
                conditions=discovery_v1.EndpointConditions(ready=ready),
                hostname=address.hostname or None,
                nodeName=address.nodeName or None,
                targetRef=address.targetRef,
            )


def describe(endpoints: core_v1.Endpoints, family: str, ports: Ports, content: tuple[Endpoint, ...]) -> Slice:
    metadata = endpoints.metadata
    name = metadata.name or ""
    annotations = {key: value for key, value in metadata.annotations.items() if key not in (LAST_APPLIED, TRIGGER)}
    return Slice(
        metadata=meta_v1.ObjectMeta(
            generateName=f"{name[:57]}-",
            namespace=metadata.namespace,
            labels={**metadata.labels, serving.SERVICE_NAME: name, MANAGER[0]: MANAGER[1]},
            annotations=annotations,
            ownerReferences=(owners.reference(endpoints, core.ENDPOINTS),),
        ),
        addressType=family,
        ports=ports,
        endpoints=content,
    )


def _same_name(object: core_v1.Service, view: View) -> Iterable[Key]:
    return ((object.metadata.namespace or "", object.metadata.name or ""),)


def declare(settings: Settings) -> Controller:
    return Controller(
        name="endpointslice-mirroring-controller",
        primary=core_v1.Endpoints,
        plan=plan,
        gone=gone,
        watches=(Watch(core_v1.Service, _same_name), Watch(Slice, slices.keys_of_slice(MANAGER))),
        indexes={Slice: {slices.BY_SERVICE: slices.service_of}},
    )
