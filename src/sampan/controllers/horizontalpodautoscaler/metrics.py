"""What each kind of metric of an autoscaler asks for, and how it is told in the status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sampan.api import quantity
from sampan.api.extra.metrics_v1beta1 import PodMetrics
from sampan.api.types import core_v1
from sampan.api.types.autoscaling_v2 import (
    ContainerResourceMetricStatus,
    HorizontalPodAutoscaler,
    HPAScalingRules,
    MetricSpec,
    MetricStatus,
    MetricTarget,
    MetricValueStatus,
    ResourceMetricStatus,
)
from sampan.controllers.horizontalpodautoscaler import replicas
from sampan.controllers.horizontalpodautoscaler.replicas import Asked, Incalculable, Target, Tolerances


@dataclass(frozen=True, slots=True)
class Situation:
    """What one round looks at: the target's size, its pods and what they use. `trouble` is why that is not known."""

    replicas: int
    pods: Sequence[core_v1.Pod]
    usage: Sequence[PodMetrics]
    now: float
    trouble: str = ""


class Answer(NamedTuple):
    """`name` is what a person calls the metric."""

    replicas: int
    name: str
    status: MetricStatus


class Failure(NamedTuple):
    """Why one metric tells nothing: reason of the condition and the event, and its message."""

    reason: str
    message: str


def evaluate(spec: MetricSpec, situation: Situation, tolerances: Tolerances) -> Answer | Failure:
    if spec.type == "Resource" and spec.resource is not None:
        source = spec.resource
        return _resource(source.name, "", source.target, situation, tolerances)
    if spec.type == "ContainerResource" and spec.containerResource is not None:
        own = spec.containerResource
        return _resource(own.name, own.container, own.target, situation, tolerances)
    reasons = {"Pods": "FailedGetPodsMetric", "Object": "FailedGetObjectMetric", "External": "FailedGetExternalMetric"}
    if spec.type in reasons:
        group = "external" if spec.type == "External" else "custom"
        return Failure(reasons[spec.type], f"no {group} metrics API is registered: use Resource or ContainerResource")
    return Failure("InvalidMetricSourceType", f'unknown metric source type "{spec.type}"')


def _resource(
    resource: str, container: str, given: MetricTarget, situation: Situation, tolerances: Tolerances
) -> Answer | Failure:
    reason = "FailedGetContainerResourceMetric" if container else "FailedGetResourceMetric"
    share = given.averageUtilization is not None
    if not share and given.averageValue is None:
        return Failure(
            reason, "invalid resource metric source: neither an average utilization nor an average value was set"
        )
    target = Target(given.averageUtilization, None if share else quantity.milli(given.averageValue or "0"))
    what = "utilization" if share else "value"
    try:
        if situation.trouble:
            raise Incalculable(situation.trouble)
        asked = replicas.wanted(
            situation.replicas,
            target,
            resource,
            situation.pods,
            replicas.measured(situation.usage, resource, container),
            situation.now,
            container=container,
            tolerances=tolerances,
        )
    except Incalculable as error:
        return Failure(reason, f"failed to get {resource} {what}: {error}")
    words = f"{resource} container resource" if container else f"{resource} resource"
    name = f"{words} utilization (percentage of request)" if share else words
    return Answer(asked.replicas, name, _status(resource, container, asked))


def _status(resource: str, container: str, asked: Asked) -> MetricStatus:
    current = MetricValueStatus(
        averageUtilization=asked.utilization, averageValue=quantity.canonical(f"{asked.average}m")
    )
    if container:
        own = ContainerResourceMetricStatus(name=resource, container=container, current=current)
        return MetricStatus(type="ContainerResource", containerResource=own)
    return MetricStatus(type="Resource", resource=ResourceMetricStatus(name=resource, current=current))


def tolerances(autoscaler: HorizontalPodAutoscaler) -> Tolerances:
    behavior = autoscaler.spec.behavior
    if behavior is None:
        return Tolerances()
    return Tolerances(_tolerance(behavior.scaleDown), _tolerance(behavior.scaleUp))


def _tolerance(rules: HPAScalingRules | None) -> float:
    given = rules.tolerance if rules is not None else None
    return replicas.TOLERANCE if given is None else float(quantity.parse(given))


class Verdict(NamedTuple):
    """What all metrics together ask for: `failure` alone when no number can be told.

    `failures` are told as events, whether or not the others suffice.
    """

    replicas: int
    name: str
    statuses: tuple[MetricStatus, ...]
    failure: Failure | None
    failures: tuple[Failure, ...]
    error: str = ""


def judge(autoscaler: HorizontalPodAutoscaler, situation: Situation) -> Verdict:
    """The most that any metric asks for. While some do not tell, pods are not taken away."""
    borne = tolerances(autoscaler)
    answers = [evaluate(spec, situation, borne) for spec in autoscaler.spec.metrics]
    good = [each for each in answers if isinstance(each, Answer)]
    bad = tuple(each for each in answers if isinstance(each, Failure))
    statuses = tuple(each.status for each in good)
    most = max(good, key=lambda each: each.replicas, default=None)
    if most is None or (bad and most.replicas < situation.replicas):
        if not bad:
            return Verdict(0, "", statuses, Failure("InvalidMetrics", "no metrics are given"), (), "no metrics")
        error = f"invalid metrics ({len(bad)} invalid out of {len(answers)}), first error is: {bad[0].message}"
        return Verdict(0, "", statuses, bad[0], bad, error)
    return Verdict(most.replicas, most.name, statuses, None, bad)
