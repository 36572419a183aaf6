"""A running pod gets other limits: which cgroup to change next, and what the pod says meanwhile. Pure.

A container can never have more than its pod: the pod grows first and shrinks last.
"""

from __future__ import annotations

from dataclasses import replace

import msgspec

from sampan.api.types import core_v1
from sampan.host.containers import Resources
from sampan.node.observation import PodObservation, Story
from sampan.node.plan import Plan, Resize

IN_PROGRESS, PENDING = "PodResizeInProgress", "PodResizePending"


def differs(story: Story, seen: PodObservation) -> bool:
    """Whether a running container has other limits than it should have."""
    wanted = seen.resources.get(story.name)
    if wanted is None or story.current is None or not story.running:
        return False
    return wanted != story.current.config.resources


def pod_differs(seen: PodObservation) -> bool:
    sandbox = seen.sandbox
    return sandbox is not None and seen.pod_resources is not None and sandbox.config.resources != seen.pod_resources


def in_progress(told: tuple[Story, ...], seen: PodObservation) -> bool:
    return pod_differs(seen) or any(differs(story, seen) for story in told)


def arrange(waiting: list[Story], seen: PodObservation, plan: Plan) -> None:
    """`waiting` are the containers that can be changed while they run."""
    sandbox, wanted = seen.sandbox, seen.pod_resources
    if sandbox is not None and wanted is not None and sandbox.config.resources != wanted:
        have = sandbox.config.resources
        room = larger(have, wanted) if waiting else wanted
        if have != room:
            plan.do(Resize(sandbox.id, "", room))
            return
    for story in waiting:
        if story.current is not None:
            plan.do(Resize(story.current.id, story.name, seen.resources[story.name]))


def larger(left: Resources, right: Resources) -> Resources:
    """Limits within which both fit; 0 means none."""
    return replace(
        right,
        cpu_shares=max(left.cpu_shares, right.cpu_shares),
        cpu_quota=_looser(left.cpu_quota, right.cpu_quota),
        memory_limit=_looser(left.memory_limit, right.memory_limit),
        pids_limit=_looser(left.pids_limit, right.pids_limit),
    )


def _looser(left: int, right: int) -> int:
    return max(left, right) if left and right else 0


def needs_restart(story: Story, seen: PodObservation) -> bool:
    """Whether other limits are wanted of which the container says that they need a restart."""
    container = story.current
    if container is None or not differs(story, seen):
        return False
    wanted, have = seen.resources[story.name], container.config.resources
    changed = set()
    if (wanted.cpu_quota, wanted.cpu_shares) != (have.cpu_quota, have.cpu_shares):
        changed.add("cpu")
    if wanted.memory_limit != have.memory_limit:
        changed.add("memory")
    return any(p.restartPolicy == "RestartContainer" and p.resourceName in changed for p in story.spec.resizePolicy)


def allocated(pod: core_v1.Pod) -> core_v1.Pod:
    """The pod with the resources that its status says it has: what it may use while a resize waits."""
    known = {each.name: each for each in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)}
    return msgspec.structs.replace(
        pod,
        spec=msgspec.structs.replace(
            pod.spec,
            containers=tuple(_allocated(each, known.get(each.name)) for each in pod.spec.containers),
            initContainers=tuple(_allocated(each, known.get(each.name)) for each in pod.spec.initContainers),
        ),
    )


def _allocated(spec: core_v1.Container, known: core_v1.ContainerStatus | None) -> core_v1.Container:
    if known is None or (known.resources is None and not known.allocatedResources):
        return spec
    actual = known.resources or core_v1.ResourceRequirements()
    resources = msgspec.structs.replace(
        spec.resources, requests=known.allocatedResources or actual.requests, limits=actual.limits
    )
    return msgspec.structs.replace(spec, resources=resources)


def changed(old: core_v1.PodSpec, new: core_v1.PodSpec) -> bool:
    """Whether a container asks for other resources than before."""
    before = [each.resources for each in (*old.initContainers, *old.containers)]
    return before != [each.resources for each in (*new.initContainers, *new.containers)]
