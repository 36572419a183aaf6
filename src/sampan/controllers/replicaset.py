"""ReplicaSets keep a number of pods alive."""

from __future__ import annotations

from sampan.api import selectors
from sampan.api.kinds import apps
from sampan.api.types import apps_v1, core_v1
from sampan.controllers import owners, pods
from sampan.controllers.replicas import Shape, planner
from sampan.controllers.settings import Settings
from sampan.runtime.controller import Controller, Watch


def selector(owner: apps_v1.ReplicaSet) -> selectors.Selector:
    return selectors.label_selector(owner.spec.selector)


SHAPE = Shape(apps.REPLICA_SET, apps_v1.ReplicaSetStatus, apps_v1.ReplicaSetCondition, selector)

plan = planner(SHAPE)


def declare(settings: Settings) -> Controller:
    return Controller(
        name="replicaset-controller",
        primary=apps_v1.ReplicaSet,
        plan=plan,
        watches=(Watch(core_v1.Pod, owners.keys_of_owner(apps.REPLICA_SET, selector), pods.matters),),
        indexes={
            core_v1.Pod: {owners.BY_CONTROLLER: owners.controller_uid},
            apps_v1.ReplicaSet: {owners.BY_CONTROLLER: owners.controller_uid},
        },
    )
