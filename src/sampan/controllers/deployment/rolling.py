"""RollingUpdate: the new ReplicaSet grows and the old ones shrink, a step at a time."""

from __future__ import annotations

from sampan.api.types import apps_v1
from sampan.controllers.deployment import revision, scale
from sampan.controllers.deployment.revision import Found
from sampan.controllers.deployment.scale import Scaled
from sampan.controllers.deployment.sets import Sets, available, margins, size
from sampan.runtime.actions import View


def step(deployment: apps_v1.Deployment, sets: Sets, view: View) -> Found:
    """Grow, or when nothing may grow now, shrink."""
    deployment, sets = yield from revision.adopt_new(deployment, sets, view, create=True)
    before = sets
    sets = yield from grow(deployment, sets)
    if sets is before:
        sets = yield from shrink(deployment, sets)
    return deployment, sets


def grow(deployment: apps_v1.Deployment, sets: Sets) -> Scaled:
    if sets.new is None:
        return sets
    current, wanted = size(sets.new), size(deployment)
    if current == wanted:
        return sets
    count = wanted if current > wanted else revision.new_size(deployment, sets)
    return (yield from scale.set_size(deployment, sets, sets.new, count)) if count != current else sets


def shrink(deployment: apps_v1.Deployment, sets: Sets) -> Scaled:
    """Take from the old ones: first pods that do not work, then as many as availability allows."""
    if sets.new is None or not any(size(old) for old in sets.old):
        return sets
    least = size(deployment) - margins(deployment).unavailable
    total = sum(size(each) for each in sets.all)
    coming = size(sets.new) - available(sets.new)
    spare = total - least - coming
    if spare <= 0:
        return sets
    sets = yield from _drop_unhealthy(deployment, sets, spare)
    spare = sum(available(each) for each in sets.all) - least
    for old in sets.old:
        count = min(size(old), spare)
        if count > 0:
            sets = yield from scale.set_size(deployment, sets, old, size(old) - count)
            spare -= count
    return sets


def _drop_unhealthy(deployment: apps_v1.Deployment, sets: Sets, spare: int) -> Scaled:
    for old in sets.old:
        if size(old) == 0 or size(old) == available(old):
            continue
        count = min(spare, size(old) - available(old))
        if count > 0:
            sets = yield from scale.set_size(deployment, sets, old, size(old) - count)
            spare -= count
    return sets
