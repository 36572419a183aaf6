"""Recreate: all old pods go before the first new one comes."""

from __future__ import annotations

from sampan.api.types import apps_v1, core_v1
from sampan.controllers import owners, pods
from sampan.controllers.deployment import revision, scale
from sampan.controllers.deployment.revision import Found
from sampan.controllers.deployment.sets import Sets, size
from sampan.runtime.actions import View


def step(deployment: apps_v1.Deployment, sets: Sets, view: View) -> Found:
    deployment, sets = yield from revision.adopt_new(deployment, sets, view, create=False)
    shrinking = [old for old in sets.old if size(old) > 0]
    for old in shrinking:
        sets = yield from scale.set_size(deployment, sets, old, 0)
    if shrinking or _old_pods_run(sets, view):
        return deployment, sets
    if sets.new is None:
        deployment, sets = yield from revision.adopt_new(deployment, sets, view, create=True)
    if sets.new is not None:
        sets = yield from scale.set_size(deployment, sets, sets.new, size(deployment))
    return deployment, sets


def _old_pods_run(sets: Sets, view: View) -> bool:
    """Terminating ones run too: they may hold what the new ones need."""
    return any(not pods.is_terminal(pod) for old in sets.old for pod in owners.owned(core_v1.Pod, old, view))
