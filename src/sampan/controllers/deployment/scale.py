"""Sizes of ReplicaSets: one of them set, or all in proportion when spec.replicas changes during a rollout."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from msgspec.structs import replace

from sampan.api.types import apps_v1
from sampan.controllers.deployment.revision import DESIRED, MAXIMUM
from sampan.controllers.deployment.sets import Sets, available, margins, size
from sampan.runtime.actions import Action, Emit, Update

Scaled = Generator[Action, Any, Sets]


def is_due(deployment: apps_v1.Deployment, sets: Sets) -> bool:
    """Somebody changed spec.replicas since the ReplicaSets were sized."""
    wanted = str(size(deployment))
    return any(each.metadata.annotations.get(DESIRED, wanted) != wanted for each in sets.active)


def set_size(deployment: apps_v1.Deployment, sets: Sets, which: apps_v1.ReplicaSet, count: int) -> Scaled:
    """Give one ReplicaSet `count` replicas, and note for whose size that was right."""
    before = size(which)
    notes = {DESIRED: str(size(deployment)), MAXIMUM: str(size(deployment) + margins(deployment).surge)}
    if before == count and notes.items() <= which.metadata.annotations.items():
        return sets
    metadata = replace(which.metadata, annotations={**which.metadata.annotations, **notes})
    spec = replace(which.spec, replicas=count)
    changed = yield Update(replace(which, metadata=metadata, spec=spec))
    if before != count:
        way = "up" if count > before else "down"
        message = f"Scaled {way} replica set {which.metadata.name} from {before} to {count}"
        yield Emit(deployment, "Normal", "ScalingReplicaSet", message)
    return sets.with_(changed)


def follow(deployment: apps_v1.Deployment, sets: Sets) -> Scaled:
    """Make the sizes add up to spec.replicas."""
    single = _only(sets)
    if single is not None:
        return (yield from set_size(deployment, sets, single, size(deployment)))
    if sets.new is not None and _is_saturated(deployment, sets.new):
        for old in sets.old:
            if size(old) > 0:
                sets = yield from set_size(deployment, sets, old, 0)
        return sets
    if deployment.spec.strategy.type != "Recreate":
        sets = yield from _in_proportion(deployment, sets)
    return sets


def _only(sets: Sets) -> apps_v1.ReplicaSet | None:
    """The one to size when there is no choice: the only active one, or the newest when none is."""
    active = sets.active
    if len(active) == 1:
        return active[0]
    if active:
        return None
    return sets.new or (sets.old[-1] if sets.old else None)


def _is_saturated(deployment: apps_v1.Deployment, new: apps_v1.ReplicaSet) -> bool:
    wanted = size(deployment)
    desired = new.metadata.annotations.get(DESIRED)
    return size(new) == wanted and desired == str(wanted) and available(new) == wanted


def _in_proportion(deployment: apps_v1.Deployment, sets: Sets) -> Scaled:
    active = sets.active
    allowed = size(deployment) + margins(deployment).surge if size(deployment) > 0 else 0
    change = allowed - sum(size(each) for each in active)
    for which, count in proportions(deployment, active, change):
        sets = yield from set_size(deployment, sets, which, count)
    return sets


def proportions(
    deployment: apps_v1.Deployment, active: Sequence[apps_v1.ReplicaSet], change: int
) -> list[tuple[apps_v1.ReplicaSet, int]]:
    """Spread `change` over the active ones by their sizes; what rounding leaves goes to the first."""
    newest_first = change > 0
    ordered = sorted(active, key=lambda each: each.metadata.creationTimestamp or "", reverse=newest_first)
    ordered.sort(key=size, reverse=True)
    sizes: list[int] = []
    done = 0
    for each in ordered:
        part = _part(deployment, each, change, done) if change else 0
        done += part
        sizes.append(size(each) + part)
    if sizes and change:
        sizes[0] = max(0, sizes[0] + change - done)
    return list(zip(ordered, sizes, strict=True))


def _part(deployment: apps_v1.Deployment, each: apps_v1.ReplicaSet, change: int, done: int) -> int:
    if size(each) == 0 or change == done:
        return 0
    fraction, allowed = _fraction(deployment, each), change - done
    return min(fraction, allowed) if change > 0 else max(fraction, allowed)


def _fraction(deployment: apps_v1.Deployment, each: apps_v1.ReplicaSet) -> int:
    wanted = size(deployment)
    if wanted == 0:
        return -size(each)
    most = wanted + margins(deployment).surge
    noted = each.metadata.annotations.get(MAXIMUM, "")
    observed = deployment.status.replicas or 0
    before = int(noted) if noted.isdigit() and int(noted) > 0 else observed
    if before == 0:
        return 0
    return int(size(each) * most / before + 0.5) - size(each)
