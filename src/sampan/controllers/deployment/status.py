"""A Deployment's counts and conditions: Available, Progressing with its deadline, ReplicaFailure."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from msgspec.structs import replace

from sampan.api.types import apps_v1
from sampan.controllers.deployment.sets import Sets, margins, size
from sampan.runtime.actions import Action, Plan, Requeue, UpdateStatus, View
from sampan.runtime.clock import rfc3339, unix

Condition = apps_v1.DeploymentCondition
NO_DEADLINE = 2**31 - 1
AVAILABLE_REASON = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"


def has_deadline(deployment: apps_v1.Deployment) -> bool:
    deadline = deployment.spec.progressDeadlineSeconds
    return deadline is not None and deadline != NO_DEADLINE


def observe(deployment: apps_v1.Deployment, sets: Sets) -> apps_v1.DeploymentStatus:
    """The counts that the ReplicaSets make; conditions are still the old ones."""
    statuses = [each.status for each in sets.all]
    new = sets.new.status if sets.new is not None else apps_v1.ReplicaSetStatus()
    up = sum(each.availableReplicas or 0 for each in statuses)
    wanted = sum(size(each) for each in sets.all)
    return replace(
        deployment.status,
        observedGeneration=deployment.metadata.generation,
        replicas=sum(each.replicas for each in statuses) or None,
        updatedReplicas=new.replicas or None,
        readyReplicas=sum(each.readyReplicas or 0 for each in statuses) or None,
        availableReplicas=up or None,
        unavailableReplicas=max(0, wanted - up) or None,
        terminatingReplicas=sum(each.terminatingReplicas or 0 for each in statuses),
    )


def is_complete(deployment: apps_v1.Deployment, status: apps_v1.DeploymentStatus) -> bool:
    wanted = size(deployment)
    counts = status.updatedReplicas or 0, status.replicas or 0, status.availableReplicas or 0
    return counts == (wanted,) * 3 and (status.observedGeneration or 0) >= (deployment.metadata.generation or 0)


def report(deployment: apps_v1.Deployment, sets: Sets, view: View, *, progress: bool) -> Plan:
    """Write the status if it changed. With `progress`, judge the rollout too, and come back at its deadline."""
    status = observe(deployment, sets)
    conditions = _set(status.conditions, _availability(deployment, status), view.now)
    if not has_deadline(deployment):
        conditions = _without(conditions, "Progressing")
    elif progress:
        conditions = _progress(deployment, status, conditions, sets, view.now)
    if progress:
        conditions = _failure(conditions, sets, view.now)
    status = replace(status, conditions=conditions)
    # What `view` holds was read before; the planner itself may have set a condition on its way.
    before = view.get(apps_v1.Deployment, deployment.metadata.name or "", deployment.metadata.namespace or "")
    if status != (before.status if before is not None else deployment.status):
        yield UpdateStatus(replace(deployment, status=status))
    if progress and (wait := _wait(deployment, status, view.now)) is not None:
        yield Requeue(wait)


def mark_pause(deployment: apps_v1.Deployment, view: View) -> Generator[Action, Any, apps_v1.Deployment]:
    """A paused rollout makes no progress and shall not be blamed for it."""
    current = condition(deployment, "Progressing")
    paused = bool(deployment.spec.paused)
    marked = current is not None and current.reason == "DeploymentPaused"
    if not has_deadline(deployment) or paused == marked or (current and current.reason == TIMED_OUT):
        return deployment
    reason, message = (
        ("DeploymentPaused", "Deployment is paused") if paused else ("DeploymentResumed", "Deployment is resumed")
    )
    changed: apps_v1.Deployment = yield UpdateStatus(with_progress(deployment, "Unknown", reason, message, view.now))
    return changed


def condition(deployment: apps_v1.Deployment, type: str) -> Condition | None:
    return _find(deployment.status.conditions, type)


def with_progress(
    deployment: apps_v1.Deployment, status: str, reason: str, message: str, now: float
) -> apps_v1.Deployment:
    observed = deployment.status
    made = Condition(type="Progressing", status=status, reason=reason, message=message)
    return replace(deployment, status=replace(observed, conditions=_set(observed.conditions, made, now)))


def _find(conditions: tuple[Condition, ...], type: str) -> Condition | None:
    return next((each for each in conditions if each.type == type), None)


def _without(conditions: tuple[Condition, ...], type: str) -> tuple[Condition, ...]:
    return tuple(each for each in conditions if each.type != type)


def _set(conditions: tuple[Condition, ...], made: Condition, now: float) -> tuple[Condition, ...]:
    """Put it in place; times tell when the status and when anything of it changed last."""
    before = _find(conditions, made.type or "")
    if before is not None and (before.status, before.reason) == (made.status, made.reason):
        return conditions
    kept = before.lastTransitionTime if before is not None and before.status == made.status else None
    made = replace(made, lastUpdateTime=rfc3339(now), lastTransitionTime=kept or rfc3339(now))
    return (*_without(conditions, made.type or ""), made)


def _availability(deployment: apps_v1.Deployment, status: apps_v1.DeploymentStatus) -> Condition:
    if (status.availableReplicas or 0) >= size(deployment) - margins(deployment).unavailable:
        reason, message = "MinimumReplicasAvailable", "Deployment has minimum availability."
        return Condition(type="Available", status="True", reason=reason, message=message)
    reason, message = "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
    return Condition(type="Available", status="False", reason=reason, message=message)


def _progress(
    deployment: apps_v1.Deployment,
    status: apps_v1.DeploymentStatus,
    conditions: tuple[Condition, ...],
    sets: Sets,
    now: float,
) -> tuple[Condition, ...]:
    current = _find(conditions, "Progressing")
    settled = (status.replicas or 0) == (status.updatedReplicas or 0)
    if settled and current is not None and current.reason == AVAILABLE_REASON:
        return conditions
    name = f'ReplicaSet "{sets.new.metadata.name}"' if sets.new else f'Deployment "{deployment.metadata.name}"'
    if is_complete(deployment, status):
        made = Condition(status="True", reason=AVAILABLE_REASON, message=f"{name} has successfully progressed.")
        return _set(conditions, replace(made, type="Progressing"), now)
    if _has_moved(deployment.status, status):
        kept = current.lastTransitionTime if current is not None and current.status == "True" else None
        made = Condition(
            type="Progressing",
            status="True",
            reason="ReplicaSetUpdated",
            message=f"{name} is progressing.",
            lastUpdateTime=rfc3339(now),
            lastTransitionTime=kept or rfc3339(now),
        )
        return (*_without(conditions, "Progressing"), made)
    if _timed_out(deployment, current, now):
        made = Condition(status="False", reason=TIMED_OUT, message=f"{name} has timed out progressing.")
        return _set(conditions, replace(made, type="Progressing"), now)
    return conditions


def _has_moved(old: apps_v1.DeploymentStatus, new: apps_v1.DeploymentStatus) -> bool:
    def outdated(status: apps_v1.DeploymentStatus) -> int:
        return (status.replicas or 0) - (status.updatedReplicas or 0)

    return (
        (new.updatedReplicas or 0) > (old.updatedReplicas or 0)
        or outdated(new) < outdated(old)
        or (new.readyReplicas or 0) > (old.readyReplicas or 0)
        or (new.availableReplicas or 0) > (old.availableReplicas or 0)
    )


def _timed_out(deployment: apps_v1.Deployment, current: Condition | None, now: float) -> bool:
    if current is None or current.reason == AVAILABLE_REASON:
        return False
    if current.reason == TIMED_OUT:
        return True
    deadline = deployment.spec.progressDeadlineSeconds or 0
    return unix(current.lastUpdateTime) + deadline < now


def _failure(conditions: tuple[Condition, ...], sets: Sets, now: float) -> tuple[Condition, ...]:
    """What keeps a ReplicaSet from making pods is told here too, the new one's first."""
    candidates = (sets.new, *sets.old) if sets.new is not None else sets.old
    for each in candidates:
        for found in each.status.conditions:
            if found.type == "ReplicaFailure" and found.status == "True":
                made = Condition(type="ReplicaFailure", status="True", reason=found.reason, message=found.message)
                return _set(conditions, made, now)
    return _without(conditions, "ReplicaFailure")


def _wait(deployment: apps_v1.Deployment, status: apps_v1.DeploymentStatus, now: float) -> float | None:
    """Seconds until the deadline could pass; None when the rollout is done, or judged already."""
    current = _find(status.conditions, "Progressing")
    if not has_deadline(deployment) or current is None or current.reason == TIMED_OUT:
        return None
    if is_complete(deployment, status):
        return None
    deadline = deployment.spec.progressDeadlineSeconds or 0
    return max(1.0, unix(current.lastUpdateTime) + deadline - now + 1)
