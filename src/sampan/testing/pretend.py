"""What the status of a pod says while its containers are pretended to run, end and start again. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from sampan.api.types import core_v1
from sampan.runtime.clock import rfc3339

PREFIX = "pretend.sampan.dev/"


def exits(pod: core_v1.Pod, container: str) -> list[int]:
    """The codes with which a container ends, run after run."""
    annotations = pod.metadata.annotations
    text = annotations.get(f"{PREFIX}exits.{container}", annotations.get(f"{PREFIX}exits", ""))
    return [int(part) for part in text.split(",") if part.strip()]


def lasts(pod: core_v1.Pod) -> float:
    return float(pod.metadata.annotations.get(f"{PREFIX}lasts", "0"))


def lingers(pod: core_v1.Pod) -> float:
    return float(pod.metadata.annotations.get(f"{PREFIX}lingers", "0"))


def is_to_be_ready(pod: core_v1.Pod) -> bool:
    return pod.metadata.annotations.get(f"{PREFIX}ready") != "false"


def running(pod: core_v1.Pod, host: str, address: str, now: float) -> core_v1.PodStatus:
    """All containers run (again); init containers have ended well."""
    old, at = pod.status, rfc3339(now)
    known = {each.name: each for each in old.containerStatuses}
    statuses = tuple(_running(each, known.get(each.name), at, is_to_be_ready(pod)) for each in pod.spec.containers)
    return replace(
        old,
        phase="Running",
        hostIP=host,
        hostIPs=(core_v1.HostIP(ip=host),),
        podIP=address,
        podIPs=(core_v1.PodIP(ip=address),),
        startTime=old.startTime or at,
        observedGeneration=pod.metadata.generation,
        initContainerStatuses=old.initContainerStatuses or tuple(_init(each, at) for each in pod.spec.initContainers),
        containerStatuses=statuses,
        conditions=_conditions(pod, statuses, at),
    )


def _running(
    container: core_v1.Container, old: core_v1.ContainerStatus | None, at: str, ready: bool
) -> core_v1.ContainerStatus:
    if old is None:
        started = core_v1.ContainerState(running=core_v1.ContainerStateRunning(startedAt=at))
        image = container.image or ""
        return core_v1.ContainerStatus(
            name=container.name, image=image, imageID=image, ready=ready, started=True, restartCount=0, state=started
        )
    if old.state is not None and old.state.terminated is not None:
        return old
    return replace(old, ready=ready)


def _init(container: core_v1.Container, at: str) -> core_v1.ContainerStatus:
    image = container.image or ""
    base = core_v1.ContainerStatus(name=container.name, image=image, imageID=image, restartCount=0, ready=True)
    if container.restartPolicy == "Always":
        return replace(
            base, started=True, state=core_v1.ContainerState(running=core_v1.ContainerStateRunning(startedAt=at))
        )
    ended = core_v1.ContainerStateTerminated(exitCode=0, reason="Completed", startedAt=at, finishedAt=at)
    return replace(base, started=False, state=core_v1.ContainerState(terminated=ended))


def _conditions(
    pod: core_v1.Pod, statuses: Iterable[core_v1.ContainerStatus], at: str, *, ended: str = ""
) -> tuple[core_v1.PodCondition, ...]:
    ready = "True" if not ended and all(each.ready for each in statuses) else "False"
    reason = ended or (None if ready == "True" else "ContainersNotReady")
    wanted = {
        "PodReadyToStartContainers": ("True", None),
        "Initialized": ("True", None),
        "Ready": (ready if _gates_open(pod) else "False", reason),
        "ContainersReady": (ready, reason),
        "PodScheduled": ("True", None),
    }
    old = {each.type: each for each in pod.status.conditions}
    made = []
    for type, (status, why) in wanted.items():
        before = old.pop(type, None)
        since = before.lastTransitionTime if before is not None and before.status == status else at
        base = before or core_v1.PodCondition(type=type)
        made.append(
            replace(
                base,
                status=status,
                reason=why,
                lastTransitionTime=since or at,
                observedGeneration=pod.metadata.generation,
            )
        )
    return (*made, *old.values())


def _gates_open(pod: core_v1.Pod) -> bool:
    true = {each.type for each in pod.status.conditions if each.status == "True"}
    return all(gate.conditionType in true for gate in pod.spec.readinessGates)


def ends(pod: core_v1.Pod, status: core_v1.PodStatus) -> dict[str, int]:
    """Which of the running containers are to end with which code."""
    found = {}
    for each in status.containerStatuses:
        codes, run = exits(pod, each.name), each.restartCount or 0
        if each.state is not None and each.state.running is not None and run < len(codes):
            found[each.name] = codes[run]
    return found


def ended(pod: core_v1.Pod, status: core_v1.PodStatus, due: dict[str, int], now: float) -> core_v1.PodStatus:
    """Those of `due` have ended; restartPolicy decides whether they run again or the pod is over."""
    at = rfc3339(now)
    statuses = tuple(
        _after(each, due[each.name], pod, at) if each.name in due else each for each in status.containerStatuses
    )
    over = [each for each in statuses if each.state is not None and each.state.terminated is not None]
    if len(over) < len(statuses):
        return replace(status, containerStatuses=statuses, conditions=_conditions(pod, statuses, at))
    failed = any(each.state and each.state.terminated and each.state.terminated.exitCode for each in over)
    why = "PodFailed" if failed else "PodCompleted"
    return replace(
        status,
        phase="Failed" if failed else "Succeeded",
        containerStatuses=statuses,
        conditions=_conditions(pod, statuses, at, ended=why),
    )


def _after(each: core_v1.ContainerStatus, code: int, pod: core_v1.Pod, at: str) -> core_v1.ContainerStatus:
    policy = pod.spec.restartPolicy or "Always"
    gone = core_v1.ContainerState(terminated=_terminated(each, code, at))
    if policy == "Always" or (policy == "OnFailure" and code):
        again = core_v1.ContainerState(running=core_v1.ContainerStateRunning(startedAt=at))
        return replace(each, state=again, lastState=gone, restartCount=(each.restartCount or 0) + 1)
    return replace(each, state=gone, ready=False, started=False)


def _terminated(each: core_v1.ContainerStatus, code: int, at: str) -> core_v1.ContainerStateTerminated:
    started = each.state.running.startedAt if each.state and each.state.running else at
    reason = "Error" if code else "Completed"
    return core_v1.ContainerStateTerminated(exitCode=code, reason=reason, startedAt=started, finishedAt=at)


def stopped(pod: core_v1.Pod, now: float) -> core_v1.PodStatus:
    """A deleted pod's containers were asked to end, and did so without complaint."""
    at = rfc3339(now)
    statuses = tuple(
        replace(each, state=core_v1.ContainerState(terminated=_terminated(each, 0, at)), ready=False, started=False)
        if each.state is None or each.state.terminated is None
        else each
        for each in pod.status.containerStatuses
    )
    failed = any(each.state and each.state.terminated and each.state.terminated.exitCode for each in statuses)
    return replace(
        pod.status,
        phase="Failed" if failed else "Succeeded",
        containerStatuses=statuses,
        conditions=_conditions(pod, statuses, at, ended="PodFailed" if failed else "PodCompleted"),
    )
