"""Which pods go first when there are too many: those whose loss hurts least (upstream's ActivePodsWithRanks)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cmp_to_key

from sampan.api.types import core_v1
from sampan.controllers import pods
from sampan.runtime.clock import unix

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"

_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def first_to_go(
    candidates: Sequence[core_v1.Pod], related: Iterable[core_v1.Pod], count: int, now: float
) -> list[core_v1.Pod]:
    """`count` of the candidates. `related` are the pods that should spread together: crowded nodes lose first."""
    if count >= len(candidates):
        return list(candidates)
    crowd = Counter(pod.spec.nodeName for pod in related if pods.is_active(pod))

    def compare(left: core_v1.Pod, right: core_v1.Pod) -> int:
        a, b = _rank(left, crowd), _rank(right, crowd)
        if a != b:
            return -1 if a < b else 1
        return _by_age(left, right, now)

    return sorted(candidates, key=cmp_to_key(compare))[:count]


def _rank(pod: core_v1.Pod, crowd: Counter[str | None]) -> tuple[int, ...]:
    """Unassigned, not running, not ready, cheap, crowded: the smaller the sooner it goes."""
    node = pod.spec.nodeName
    return bool(node), _PHASES.get(pods.phase(pod), 0), pods.is_ready(pod), _cost(pod), -crowd[node]


def _cost(pod: core_v1.Pod) -> int:
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if -(2**31) <= cost < 2**31 and str(cost) == text else 0


def _by_age(left: core_v1.Pod, right: core_v1.Pod, now: float) -> int:
    """Younger ones first, on a logarithmic scale so that equals are drawn by uid; then those that restart most."""
    if pods.is_ready(left):
        order = _younger(left, right, pods.ready_since(left), pods.ready_since(right), now)
        if order:
            return order
    if difference := pods.restarts(right) - pods.restarts(left):
        return difference
    created = unix(left.metadata.creationTimestamp), unix(right.metadata.creationTimestamp)
    return _younger(left, right, *created, now)


def _younger(left: core_v1.Pod, right: core_v1.Pod, a: float, b: float, now: float) -> int:
    if a == b:
        return 0
    if not a or not b:
        return -1 if not a else 1
    difference = _magnitude(now - a) - _magnitude(now - b)
    if difference:
        return difference
    return -1 if (left.metadata.uid or "") < (right.metadata.uid or "") else 1


def _magnitude(age: float) -> int:
    return int(math.log2(age)) if age >= 1 else 0
