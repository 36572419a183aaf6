"""The statuses of a pod's containers: waiting, running or terminated, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sampan.api.types import core_v1
from sampan.host.containers import Container
from sampan.node import observation, resizing
from sampan.node.observation import Ending, PodObservation, Story
from sampan.runtime.clock import rfc3339

SCHEME = "sampan://"
UNKNOWN = "The container could not be located when the pod was terminated"
UNKNOWN_CODE = 137


def all_statuses(
    pod: core_v1.Pod,
    told: tuple[Story, ...],
    seen: PodObservation,
    end: Ending | None,
    phase: str,
    now: float,
) -> dict[str, Any]:
    """By field of the pod's status."""
    initialized = observation.is_initialized(told, seen)
    waiting = "PodInitializing" if pod.spec.initContainers and not initialized else "ContainerCreating"
    found: dict[str, list[core_v1.ContainerStatus]] = {"init": [], "main": [], "ephemeral": []}
    over = phase in ("Succeeded", "Failed")
    for story in told:
        state, last = _states(pod, story, seen, end, over, waiting, now)
        if over and initialized and story.role == "main" and state.terminated is None:
            state = _lost()
        made = _status(pod, story, seen, state, last)
        found["init" if story.role == "sidecar" else story.role].append(made)
    return {
        "initContainerStatuses": tuple(found["init"]),
        "containerStatuses": tuple(found["main"]),
        "ephemeralContainerStatuses": tuple(found["ephemeral"]),
    }


def _status(
    pod: core_v1.Pod, story: Story, seen: PodObservation, state: core_v1.ContainerState, last: core_v1.ContainerState
) -> core_v1.ContainerStatus:
    container, spec = story.current, story.spec
    running = state.running is not None
    given = _given(pod, story, seen) if running else None
    return core_v1.ContainerStatus(
        name=spec.name,
        image=spec.image or "",
        imageID=container.image_ref if container is not None else "",
        containerID=SCHEME + container.id if container is not None else None,
        restartCount=container.config.attempt if container is not None else seen.attempts.get(spec.name, 0),
        ready=observation.is_ready(story, seen) if story.role != "ephemeral" else False,
        started=observation.is_started(story, seen) if story.role != "ephemeral" else None,
        state=state,
        lastState=last,
        resources=given if given is not None and (given.requests or given.limits) else None,
        allocatedResources=_allocated(pod, story, seen) if running else {},
        user=_user(container) if running and container is not None else None,
        volumeMounts=tuple(
            core_v1.VolumeMountStatus(
                name=mount.name,
                mountPath=mount.mountPath,
                readOnly=mount.readOnly or None,
                recursiveReadOnly="Disabled" if mount.readOnly else None,
            )
            for mount in spec.volumeMounts
        ),
    )


def _known(pod: core_v1.Pod, story: Story) -> core_v1.ContainerStatus | None:
    listed = pod.status.initContainerStatuses if story.role == "sidecar" else pod.status.containerStatuses
    return next((each for each in listed if each.name == story.name), None)


def _given(pod: core_v1.Pod, story: Story, seen: PodObservation) -> core_v1.ResourceRequirements:
    """What the container really has: until a change is carried out, what it had."""
    known = _known(pod, story)
    if known is None or known.resources is None:
        return story.spec.resources
    waits = seen.resize is not None or resizing.differs(story, seen)
    return known.resources if waits else story.spec.resources


def _allocated(pod: core_v1.Pod, story: Story, seen: PodObservation) -> Mapping[str, str]:
    """What the node has granted."""
    known = _known(pod, story)
    return known.allocatedResources if known is not None and seen.resize is not None else story.spec.resources.requests


def _user(container: Container) -> core_v1.ContainerUser:
    groups = container.groups
    return core_v1.ContainerUser(
        linux=core_v1.LinuxContainerUser(uid=container.user, gid=groups[0] if groups else 0, supplementalGroups=groups)
    )


def _states(
    pod: core_v1.Pod, story: Story, seen: PodObservation, end: Ending | None, over: bool, reason: str, now: float
) -> tuple[core_v1.ContainerState, core_v1.ContainerState]:
    """(state, lastState)."""
    container = story.current
    before = terminated(story.previous, seen) if story.previous is not None else core_v1.ContainerState()
    wait = seen.waits.get(story.name) if end is None and not over else None
    if container is None:
        found = (wait.reason, wait.message) if wait is not None else (reason, "")
        return _waiting(*found), before
    if container.state == "running":
        if container.id in seen.hooking:
            return _waiting(reason), before
        return core_v1.ContainerState(
            running=core_v1.ContainerStateRunning(startedAt=rfc3339(container.started_at))
        ), before
    ended = terminated(container, seen)
    if over or end is not None or not observation.restarts(pod, story):
        return ended, before
    if wait is not None:
        return _waiting(wait.reason, wait.message), ended
    if now < observation.due(container):
        return _waiting("CrashLoopBackOff", crash_message(pod, container)), ended
    return ended, before


def _waiting(reason: str, message: str = "") -> core_v1.ContainerState:
    return core_v1.ContainerState(waiting=core_v1.ContainerStateWaiting(reason=reason, message=message or None))


def _lost() -> core_v1.ContainerState:
    return core_v1.ContainerState(
        terminated=core_v1.ContainerStateTerminated(
            exitCode=UNKNOWN_CODE, reason="ContainerStatusUnknown", message=UNKNOWN
        )
    )


def terminated(container: Container, seen: PodObservation) -> core_v1.ContainerState:
    message = ": ".join(text for text in (container.message, seen.messages.get(container.id, "")) if text)
    return core_v1.ContainerState(
        terminated=core_v1.ContainerStateTerminated(
            exitCode=container.exit_code,
            reason=container.reason or ("Error" if container.exit_code else "Completed"),
            message=message or None,
            startedAt=rfc3339(container.started_at or container.created_at),
            finishedAt=rfc3339(container.finished_at),
            containerID=SCHEME + container.id,
        )
    )


def pod_name(pod: core_v1.Pod) -> str:
    """As upstream's messages name a pod."""
    return f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"


def crash_message(pod: core_v1.Pod, container: Container) -> str:
    seconds = duration(observation.backoff(container))
    return f"back-off {seconds} restarting failed container={container.config.name} pod={pod_name(pod)}"


def duration(seconds: float) -> str:
    """Whole seconds as Go prints them: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
