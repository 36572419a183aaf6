"""What controllers ask about pods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sampan.api.types import core_v1
from sampan.runtime.clock import unix

BY_NODE = "node"


def node_of(pod: core_v1.Pod) -> Iterable[str]:
    """Index function: the node that a pod is bound to, "" for none."""
    return (pod.spec.nodeName or "",)


def phase(pod: core_v1.Pod) -> str:
    return pod.status.phase or ""


def is_terminal(pod: core_v1.Pod) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: core_v1.Pod) -> bool:
    """It counts as a replica: neither finished nor on its way out."""
    return not is_terminal(pod) and pod.metadata.deletionTimestamp is None


def is_terminating(pod: core_v1.Pod) -> bool:
    return not is_terminal(pod) and pod.metadata.deletionTimestamp is not None


def condition(pod: core_v1.Pod, type: str) -> core_v1.PodCondition | None:
    for each in pod.status.conditions:
        if each.type == type:
            return each
    return None


def is_ready(pod: core_v1.Pod) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready.status == "True"


def ready_since(pod: core_v1.Pod) -> float:
    """Unix seconds of the change to ready; 0 when it is not ready or does not say."""
    ready = condition(pod, "Ready")
    return unix(ready.lastTransitionTime) if ready and ready.status == "True" else 0.0


def available_in(pod: core_v1.Pod, min_ready: int, now: float) -> float:
    """Seconds until a ready pod counts as available, 0 when it does; infinite when it is not ready."""
    if not is_ready(pod):
        return float("inf")
    if not min_ready:
        return 0.0
    since = ready_since(pod)
    return max(0.0, since + min_ready - now) if since else float("inf")


def restarts(pod: core_v1.Pod) -> int:
    return max((each.restartCount or 0 for each in pod.status.containerStatuses), default=0)


def template_labels(template: core_v1.PodTemplateSpec | None) -> dict[str, str]:
    return dict(template.metadata.labels) if template and template.metadata else {}


def matters(old: Any, new: Any) -> bool:
    """A pod changed in what its controllers look at."""
    return bool(
        old.status != new.status
        or old.metadata.labels != new.metadata.labels
        or old.metadata.deletionTimestamp != new.metadata.deletionTimestamp
        or old.metadata.ownerReferences != new.metadata.ownerReferences
        or old.metadata.annotations != new.metadata.annotations
        or old.spec.nodeName != new.spec.nodeName
        or old.metadata.finalizers != new.metadata.finalizers
    )
