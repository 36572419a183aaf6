"""ReplicationControllers: what ReplicaSets were before, with a plain map as selector."""

from __future__ import annotations

from sampan.api import selectors
from sampan.api.kinds import core
from sampan.api.types import core_v1
from sampan.controllers import owners, pods
from sampan.controllers.replicas import Shape, planner
from sampan.controllers.settings import Settings
from sampan.runtime.controller import Controller, Watch


def selector(owner: core_v1.ReplicationController) -> selectors.Selector:
    return selectors.of_map(owner.spec.selector)


SHAPE = Shape(
    core.REPLICATION_CONTROLLER,
    core_v1.ReplicationControllerStatus,
    core_v1.ReplicationControllerCondition,
    selector,
)

plan = planner(SHAPE)


def declare(settings: Settings) -> Controller:
    return Controller(
        name="replication-controller",
        primary=core_v1.ReplicationController,
        plan=plan,
        watches=(Watch(core_v1.Pod, owners.keys_of_owner(core.REPLICATION_CONTROLLER, selector), pods.matters),),
        indexes={
            core_v1.Pod: {owners.BY_CONTROLLER: owners.controller_uid},
            core_v1.ReplicationController: {owners.BY_CONTROLLER: owners.controller_uid},
        },
    )
