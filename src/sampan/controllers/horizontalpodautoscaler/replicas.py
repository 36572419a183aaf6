"""How many pods a metric asks for. Pure; amounts are thousandths (millicores, thousandths of bytes).

Source: "Algorithm details" of the Horizontal Pod Autoscaling documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sampan.api import quantity
from sampan.api.extra.metrics_v1beta1 import PodMetrics
from sampan.api.types import core_v1
from sampan.controllers import pods
from sampan.runtime.clock import unix

TOLERANCE = 0.1
CPU_INITIALIZATION = 300.0
"""Seconds after a pod's start in which its processor time counts only when it was measured while it was ready."""
INITIAL_READINESS = 30.0
"""Seconds after the start in which being unready means that the pod has never been ready."""


class Incalculable(Exception):
    """No number can be told; the message says why."""


class Measured(NamedTuple):
    """What one pod uses, over `window` seconds until `at`."""

    value: int
    at: float
    window: float


class Target(NamedTuple):
    """Per pod: a share of what is requested in percent (`utilization`), or an amount (`value`)."""

    utilization: int | None = None
    value: int | None = None


class Asked(NamedTuple):
    """Pods wanted; the average in percent of what is requested (None for an amount) and as an amount."""

    replicas: int
    utilization: int | None
    average: int


class Tolerances(NamedTuple):
    down: float = TOLERANCE
    up: float = TOLERANCE

    def bear(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


def measured(metrics: Iterable[PodMetrics], resource: str, container: str = "") -> dict[str, Measured]:
    """By pod. A pod one of whose containers does not tell is left out. Raises Incalculable."""
    found: dict[str, Measured] = {}
    any_pod = False
    for pod in metrics:
        any_pod = True
        chosen = [each for each in pod.containers if not container or each.name == container]
        if container and not chosen:
            raise Incalculable(f"container {container} not present in metrics for pod {_name(pod)}")
        if chosen and all(resource in each.usage for each in chosen):
            value = sum(quantity.milli(each.usage[resource]) for each in chosen)
            window = float(pod.window.removesuffix("s") or 0)
            found[pod.metadata.name or ""] = Measured(value, unix(pod.timestamp), window)
    if not any_pod:
        raise Incalculable("no metrics returned from resource metrics API")
    if not found:
        raise Incalculable("unable to get metrics for resource " + resource + ": no metrics returned for any pod")
    return found


class Groups(NamedTuple):
    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def group(chosen: Sequence[core_v1.Pod], figures: Mapping[str, Measured], resource: str, now: float) -> Groups:
    ready = 0
    unready, missing, ignored = set(), set(), set()
    for pod in chosen:
        name = pod.metadata.name or ""
        figure = figures.get(name)
        if pod.metadata.deletionTimestamp is not None or pods.phase(pod) == "Failed":
            ignored.add(name)
        elif pods.phase(pod) == "Pending":
            unready.add(name)
        elif figure is None:
            missing.add(name)
        elif resource == "cpu" and _starting(pod, figure, now):
            unready.add(name)
        else:
            ready += 1
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _starting(pod: core_v1.Pod, figure: Measured, now: float) -> bool:
    condition = pods.condition(pod, "Ready")
    started = unix(pod.status.startTime)
    if condition is None or not started:
        return True
    changed = unix(condition.lastTransitionTime)
    if started + CPU_INITIALIZATION > now:
        return condition.status == "False" or figure.at < changed + figure.window
    return condition.status == "False" and started + INITIAL_READINESS > changed


def requested(chosen: Iterable[core_v1.Pod], resource: str, container: str = "") -> dict[str, int]:
    """What each pod requests. Raises Incalculable."""
    found: dict[str, int] = {}
    for pod in chosen:
        sidecars = [each for each in pod.spec.initContainers if each.restartPolicy == "Always"]
        total = 0
        for each in (*pod.spec.containers, *sidecars):
            if container and each.name != container:
                continue
            given = each.resources.requests.get(resource) if each.resources is not None else None
            if given is None:
                raise Incalculable(f"missing request for {resource} in container {each.name} of Pod {_name(pod)}")
            total += quantity.milli(given)
        found[pod.metadata.name or ""] = total
    return found


def wanted(
    current: int,
    target: Target,
    resource: str,
    chosen: Sequence[core_v1.Pod],
    figures: Mapping[str, Measured],
    now: float,
    *,
    container: str = "",
    tolerances: Tolerances = Tolerances(),
) -> Asked:
    """Raises Incalculable.

    Pods that do not tell and pods that are starting are counted so that they damp the change: at what is aimed for
    when there seem to be too many pods, at nothing when there seem to be too few.
    """
    if not chosen:
        raise Incalculable("no pods returned by selector while calculating replica count")
    groups = group(chosen, figures, resource, now)
    left = {name: each.value for name, each in figures.items() if name not in groups.unready | groups.ignored}
    known = {pod.metadata.name or "" for pod in chosen}
    left = {name: value for name, value in left.items() if name in known}
    if not left:
        raise Incalculable("did not receive metrics for targeted pods (pods might be unready)")
    requests = requested(chosen, resource, container) if target.utilization is not None else {}
    ratio, utilization, average = _ratio(left, requests, target)
    starting = bool(groups.unready) and ratio > 1.0
    if not starting and not groups.missing:
        replicas = current if tolerances.bear(ratio) else math.ceil(ratio * groups.ready - 1e-9)
        return Asked(replicas, utilization, average)
    for name in groups.missing:
        if ratio < 1.0:
            left[name] = _aimed_at(target, requests.get(name, 0))
        elif ratio > 1.0:
            left[name] = 0
    if starting:
        left |= dict.fromkeys(groups.unready, 0)
    again, _, _ = _ratio(left, requests, target)
    turned = (ratio < 1.0 < again) or (again < 1.0 < ratio)
    replicas = math.ceil(again * len(left) - 1e-9)
    against = (again < 1.0 and replicas > current) or (again > 1.0 and replicas < current)
    if tolerances.bear(again) or turned or against:
        replicas = current
    return Asked(replicas, utilization, average)


def _aimed_at(target: Target, request: int) -> int:
    if target.utilization is not None:
        return request * max(100, target.utilization) // 100
    return target.value or 0


def _ratio(values: Mapping[str, int], requests: Mapping[str, int], target: Target) -> tuple[float, int | None, int]:
    """Of use and target; the average in percent and as an amount. Raises Incalculable."""
    average = sum(values.values()) // len(values)
    if target.utilization is None:
        return (average / target.value if target.value else 1.0), None, average
    total = sum(requests.get(name, 0) for name in values)
    if not total:
        raise Incalculable("no metrics returned matched known pods")
    percent = sum(values.values()) * 100 // total
    return percent / target.utilization, percent, average


def _name(object: PodMetrics | core_v1.Pod) -> str:
    return object.metadata.name or ""
