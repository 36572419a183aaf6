"""How fast an autoscaler may follow what metrics ask for: stabilization, policies, limits. Pure.

Source: "Configurable scaling behavior" of the Horizontal Pod Autoscaling documentation.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sampan.api.types.autoscaling_v2 import HorizontalPodAutoscaler, HPAScalingPolicy, HPAScalingRules

STABILIZATION = 300.0
"""Seconds for which a higher recommendation keeps pods, unless the behavior says otherwise."""
FASTEST, ALWAYS = 2.0, 4
"""Without a behavior: at most twice as many pods at once, four in any case."""


class Recommendation(NamedTuple):
    replicas: int
    at: float


class Change(NamedTuple):
    """Pods that were added (or, negative, removed) at once."""

    replicas: int
    at: float


@dataclass(slots=True)
class History:
    """What an autoscaler remembers between two rounds, in memory like upstream's: a restart begins anew."""

    recommendations: list[Recommendation] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def changed(self, by: int, now: float, autoscaler: HorizontalPodAutoscaler) -> None:
        longest = max((each.periodSeconds for each in _policies(autoscaler)), default=0)
        self.changes = [each for each in self.changes if each.at > now - longest]
        if longest:
            self.changes.append(Change(by, now))

    def added(self, period: float, now: float) -> int:
        return sum(each.replicas for each in self.changes if each.at > now - period)


class Said(NamedTuple):
    """What a condition tells."""

    status: str
    reason: str
    message: str


class Normal(NamedTuple):
    """What metrics ask for, made to fit; conditions AbleToScale and ScalingLimited."""

    replicas: int
    able: Said
    limited: Said


READY = Said("True", "ReadyForNewScale", "recommended size matches current size")
IN_RANGE = Said("False", "DesiredWithinRange", "the desired count is within the acceptable range")
TOO_MANY = Said("True", "TooManyReplicas", "the desired replica count is more than the maximum replica count")
TOO_FEW = Said("True", "TooFewReplicas", "the desired replica count is less than the minimum replica count")
UP_LIMIT = Said("True", "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
DOWN_LIMIT = Said(
    "True", "ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate"
)
HELD_DOWN = Said(
    "True",
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
HELD_UP = Said(
    "True",
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)


def normalize(autoscaler: HorizontalPodAutoscaler, current: int, desired: int, history: History, now: float) -> Normal:
    """The number of pods to have now, when the metrics ask for `desired`. Notes the recommendation."""
    behavior = autoscaler.spec.behavior
    up = behavior.scaleUp if behavior is not None else None
    down = behavior.scaleDown if behavior is not None else None
    lowest, highest = _recent(history, current, desired, now, _window(up, 0.0), _window(down, STABILIZATION))
    held = highest if behavior is None else min(max(current, lowest), highest)
    able = READY if held == desired else HELD_DOWN if desired >= current and behavior is not None else HELD_UP
    least = autoscaler.spec.minReplicas if autoscaler.spec.minReplicas is not None else 1
    most = autoscaler.spec.maxReplicas
    if behavior is None:
        replicas, limited = _bounded(current, held, least, most)
    else:
        replicas, limited = _paced(current, held, least, most, history, now, up, down)
    return Normal(replicas, able, limited)


def _window(rules: HPAScalingRules | None, default: float) -> float:
    given = rules.stabilizationWindowSeconds if rules is not None else None
    return default if given is None else float(given)


def _recent(history: History, current: int, desired: int, now: float, up: float, down: float) -> tuple[int, int]:
    """The lowest recommendation of the last `up` seconds, and the highest of the last `down` seconds."""
    if not history.recommendations:
        history.recommendations.append(Recommendation(current, now))
    before = [each for each in history.recommendations if each.at > now - max(up, down)]
    lowest = min([desired, *(each.replicas for each in before if each.at > now - up)])
    highest = max([desired, *(each.replicas for each in before if each.at > now - down)])
    history.recommendations = [*before, Recommendation(desired, now)]
    return lowest, highest


def _bounded(current: int, desired: int, least: int, most: int) -> tuple[int, Said]:
    if desired < least:
        return least, TOO_FEW
    limit = max(int(FASTEST * current), ALWAYS)
    if desired > min(limit, most):
        return (limit, UP_LIMIT) if limit < most else (most, TOO_MANY)
    return desired, IN_RANGE


def _paced(
    current: int,
    desired: int,
    least: int,
    most: int,
    history: History,
    now: float,
    up: HPAScalingRules | None,
    down: HPAScalingRules | None,
) -> tuple[int, Said]:
    if desired > current:
        limit = max(current, upper(current, up or HPAScalingRules(), history, now))
        if desired > min(limit, most):
            return (limit, UP_LIMIT) if limit < most else (most, TOO_MANY)
    elif desired < current:
        limit = min(current, lower(current, down or HPAScalingRules(), history, now))
        if desired < max(limit, least):
            return (limit, DOWN_LIMIT) if limit > least else (least, TOO_FEW)
    return desired, IN_RANGE


def upper(current: int, rules: HPAScalingRules, history: History, now: float) -> int:
    """The most pods that the policies allow now."""
    if rules.selectPolicy == "Disabled":
        return current
    found = []
    for policy in rules.policies:
        start = current - history.added(policy.periodSeconds, now)
        pods = policy.type == "Pods"
        found.append(start + policy.value if pods else math.ceil(start * (1 + policy.value / 100) - 1e-9))
    if not found:
        return sys.maxsize
    return min(found) if rules.selectPolicy == "Min" else max(found)


def lower(current: int, rules: HPAScalingRules, history: History, now: float) -> int:
    """The fewest pods that the policies allow now."""
    if rules.selectPolicy == "Disabled":
        return current
    found = []
    for policy in rules.policies:
        start = current - history.added(policy.periodSeconds, now)
        pods = policy.type == "Pods"
        found.append(start - policy.value if pods else int(start * (1 - policy.value / 100) + 1e-9))
    if not found:
        return 0
    return max(found) if rules.selectPolicy == "Min" else min(found)


def _policies(autoscaler: HorizontalPodAutoscaler) -> Iterable[HPAScalingPolicy]:
    behavior = autoscaler.spec.behavior
    for rules in (behavior.scaleUp, behavior.scaleDown) if behavior is not None else ():
        yield from rules.policies if rules is not None else ()
