"""Requests and limits of pods as limits of cgroups: QoS class, cgroup path, CPU shares and quota, memory, OOM score.

Pure. The figures are those of the Kubernetes documentation on resource management and node-pressure eviction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from sampan.api import quantity
from sampan.api.types import core_v1
from sampan.host.containers import Resources
from sampan.node.contracts import AnyContainer, Capacity

QOSClass = Literal["Guaranteed", "Burstable", "BestEffort"]

PERIOD = 100_000
"""Microseconds of one CFS period."""

MIN_SHARES, MAX_SHARES, SHARES_PER_CPU = 2, 262_144, 1024
MIN_QUOTA = 1000
"""Microseconds: the kernel refuses less."""

CRITICAL = 2_000_000_000
"""Pods of at least this priority are critical to the node; so are static ones."""

GUARANTEED_SCORE, BEST_EFFORT_SCORE = -997, 1000

_COMPUTE = ("cpu", "memory")


def cpu_shares(milli: int) -> int:
    return min(MAX_SHARES, max(MIN_SHARES, milli * SHARES_PER_CPU // 1000))


def cpu_quota(milli: int, period: int = PERIOD) -> int:
    """Microseconds a period; 0 means no limit."""
    return max(MIN_QUOTA, milli * period // 1000) if milli > 0 else 0


def resources(pod: core_v1.Pod, container: AnyContainer | None, capacity: Capacity) -> Resources:
    """contracts.ContainerResources: a container's limits, or the whole pod's with None."""
    if container is None:
        return pod_resources(pod)
    return container_resources(pod, container, memory_capacity=capacity.memory)


def container_resources(pod: core_v1.Pod, container: AnyContainer, *, memory_capacity: int, pids: int = 0) -> Resources:
    """The limits of one container; `memory_capacity` is the node's, in bytes.

    A container without limits of its own, in a pod that has limits as a whole, is bounded by the pod's cgroup.
    """
    limits, requests = container.resources.limits, container.resources.requests
    limit = quantity.milli(limits.get("cpu", "0"))
    request = quantity.milli(requests["cpu"]) if "cpu" in requests else limit
    return Resources(
        cpu_shares=cpu_shares(request),
        cpu_quota=cpu_quota(limit),
        cpu_period=PERIOD,
        memory_limit=quantity.value(limits.get("memory", "0")),
        pids_limit=pids,
        oom_score_adj=oom_score_adj(pod, container, memory_capacity),
    )


def pod_resources(pod: core_v1.Pod, pids: int = 0) -> Resources:
    """The limits of the pod's cgroup: what its containers ask for together, or the pod's own figures.

    A limit holds for the pod only when every container has one.
    """
    requests, limits = pod_requests(pod), pod_limits(pod)
    if qos_class(pod) == "BestEffort":
        return Resources(cpu_shares=MIN_SHARES, cpu_period=PERIOD, pids_limit=pids)
    cpu = quantity.milli(limits.get("cpu", "0")) if _limited(pod, "cpu") else 0
    memory = quantity.value(limits.get("memory", "0")) if _limited(pod, "memory") else 0
    return Resources(
        cpu_shares=cpu_shares(quantity.milli(requests.get("cpu", "0"))),
        cpu_quota=cpu_quota(cpu),
        cpu_period=PERIOD,
        memory_limit=memory,
        pids_limit=pids,
    )


def _limited(pod: core_v1.Pod, resource: str) -> bool:
    own = pod.spec.resources
    if own is not None and resource in own.limits:
        return True
    everyone = (*pod.spec.initContainers, *pod.spec.containers)
    return all(quantity.nano(c.resources.limits.get(resource, "0")) > 0 for c in everyone)


def pod_requests(pod: core_v1.Pod) -> Mapping[str, str]:
    """What the pod takes of a node, overhead included (the sum the scheduler counts)."""
    own = pod.spec.resources.requests if pod.spec.resources is not None else {}
    return _total(pod, lambda container: container.resources.requests, own)


def pod_limits(pod: core_v1.Pod) -> Mapping[str, str]:
    own = pod.spec.resources.limits if pod.spec.resources is not None else {}
    return _total(pod, lambda container: container.resources.limits, own)


def _total(
    pod: core_v1.Pod, of: Callable[[core_v1.Container], Mapping[str, str]], own: Mapping[str, str]
) -> dict[str, str]:
    """Sum of containers and sidecars; an ordinary init container may need more than that, with sidecars before it."""
    running: dict[str, str] = {}
    peak: dict[str, str] = {}
    for container in pod.spec.initContainers:
        if container.restartPolicy == "Always":
            running = _sum(running, of(container))
            peak = _largest(peak, running)
        else:
            peak = _largest(peak, _sum(running, of(container)))
    for container in pod.spec.containers:
        running = _sum(running, of(container))
    return _sum({**_largest(running, peak), **own}, pod.spec.overhead)


def _sum(left: Mapping[str, str], right: Mapping[str, str]) -> dict[str, str]:
    return {name: quantity.add(left.get(name, "0"), right.get(name, "0")) for name in dict.fromkeys((*left, *right))}


def _largest(left: Mapping[str, str], right: Mapping[str, str]) -> dict[str, str]:
    names = dict.fromkeys((*left, *right))
    return {name: max(left.get(name, "0"), right.get(name, "0"), key=quantity.nano) for name in names}


def qos_class(pod: core_v1.Pod) -> QOSClass:
    """Guaranteed: every container limits CPU and memory and requests as much. BestEffort: none asks for anything."""
    if pod.spec.resources is not None and (pod.spec.resources.requests or pod.spec.resources.limits):
        return _classify([pod.spec.resources])
    return _classify([c.resources for c in (*pod.spec.initContainers, *pod.spec.containers)])


def _classify(wishes: Iterable[core_v1.ResourceRequirements]) -> QOSClass:
    asked, guaranteed = False, True
    for wish in wishes:
        requests, limits = _positive(wish.requests), _positive(wish.limits)
        asked = asked or bool(requests or limits)
        # A request left out is as large as the limit.
        guaranteed = guaranteed and set(limits) == set(_COMPUTE) and {**limits, **requests} == limits
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(amounts: Mapping[str, str]) -> dict[str, int]:
    return {name: quantity.nano(amounts[name]) for name in _COMPUTE if quantity.nano(amounts.get(name, "0")) > 0}


def cgroup_path(pod: core_v1.Pod) -> str:
    """Relative to the runtime's root: `pod<uid>`, `burstable/pod<uid>` or `besteffort/pod<uid>`."""
    level = {"Guaranteed": "", "Burstable": "burstable/", "BestEffort": "besteffort/"}[qos_class(pod)]
    return f"{level}pod{pod.metadata.uid}"


def oom_score_adj(pod: core_v1.Pod, container: AnyContainer, memory_capacity: int) -> int:
    """-997 for guaranteed and critical pods, 1000 for best effort; between, the smaller the larger the request."""
    if is_critical(pod):
        return GUARANTEED_SCORE
    quality = qos_class(pod)
    if quality == "Guaranteed":
        return GUARANTEED_SCORE
    if quality == "BestEffort" or memory_capacity <= 0:
        return BEST_EFFORT_SCORE
    score = _burstable_score(pod, container, memory_capacity)
    if container.restartPolicy == "Always" and any(c.name == container.name for c in pod.spec.initContainers):
        # The kernel must not prefer a sidecar over the containers that it serves.
        return min([score, *(_burstable_score(pod, c, memory_capacity) for c in pod.spec.containers)])
    return score


def _burstable_score(pod: core_v1.Pod, container: AnyContainer, memory_capacity: int) -> int:
    limits, requests = container.resources.limits, container.resources.requests
    request = quantity.value(requests.get("memory") or limits.get("memory") or _pod_share(pod))
    score = 1000 - 1000 * request // memory_capacity
    return min(max(score, 1000 + GUARANTEED_SCORE), BEST_EFFORT_SCORE - 1)


def _pod_share(pod: core_v1.Pod) -> str:
    """What is left of the pod's own request, in equal parts to the containers without one of their own."""
    if pod.spec.resources is None or "memory" not in pod.spec.resources.requests:
        return "0"
    everyone = (*pod.spec.initContainers, *pod.spec.containers)
    taken = sum(quantity.value(c.resources.requests.get("memory", "0")) for c in everyone)
    without = sum("memory" not in c.resources.requests for c in everyone)
    total = quantity.value(pod.spec.resources.requests["memory"])
    return str(max(0, total - taken) // without) if without else "0"


def is_critical(pod: core_v1.Pod) -> bool:
    source = pod.metadata.annotations.get("kubernetes.io/config.source", "api")
    return source != "api" or (pod.spec.priority or 0) >= CRITICAL
