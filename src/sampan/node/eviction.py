"""Which pod has to go when the machine runs short. Pure.

The order is that of the documentation on node-pressure eviction: who uses more than it asked for, then who matters
less, then who is furthest above its request. Critical pods stay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sampan.api import quantity
from sampan.api.types import core_v1
from sampan.node import host_facts, node_object, resources
from sampan.node.host_facts import Usage
from sampan.node.observation import Ending

REASON = "Evicted"
LOW = "The node was low on resource: {resource}. Threshold quantity: {threshold}, available: {available}. "
USING = "Container {name} was using {used}, request is {request}, has larger consumption of {resource}. "


@dataclass(frozen=True, slots=True)
class Consumer:
    """A pod and what it uses: bytes of memory and of disk."""

    pod: core_v1.Pod
    memory: int = 0
    disk: int = 0


def starved(usage: Usage) -> str:
    """The resource that pods have to give back, "" when there is enough."""
    if usage.memory_available < node_object.MEMORY_LEFT:
        return "memory"
    if usage.disk_available < node_object.DISK_LEFT:
        return "ephemeral-storage"
    if usage.inodes_available < node_object.INODES_LEFT:
        return "inodes"
    return ""


def victim(consumers: Iterable[Consumer], resource: str) -> Consumer | None:
    """Who goes first; one at a time, for what it frees may be enough."""
    candidates = [each for each in consumers if not resources.is_critical(each.pod)]
    return min(candidates, key=lambda each: _rank(each, resource), default=None)


def _rank(consumer: Consumer, resource: str) -> tuple[bool, int, int]:
    used, asked = _used(consumer, resource), _requested(consumer.pod, resource)
    return used <= asked, consumer.pod.spec.priority or 0, asked - used


def _used(consumer: Consumer, resource: str) -> int:
    return consumer.memory if resource == "memory" else consumer.disk


def _requested(pod: core_v1.Pod, resource: str) -> int:
    return quantity.value(resources.pod_requests(pod).get(resource, "0"))


def low(consumer: Consumer, resource: str, usage: Usage) -> Ending:
    """The end of a pod that has to make room."""
    thresholds = {
        "memory": (host_facts.binary(node_object.MEMORY_LEFT), f"{usage.memory_available // 1024}Ki"),
        "ephemeral-storage": (f"{node_object.DISK_LEFT:g}%", f"{usage.disk_available:.1f}%"),
        "inodes": (f"{node_object.INODES_LEFT:g}%", f"{usage.inodes_available:.1f}%"),
    }
    threshold, available = thresholds[resource]
    message = LOW.format(resource=resource, threshold=threshold, available=available)
    used, asked = _used(consumer, resource), _requested(consumer.pod, resource)
    if resource != "inodes" and used > asked and len(consumer.pod.spec.containers) == 1:
        message += USING.format(
            name=consumer.pod.spec.containers[0].name,
            used=f"{used // 1024}Ki",
            request=host_facts.binary(asked) if asked else "0",
            resource=resource,
        )
    return Ending(REASON, message)
