"""What a pod takes of a node: the sum of its containers, or its largest init container, plus overhead.

Source: "Pod resource requests" in Kubernetes' documentation of init and sidecar containers, and pod-level resources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sampan.api import quantity
from sampan.api.types import core_v1

CPU, MEMORY, STORAGE, PODS = "cpu", "memory", "ephemeral-storage", "pods"

LITTLE_CPU = 100
LITTLE_MEMORY = 200 * 1024 * 1024
"""What scores assume of a container that asks for nothing: millicores and bytes."""

Amounts = dict[str, int]
"""By resource: millicores of cpu, bytes of memory and storage, whole units of anything else."""


class Demand(NamedTuple):
    """`exact` must fit (without zeros); cpu and memory are what scores count (LITTLE_* where nothing is asked)."""

    exact: Amounts
    cpu: int
    memory: int


def amount(resource: str, text: str) -> int:
    return quantity.milli(text) if resource == CPU else quantity.value(text)


def amounts(texts: Mapping[str, str]) -> Amounts:
    return {resource: amount(resource, text) for resource, text in texts.items()}


def of_pod(pod: core_v1.Pod) -> Demand:
    """The demand of a pod. A resize under way counts with what is asked, allocated or actual, whichever is most."""
    spec = pod.spec
    statuses = {status.name: status for status in pod.status.containerStatuses}
    inits = {status.name: status for status in pod.status.initContainerStatuses}
    total = _total(spec, lambda c: _container(c, statuses.get(c.name) or inits.get(c.name)))
    little = _total(spec, lambda c: _little(_container(c, statuses.get(c.name) or inits.get(c.name))))
    if spec.resources is not None:
        levelled = amounts(spec.resources.requests)
        total |= levelled
        little |= levelled
    for resource, text in spec.overhead.items():
        extra = amount(resource, text)
        total[resource] = total.get(resource, 0) + extra
        little[resource] = little.get(resource, 0) + extra
    return Demand({r: a for r, a in total.items() if a}, little.get(CPU, 0), little.get(MEMORY, 0))


def _container(container: core_v1.Container, status: core_v1.ContainerStatus | None) -> Amounts:
    wanted = amounts(container.resources.requests)
    if status is not None and (status.resources is not None or status.allocatedResources):
        actual = status.resources.requests if status.resources is not None else {}
        for texts in (status.allocatedResources, actual):
            _raise_to(wanted, amounts(texts))
    return wanted


def _little(wanted: Amounts) -> Amounts:
    return {CPU: LITTLE_CPU, MEMORY: LITTLE_MEMORY} | wanted


def _total(spec: core_v1.PodSpec, read: Callable[[core_v1.Container], Amounts]) -> Amounts:
    """Sidecars add to the containers and to every init container that starts after them."""
    total: Amounts = {}
    for container in spec.containers:
        _add(total, read(container))
    peak: Amounts = {}
    sidecars: Amounts = {}
    for container in spec.initContainers:
        wanted = read(container)
        if container.restartPolicy == "Always":
            _add(total, wanted)
            _add(sidecars, wanted)
            _raise_to(peak, sidecars)
        else:
            moment = dict(sidecars)
            _add(moment, wanted)
            _raise_to(peak, moment)
    _raise_to(total, peak)
    return total


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for resource, much in more.items():
        total[resource] = total.get(resource, 0) + much


def _raise_to(total: Amounts, floor: Mapping[str, int]) -> None:
    for resource, much in floor.items():
        if much > total.get(resource, 0):
            total[resource] = much


EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - what a pod's spec may say


class Port(NamedTuple):
    protocol: str
    port: int
    address: str
    """"" when it takes the port on every address."""


def host_ports(pod: core_v1.Pod) -> tuple[Port, ...]:
    """The ports of the node that a pod takes; sidecars included."""
    spec = pod.spec
    found: list[Port] = []
    sidecars: Iterable[core_v1.Container] = (c for c in spec.initContainers if c.restartPolicy == "Always")
    for container in (*spec.containers, *sidecars):
        for port in container.ports:
            taken = port.hostPort or (port.containerPort if spec.hostNetwork else 0)
            if taken:
                address = port.hostIP or ""
                found.append(Port(port.protocol or "TCP", taken, "" if address in EVERYWHERE else address))
    return tuple(found)
