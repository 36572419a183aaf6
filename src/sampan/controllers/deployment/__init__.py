"""Deployments: revisions of a pod template, each a ReplicaSet, and the way from one to the next.

revision.py  which ReplicaSet is the new one, its name, its annotations
rolling.py   the new one grows and the old ones shrink within maxSurge and maxUnavailable
recreate.py  the old ones go, then the new one comes
scale.py     sizes follow spec.replicas, in proportion while a rollout is under way
status.py    counts and conditions, the progress deadline
history.py   old revisions beyond the limit are removed
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from msgspec.structs import replace

from sampan.api import selectors
from sampan.api.kinds import apps
from sampan.api.types import apps_v1, core_v1
from sampan.client.cache import Key
from sampan.controllers import owners, pods
from sampan.controllers.deployment import history, recreate, revision, rolling, scale, status
from sampan.controllers.deployment.sets import Sets
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Emit, Plan, UpdateStatus, View
from sampan.runtime.controller import Controller, Watch


def selector(owner: apps_v1.Deployment) -> selectors.Selector:
    return selectors.label_selector(owner.spec.selector)


def plan(deployment: apps_v1.Deployment, view: View) -> Plan:
    wanted = selector(deployment)
    if wanted.empty:
        yield from _refuse_everything(deployment)
        return
    owned = yield from owners.claim(apps_v1.ReplicaSet, deployment, apps.DEPLOYMENT, wanted, view)
    if deployment.metadata.deletionTimestamp is not None:
        yield from status.report(deployment, Sets.of(deployment, owned), view, progress=False)
        return
    deployment = yield from status.mark_pause(deployment, view)
    sets = Sets.of(deployment, owned)
    if deployment.spec.paused or scale.is_due(deployment, sets):
        deployment, sets = yield from revision.adopt_new(deployment, sets, view, create=False)
        sets = yield from scale.follow(deployment, sets)
        if deployment.spec.paused:
            yield from history.clean(deployment, sets)
        yield from status.report(deployment, sets, view, progress=False)
        return
    yield from _roll(deployment, sets, view)


def _roll(deployment: apps_v1.Deployment, sets: Sets, view: View) -> Plan:
    step = recreate.step if deployment.spec.strategy.type == "Recreate" else rolling.step
    deployment, sets = yield from step(deployment, sets, view)
    if status.is_complete(deployment, status.observe(deployment, sets)):
        yield from history.clean(deployment, sets)
    yield from status.report(deployment, sets, view, progress=True)


def _refuse_everything(deployment: apps_v1.Deployment) -> Generator[Action, Any, None]:
    message = "This deployment is selecting all pods. A non-empty selector is required."
    yield Emit(deployment, "Warning", "SelectingAll", message)
    observed = deployment.status
    if (observed.observedGeneration or 0) < (deployment.metadata.generation or 0):
        updated = replace(observed, observedGeneration=deployment.metadata.generation)
        yield UpdateStatus(replace(deployment, status=updated))


def _deployment_of_pod(pod: core_v1.Pod, view: View) -> tuple[Key, ...]:
    """A Recreate rollout waits until the last old pod is gone; a ReplicaSet's status does not show that."""
    controller = owners.controller_of(pod)
    if controller is None or controller.kind != "ReplicaSet":
        return ()
    namespace = pod.metadata.namespace or ""
    parent = view.get(apps_v1.ReplicaSet, controller.name, namespace)
    above = owners.controller_of(parent) if parent is not None else None
    deployment = view.get(apps_v1.Deployment, above.name, namespace) if above is not None else None
    if deployment is None or deployment.spec.strategy.type != "Recreate":
        return ()
    return ((namespace, deployment.metadata.name or ""),)


def _ends(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    return pods.is_terminal(old) != pods.is_terminal(new)


def declare(settings: Settings) -> Controller:
    return Controller(
        name="deployment-controller",
        primary=apps_v1.Deployment,
        plan=plan,
        watches=(
            Watch(apps_v1.ReplicaSet, owners.keys_of_owner(apps.DEPLOYMENT, selector)),
            Watch(core_v1.Pod, _deployment_of_pod, _ends),
        ),
        indexes={
            core_v1.Pod: {owners.BY_CONTROLLER: owners.controller_uid},
            apps_v1.ReplicaSet: {owners.BY_CONTROLLER: owners.controller_uid},
        },
    )
