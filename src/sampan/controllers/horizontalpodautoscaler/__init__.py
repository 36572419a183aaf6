"""HorizontalPodAutoscalers: as many pods as it takes for each to use what it should.

    every PERIOD seconds: scale of the target -> pods' metrics -> judge (metrics, replicas) -> normalize (behavior)
        -> scale again -> status, conditions, events

behavior.py  how fast pods may be added and taken away
metrics.py   what the metrics of an autoscaler ask for together
replicas.py  how many pods one metric asks for
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from sampan.api import kinds, selectors
from sampan.api.errors import StatusError
from sampan.api.extra.metrics_v1beta1 import PodMetrics
from sampan.api.kinds.kind import Kind
from sampan.api.types import autoscaling_v1, core_v1
from sampan.api.types.autoscaling_v2 import (
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus,
    MetricStatus,
)
from sampan.client.cache import Key, key_of
from sampan.client.client import Client
from sampan.client.discovery import discover
from sampan.controllers.horizontalpodautoscaler import behavior, metrics
from sampan.controllers.horizontalpodautoscaler.behavior import History, Said
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Call, Emit, Plan, Requeue, UpdateStatus, View
from sampan.runtime.clock import rfc3339
from sampan.runtime.controller import Controller, unless_unchanged

PERIOD = 15.0
"""Seconds between two looks at the metrics of one autoscaler."""

Scale = autoscaling_v1.Scale
_SCALE = msgspec.json.Decoder(Scale)
_SCALED = {(kind.group, kind.name): kind for kind in kinds.ALL if any(sub.name == "scale" for sub in kind.subresources)}


class Target(NamedTuple):
    """What is scaled: its kind, and the scale that the server shows."""

    kind: Kind
    scale: Scale


class Sketch:
    """The status in the making: conditions are put one after the other."""

    def __init__(self, autoscaler: HorizontalPodAutoscaler, now: float) -> None:
        self.autoscaler = autoscaler
        self.conditions = {each.type: each for each in autoscaler.status.conditions}
        self.status = autoscaler.status
        self._now = rfc3339(now)

    def put(self, type: str, said: Said) -> None:
        old = self.conditions.get(type)
        since = old.lastTransitionTime if old is not None and old.status == said.status else self._now
        self.conditions[type] = HorizontalPodAutoscalerCondition(
            type=type,
            status=said.status,
            reason=said.reason,
            message=said.message,
            lastTransitionTime=since,
        )

    def count(self, current: int, desired: int, statuses: tuple[MetricStatus, ...], *, scaled: bool) -> None:
        self.status = HorizontalPodAutoscalerStatus(
            observedGeneration=self.autoscaler.metadata.generation,
            lastScaleTime=self._now if scaled else self.autoscaler.status.lastScaleTime,
            currentReplicas=current,
            desiredReplicas=desired,
            currentMetrics=statuses,
        )

    def write(self) -> Plan:
        made = replace(self.status, conditions=tuple(self.conditions.values()))
        if made != self.autoscaler.status:
            yield UpdateStatus(replace(self.autoscaler, status=made))


def plan(autoscaler: HorizontalPodAutoscaler, view: View, history: History) -> Plan:
    if autoscaler.metadata.deletionTimestamp is not None:
        return
    yield Requeue(PERIOD)
    sketch = Sketch(autoscaler, view.now)
    target = yield from _target(autoscaler, sketch)
    if target is None:
        yield from sketch.write()
        return
    current = target.scale.spec.replicas or 0
    decided = yield from _decide(autoscaler, target, current, view, history, sketch)
    if decided is None:
        sketch.count(current, autoscaler.status.desiredReplicas, autoscaler.status.currentMetrics, scaled=False)
    else:
        desired, why, statuses = decided
        scaled = desired != current and (yield from _rescale(autoscaler, target, desired, why, sketch))
        if scaled:
            history.changed(desired - current, view.now, autoscaler)
        sketch.count(target.scale.status.replicas, desired if scaled else current, statuses, scaled=scaled)
    yield from sketch.write()


Decision = tuple[int, str, tuple[MetricStatus, ...]]


def _decide(
    autoscaler: HorizontalPodAutoscaler, target: Target, current: int, view: View, history: History, sketch: Sketch
) -> Any:
    """How many pods, why, and what the metrics said; None when that cannot be told."""
    least = autoscaler.spec.minReplicas if autoscaler.spec.minReplicas is not None else 1
    if not current and least:
        text = "scaling is disabled since the replica count of the target is zero"
        sketch.put("ScalingActive", Said("False", "ScalingDisabled", text))
        return current, "", ()
    if current > autoscaler.spec.maxReplicas:
        return autoscaler.spec.maxReplicas, "Current number of replicas above Spec.MaxReplicas", ()
    if current < least:
        return least, "Current number of replicas below Spec.MinReplicas", ()
    situation = yield from _situation(autoscaler, target, current, view, sketch)
    if situation is None:
        return None
    verdict = metrics.judge(autoscaler, situation)
    for failure in verdict.failures:
        yield Emit(autoscaler, "Warning", failure.reason, failure.message)
    if verdict.failure is not None:
        text = f"the HPA was unable to compute the replica count: {verdict.failure.message}"
        sketch.put("ScalingActive", Said("False", verdict.failure.reason, text))
        yield Emit(autoscaler, "Warning", "FailedComputeMetricsReplicas", verdict.error)
        return None
    text = f"the HPA was able to successfully calculate a replica count from {verdict.name}"
    sketch.put("ScalingActive", Said("True", "ValidMetricFound", text))
    why = f"{verdict.name} above target" if verdict.replicas > current else "All metrics below target"
    normal = behavior.normalize(autoscaler, current, verdict.replicas, history, view.now)
    sketch.put("AbleToScale", normal.able)
    sketch.put("ScalingLimited", normal.limited)
    return normal.replicas, why, verdict.statuses


def _situation(autoscaler: HorizontalPodAutoscaler, target: Target, current: int, view: View, sketch: Sketch) -> Any:
    """The target's pods and their figures; None when the target does not say which they are."""
    namespace, text = autoscaler.metadata.namespace or "", target.scale.status.selector
    if not text:
        yield Emit(autoscaler, "Warning", "SelectorRequired", "selector is required")
        text = "the HPA target's scale is missing a selector"
        sketch.put("ScalingActive", Said("False", "InvalidSelector", text))
        return None
    selector = selectors.labels(text)
    others = [each for each in view.within(HorizontalPodAutoscaler, namespace) if _same_target(each, autoscaler)]
    if len(others) > 1:
        names = " ".join(sorted(each.metadata.name or "" for each in others))
        told = f"pods by selector {text} are controlled by multiple HPAs: [{names}]"
        yield Emit(autoscaler, "Warning", "AmbiguousSelector", told)
        sketch.put("ScalingActive", Said("False", "AmbiguousSelector", told))
        return None
    chosen = [pod for pod in view.within(core_v1.Pod, namespace) if selector.matches(pod.metadata.labels)]
    trouble = ""
    usage: tuple[PodMetrics, ...] = ()
    try:
        usage = yield Call(lambda client: _usage(client, namespace, text))
    except StatusError as error:
        trouble = f"unable to fetch metrics from resource metrics API: {error}"
    return metrics.Situation(current, chosen, usage, view.now, trouble)


async def _usage(client: Client, namespace: str, selector: str) -> tuple[PodMetrics, ...]:
    return tuple((await client.list(PodMetrics, namespace, labels=selector)).items)


def _same_target(one: HorizontalPodAutoscaler, other: HorizontalPodAutoscaler) -> bool:
    mine, its = one.spec.scaleTargetRef, other.spec.scaleTargetRef
    group = (mine.apiVersion or "").rpartition("/")[0]
    return (group, mine.kind, mine.name) == ((its.apiVersion or "").rpartition("/")[0], its.kind, its.name)


# --- the target ---


def _target(autoscaler: HorizontalPodAutoscaler, sketch: Sketch) -> Any:
    """What is scaled, None when there is no such thing."""
    try:
        found = yield Call(lambda client: find(client, autoscaler))
    except StatusError as error:
        yield Emit(autoscaler, "Warning", "FailedGetScale", str(error))
        text = f"the HPA controller was unable to get the target's current scale: {error}"
        sketch.put("AbleToScale", Said("False", "FailedGetScale", text))
        return None
    if found is None:
        wanted = autoscaler.spec.scaleTargetRef
        text = f'no matches for kind "{wanted.kind}" in group "{(wanted.apiVersion or "").rpartition("/")[0]}"'
        yield Emit(autoscaler, "Warning", "FailedGetScale", text)
        text = f"the HPA controller was unable to get the target's current scale: {text}"
        sketch.put("AbleToScale", Said("False", "FailedGetScale", text))
        return None
    text = "the HPA controller was able to get the target's current scale"
    sketch.put("AbleToScale", Said("True", "SucceededGetScale", text))
    return found


async def find(client: Client, autoscaler: HorizontalPodAutoscaler) -> Target | None:
    """None when no kind of that name can be scaled. Raises StatusError."""
    wanted = autoscaler.spec.scaleTargetRef
    named = ((wanted.apiVersion or "").rpartition("/")[0], wanted.kind)
    kind = _SCALED.get(named)
    if kind is None:
        own = (await discover(client)).kinds
        kind = next((each for each in own if (each.group, each.name) == named), None)
    if kind is None:
        return None
    path = kind.path(autoscaler.metadata.namespace or "", wanted.name, "scale")
    response = await client.raw("GET", path)
    return Target(kind, _SCALE.decode(await response.read()))


def _rescale(autoscaler: HorizontalPodAutoscaler, target: Target, desired: int, why: str, sketch: Sketch) -> Any:
    """Whether the target has its new size."""
    scale = replace(target.scale, spec=replace(target.scale.spec, replicas=desired))
    path = target.kind.path(autoscaler.metadata.namespace or "", autoscaler.spec.scaleTargetRef.name, "scale")
    body = msgspec.json.encode(scale)
    try:
        yield Call(lambda client: client.raw("PUT", path, None, body))
    except StatusError as error:
        told = f"New size: {desired}; reason: {why}; error: {error}"
        yield Emit(autoscaler, "Warning", "FailedRescale", told)
        text = f"the HPA controller was unable to update the target scale: {error}"
        sketch.put("AbleToScale", Said("False", "FailedUpdateScale", text))
        return False
    yield Emit(autoscaler, "Normal", "SuccessfulRescale", f"New size: {desired}; reason: {why}")
    text = f"the HPA controller was able to update the target scale to {desired}"
    sketch.put("AbleToScale", Said("True", "SucceededRescale", text))
    return True


class Histories:
    """What the autoscalers of this process remember, by key; those that are gone are forgotten."""

    def __init__(self) -> None:
        self._histories: dict[Key, History] = {}

    def plan(self, autoscaler: HorizontalPodAutoscaler, view: View) -> Plan:
        return plan(autoscaler, view, self._histories.setdefault(key_of(autoscaler), History()))

    def gone(self, key: Key, view: View) -> Plan:
        self._histories.pop(key, None)
        yield from ()


def declare(settings: Settings) -> Controller:
    histories = Histories()
    return Controller(
        name="horizontal-pod-autoscaler-controller",
        primary=HorizontalPodAutoscaler,
        plan=histories.plan,
        gone=histories.gone,
        reads=(core_v1.Pod,),
        changed=unless_unchanged(lambda autoscaler: (autoscaler.spec, autoscaler.metadata.deletionTimestamp)),
    )
