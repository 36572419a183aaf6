"""What a pod may learn about itself: fieldRef and resourceFieldRef of variables and downward API volumes. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.api import quantity
from sampan.api.types import core_v1
from sampan.node.contracts import AnyContainer, Capacity

_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['([^']*)'\]\Z")
_FROM_NODE = ("cpu", "memory", "ephemeral-storage")
_ESCAPES = {'"': '\\"', "\\": "\\\\"} | dict(zip("\a\b\f\n\r\t\v", (f"\\{name}" for name in "abfnrtv"), strict=True))


class UnknownField(Exception):
    """The pod refers to a field or a container that there is not."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the node knows before the pod's status says so. `allocatable` is the node's."""

    host_ips: tuple[str, ...] = ()
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] = field(default_factory=dict)


def amounts(capacity: Capacity) -> dict[str, str]:
    """A node's capacity as quantities by resource name."""
    return {
        "cpu": f"{capacity.cpu_milli}m",
        "memory": str(capacity.memory),
        "ephemeral-storage": str(capacity.ephemeral_storage),
        **{name: str(size) for name, size in capacity.hugepages.items()},
    }


def field_value(pod: core_v1.Pod, path: str, facts: Facts) -> str:
    """The text of a field. Raises UnknownField."""
    subscript = _SUBSCRIPT.match(path)
    if subscript is not None:
        entries = pod.metadata.labels if subscript[1] == "metadata.labels" else pod.metadata.annotations
        return entries.get(subscript[2], "")
    simple: Mapping[str, str] = {
        "metadata.name": pod.metadata.name or "",
        "metadata.namespace": pod.metadata.namespace or "",
        "metadata.uid": pod.metadata.uid or "",
        "spec.nodeName": pod.spec.nodeName or "",
        "spec.serviceAccountName": pod.spec.serviceAccountName or "",
        "status.hostIP": facts.host_ips[0] if facts.host_ips else "",
        "status.hostIPs": ",".join(facts.host_ips),
        "status.podIP": facts.pod_ips[0] if facts.pod_ips else "",
        "status.podIPs": ",".join(facts.pod_ips),
    }
    if path in simple:
        return simple[path]
    if path == "metadata.labels":
        return entries_text(pod.metadata.labels)
    if path == "metadata.annotations":
        return entries_text(pod.metadata.annotations)
    raise UnknownField(f"unsupported fieldPath: {path}")


def entries_text(entries: Mapping[str, str]) -> str:
    """Sorted lines of `key="value"`, the value quoted as Go does."""
    return "\n".join(f"{key}={quoted(value)}" for key, value in sorted(entries.items()))


def quoted(text: str) -> str:
    """Go's %q: printable characters as they are, others escaped."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    if ord(character) < 0x80:
        return f"\\x{ord(character):02x}"
    escaped = json.dumps(character)[1:-1]
    return escaped if len(escaped) == 6 else f"\\U{ord(character):08x}"


def resource_value(
    pod: core_v1.Pod, reference: core_v1.ResourceFieldSelector, container_name: str, facts: Facts
) -> str:
    """A whole number of divisors, rounded up. `container_name` is for references that name none.

    A limit that the container does not have is the pod's, else what the node can give. Raises UnknownField.
    """
    name = reference.containerName or container_name
    container = next((c for c in _everyone(pod) if c.name == name), None)
    if container is None:
        raise UnknownField(f"container {name} not found")
    which, _, resource = reference.resource.partition(".")
    if which == "limits":
        amount = _limit(pod, container, resource, facts)
    elif which == "requests":
        amount = container.resources.requests.get(resource, "0")
    else:
        raise UnknownField(f"unsupported container resource : {reference.resource}")
    divisor = quantity.nano(reference.divisor or "0") or quantity.nano("1")
    return str(-(-quantity.nano(amount) // divisor))


def _everyone(pod: core_v1.Pod) -> tuple[AnyContainer, ...]:
    return (*pod.spec.containers, *pod.spec.initContainers, *pod.spec.ephemeralContainers)


def _limit(pod: core_v1.Pod, container: AnyContainer, resource: str, facts: Facts) -> str:
    own = container.resources.limits.get(resource, "0")
    if quantity.nano(own):
        return own
    whole = pod.spec.resources.limits.get(resource, "0") if pod.spec.resources is not None else "0"
    if quantity.nano(whole):
        return whole
    return facts.allocatable.get(resource, "0") if resource in _FROM_NODE else "0"
