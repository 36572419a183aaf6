"""Pods behind services: which pods a service selects, on which ports, and in what state."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from sampan.api import selectors
from sampan.api.types import core_v1
from sampan.client.cache import Key
from sampan.controllers import pods
from sampan.runtime.actions import View
from sampan.runtime.controller import Watch

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"


def selects(service: core_v1.Service) -> bool:
    """The controllers look after it: it has a selector and addresses of its own."""
    return bool(service.spec.selector) and service.spec.type != "ExternalName"


def is_headless(service: core_v1.Service) -> bool:
    return service.spec.clusterIP == "None"


def selected(service: core_v1.Service, view: View) -> Iterator[core_v1.Pod]:
    """Its pods that could serve: they have an address and have not finished."""
    selector = selectors.of_map(service.spec.selector)
    for pod in view.within(core_v1.Pod, service.metadata.namespace or ""):
        if pod.status.podIP and not pods.is_terminal(pod) and selector.matches(pod.metadata.labels):
            yield pod


def services_of(pod: core_v1.Pod, view: View) -> Iterable[Key]:
    namespace, labels = pod.metadata.namespace or "", pod.metadata.labels.items()
    return tuple(
        (namespace, service.metadata.name or "")
        for service in view.within(core_v1.Service, namespace)
        if service.spec.selector and service.spec.selector.items() <= labels
    )


def pod_changed(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    """It changed in what endpoints tell."""
    return _told(old) != _told(new)


def _told(pod: core_v1.Pod) -> tuple[Any, ...]:
    metadata, status = pod.metadata, pod.status
    return (
        metadata.labels,
        metadata.deletionTimestamp is None,
        pod.spec.nodeName,
        status.podIPs,
        pods.is_ready(pod),
        pods.is_terminal(pod),
    )


PODS = Watch(core_v1.Pod, services_of, pod_changed)


def families(service: core_v1.Service) -> tuple[str, ...]:
    """IPv4, IPv6, or both."""
    if service.spec.ipFamilies:
        return service.spec.ipFamilies
    address = service.spec.clusterIP
    return (family(address) if address and address != "None" else "IPv4",)


def family(address: str) -> str:
    return f"IPv{ipaddress.ip_address(address).version}"


def addresses(pod: core_v1.Pod, wanted: str) -> list[str]:
    """The pod's addresses of one family."""
    listed = [each.ip for each in pod.status.podIPs] or [pod.status.podIP or ""]
    return [address for address in listed if address and family(address) == wanted]


def target_port(pod: core_v1.Pod, port: core_v1.ServicePort) -> int | None:
    """The container's port that a service port leads to; None when this pod has no port of that name."""
    target = port.targetPort
    if isinstance(target, int):
        return target or port.port
    if not target:
        return port.port
    sidecars = [each for each in pod.spec.initContainers if each.restartPolicy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for offered in container.ports:
            if offered.name == target and (offered.protocol or "TCP") == (port.protocol or "TCP"):
                return offered.containerPort
    return None


def hostname(service: core_v1.Service, pod: core_v1.Pod) -> str | None:
    """Its name below the service's in DNS."""
    return pod.spec.hostname or None if pod.spec.subdomain == service.metadata.name else None


def reference(pod: core_v1.Pod) -> core_v1.ObjectReference:
    metadata = pod.metadata
    return core_v1.ObjectReference(kind="Pod", namespace=metadata.namespace, name=metadata.name, uid=metadata.uid)


def labels(service: core_v1.Service) -> dict[str, str]:
    """The service's own, and whether it is headless."""
    copied = {name: value for name, value in service.metadata.labels.items() if name != HEADLESS}
    return {**copied, HEADLESS: ""} if is_headless(service) else copied
