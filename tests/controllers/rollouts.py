"""A Deployment in a world in which ReplicaSets do as they are told."""

from __future__ import annotations

from msgspec.structs import replace

from sampan.api.types import apps_v1
from sampan.controllers import deployment
from sampan.controllers.deployment import status
from sampan.controllers.settings import Settings
from sampan.testing.plans import names
from sampan.testing.world import World

DEPLOYMENT = deployment.declare(Settings())

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: %(replicas)s
  selector: {matchLabels: {app: web}}
  strategy: %(strategy)s
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "web:1"}]}
"""


def world(replicas: int = 10, strategy: str = "{}") -> World:
    made = World(DEPLOYMENT)
    made.load(WEB % {"replicas": replicas, "strategy": strategy})
    return made


def web(world: World) -> apps_v1.Deployment:
    return world.get(apps_v1.Deployment, "web")


def plan(world: World) -> list[str]:
    return names(world.plan(DEPLOYMENT, "web"))


def change_spec(world: World, **fields: object) -> None:
    before = web(world)
    generation = (before.metadata.generation or 0) + 1
    metadata = replace(before.metadata, generation=generation)
    world.add(replace(before, metadata=metadata, spec=replace(before.spec, **fields)))


def use_image(world: World, image: str) -> None:
    template = web(world).spec.template
    assert template.spec is not None
    containers = (replace(template.spec.containers[0], image=image),)
    change_spec(world, template=replace(template, spec=replace(template.spec, containers=containers)))


def images(world: World) -> dict[str, int]:
    """Image -> replicas of the ReplicaSet that runs it."""
    return {
        each.spec.template.spec.containers[0].image or "": each.spec.replicas or 0
        for each in world.all(apps_v1.ReplicaSet)
        if each.spec.template and each.spec.template.spec
    }


def replica_set(world: World, image: str) -> apps_v1.ReplicaSet:
    return next(
        each
        for each in world.all(apps_v1.ReplicaSet)
        if each.spec.template and each.spec.template.spec and each.spec.template.spec.containers[0].image == image
    )


def obey(world: World, *, available: dict[str, int] | None = None) -> None:
    """ReplicaSets have made their pods; those of `available` (by image) only so many that work."""
    for each in world.all(apps_v1.ReplicaSet):
        size = each.spec.replicas or 0
        assert each.spec.template is not None and each.spec.template.spec is not None
        image = each.spec.template.spec.containers[0].image or ""
        up = min(size, (available or {}).get(image, size))
        observed = replace(
            each.status,
            replicas=size,
            readyReplicas=up,
            availableReplicas=up,
            observedGeneration=each.metadata.generation,
        )
        world.add(replace(each, status=observed))


def roll_out(world: World) -> list[dict[str, int]]:
    """Reconcile and obey until nothing changes; the sizes after each reconciliation."""
    steps: list[dict[str, int]] = []
    for _ in range(100):
        before = world.all(apps_v1.ReplicaSet), web(world)
        plan(world)
        if not steps or images(world) != steps[-1]:
            steps.append(images(world))
        obey(world)
        if (world.all(apps_v1.ReplicaSet), web(world)) == before:
            return steps
        if images(world) == steps[-1] and status.is_complete(web(world), web(world).status):
            return steps
    raise AssertionError(f"no end: {steps}")


def condition(world: World, type: str) -> tuple[str | None, str | None]:
    found = status.condition(web(world), type)
    return (found.status, found.reason) if found is not None else (None, None)
