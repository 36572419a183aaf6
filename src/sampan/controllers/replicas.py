"""As many pods as wanted: the planner that ReplicaSets and ReplicationControllers share."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Kind
from sampan.api.selectors import Selector
from sampan.api.types import core_v1, meta_v1
from sampan.controllers import owners, pods, ranking
from sampan.runtime.actions import Action, Batch, Create, Delete, Emit, Plan, Refused, Requeue, UpdateStatus, View
from sampan.runtime.clock import rfc3339

BURST = 500
"""Pods that one reconciliation creates or deletes at most."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How the two kinds differ."""

    kind: Kind
    status: type[Any]
    condition: type[Any]
    selector: Callable[[Any], Selector]


def planner(shape: Shape) -> Callable[[Any, View], Plan]:
    def plan(owner: Any, view: View) -> Plan:
        selector = shape.selector(owner)
        mine: list[core_v1.Pod] = yield from owners.claim(core_v1.Pod, owner, shape.kind, selector, view)
        failure: tuple[str, StatusError] | None = None
        if owner.metadata.deletionTimestamp is None:
            mine, failure = yield from _scale(shape, owner, mine, view)
        yield from _report(shape, owner, mine, failure, view)
        if failure is not None:
            raise failure[1]
        yield from _wait_for_availability(owner, mine, view)

    return plan


def _scale(
    shape: Shape, owner: Any, mine: list[core_v1.Pod], view: View
) -> Generator[Action, Any, tuple[list[core_v1.Pod], tuple[str, StatusError] | None]]:
    active = [pod for pod in mine if pods.is_active(pod)]
    missing = _wanted(owner) - len(active)
    if missing > 0:
        created, error = yield from _create(shape, owner, min(missing, BURST))
        return mine + created, ("FailedCreate", error) if error else None
    if missing < 0:
        related = _related(owner, view) or active
        chosen = ranking.first_to_go(active, related, min(-missing, BURST), view.now)
        error = yield from _delete(owner, chosen)
        gone = {pod.metadata.uid for pod in chosen}
        left = mine if error else [pod for pod in mine if pod.metadata.uid not in gone]
        return left, ("FailedDelete", error) if error else None
    return mine, None


def _wanted(owner: Any) -> int:
    replicas = owner.spec.replicas
    return 1 if replicas is None else int(replicas)


def _create(
    shape: Shape, owner: Any, count: int
) -> Generator[Action, Any, tuple[list[core_v1.Pod], StatusError | None]]:
    pod = new_pod(owner, owner.spec.template, shape.kind)
    error: StatusError | None = None
    try:
        created: Sequence[core_v1.Pod] = yield Batch([Create(pod)] * count)
    except Refused as refused:
        created, error = refused.answers, refused.error
    for each in created:
        yield Emit(owner, "Normal", "SuccessfulCreate", f"Created pod: {each.metadata.name}")
    if error is not None:
        yield Emit(owner, "Warning", "FailedCreate", f"Error creating: {error}")
    return list(created), error


def _delete(owner: Any, chosen: Sequence[core_v1.Pod]) -> Generator[Action, Any, StatusError | None]:
    error: StatusError | None = None
    done = len(chosen)
    try:
        yield Batch([Delete(pod) for pod in chosen])
    except Refused as refused:
        error, done = refused.error, len(refused.answers)
    for pod in chosen[:done]:
        yield Emit(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")
    if error is not None:
        yield Emit(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
    return error


def new_pod(owner: Any, template: core_v1.PodTemplateSpec | None, kind: Kind) -> core_v1.Pod:
    """The pod that `template` describes, controlled by `owner`, named by the server."""
    template = template or core_v1.PodTemplateSpec()
    metadata = template.metadata or meta_v1.ObjectMeta()
    name = owner.metadata.name or ""
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            generateName=f"{name[:57]}-",
            namespace=owner.metadata.namespace,
            labels=metadata.labels,
            annotations=metadata.annotations,
            finalizers=metadata.finalizers,
            ownerReferences=(owners.reference(owner, kind),),
        ),
        spec=template.spec,
    )


def _related(owner: Any, view: View) -> list[core_v1.Pod]:
    """The pods of everything that the same controller controls, such as all ReplicaSets of a Deployment."""
    above = owners.controller_of(owner)
    if above is None:
        return []
    siblings = view.by(type(owner), owners.BY_CONTROLLER, above.uid)
    return [pod for sibling in siblings for pod in owners.owned(core_v1.Pod, sibling, view)]


def _report(
    shape: Shape, owner: Any, mine: Sequence[core_v1.Pod], failure: tuple[str, StatusError] | None, view: View
) -> Plan:
    status = observe(shape, owner, mine, failure, view.now)
    if status != owner.status:
        yield UpdateStatus(replace(owner, status=status))


def observe(
    shape: Shape, owner: Any, mine: Sequence[core_v1.Pod], failure: tuple[str, StatusError] | None, now: float
) -> Any:
    """The status that these pods make."""
    active = [pod for pod in mine if pods.is_active(pod)]
    labels = pods.template_labels(owner.spec.template).items()
    ready = [pod for pod in active if pods.is_ready(pod)]
    min_ready = owner.spec.minReadySeconds or 0
    counts: dict[str, Any] = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(labels <= pod.metadata.labels.items() for pod in active) or None,
        "readyReplicas": len(ready) or None,
        "availableReplicas": sum(not pods.available_in(pod, min_ready, now) for pod in ready) or None,
        "observedGeneration": owner.metadata.generation,
    }
    if "terminatingReplicas" in shape.status.__struct_fields__:
        counts["terminatingReplicas"] = sum(pods.is_terminating(pod) for pod in mine)
    old = owner.status or shape.status()
    return replace(old, **counts, conditions=_conditions(shape, old.conditions, failure, now))


def _conditions(
    shape: Shape, old: tuple[Any, ...], failure: tuple[str, StatusError] | None, now: float
) -> tuple[Any, ...]:
    """ReplicaFailure stands from the first refusal until creating and deleting works again."""
    others = tuple(each for each in old if each.type != "ReplicaFailure")
    if failure is None:
        return others
    before = next((each for each in old if each.type == "ReplicaFailure"), None)
    reason, error = failure
    if before is not None and before.status == "True" and before.reason == reason:
        return (*others, replace(before, message=str(error)))
    made = shape.condition(
        type="ReplicaFailure", status="True", reason=reason, message=str(error), lastTransitionTime=rfc3339(now)
    )
    return (*others, made)


def _wait_for_availability(owner: Any, mine: Sequence[core_v1.Pod], view: View) -> Plan:
    """Readiness that must last for a while makes no event when it has lasted."""
    min_ready = owner.spec.minReadySeconds or 0
    waits = [pods.available_in(pod, min_ready, view.now) for pod in mine if pods.is_active(pod)]
    pending = [wait for wait in waits if 0 < wait < float("inf")]
    if pending:
        yield Requeue(min(pending))
