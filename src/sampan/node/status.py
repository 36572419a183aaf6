"""The status of a pod as the node reports it, computed from what is seen. Pure.

Reasons and messages are upstream's: programs read them.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from sampan.api import conditions
from sampan.api.types import core_v1
from sampan.node import container_status, machine, observation, resizing
from sampan.node.observation import Ending, PodObservation, Story
from sampan.runtime.clock import rfc3339

TERMINAL = ("Succeeded", "Failed")


def status(pod: core_v1.Pod, seen: PodObservation, now: float) -> core_v1.PodStatus:
    """The whole status; conditions and fields that are others' stay as they are in `pod`."""
    told = observation.stories(pod, seen)
    end = machine.ending(pod, seen, now)
    phase_ = phase(pod, told, seen, end)
    known = pod.status
    addresses = _addresses(pod, seen)
    found = replace(
        known,
        phase=phase_,
        observedGeneration=pod.metadata.generation,
        startTime=known.startTime or rfc3339(seen.started_at),
        qosClass=known.qosClass or seen.qos or None,
        hostIP=seen.host_ips[0] if seen.host_ips else known.hostIP,
        hostIPs=tuple(core_v1.HostIP(ip=ip) for ip in seen.host_ips) or known.hostIPs,
        podIP=addresses[0] if addresses else known.podIP,
        podIPs=tuple(core_v1.PodIP(ip=ip) for ip in addresses) or known.podIPs,
    )
    if end is not None and end.reason and phase_ == "Failed" and known.phase not in TERMINAL:
        found = replace(found, reason=end.reason, message=end.message)
    if seen.verdict is None or told_of(told) or known.containerStatuses:
        found = replace(found, **container_status.all_statuses(pod, told, seen, end, phase_, now))
    return replace(found, conditions=_conditions(pod, told, seen, found, now))


def told_of(told: Iterable[Story]) -> bool:
    """Whether any container has ever run."""
    return any(story.current is not None for story in told)


def _addresses(pod: core_v1.Pod, seen: PodObservation) -> tuple[str, ...]:
    sandbox = seen.sandbox
    if sandbox is None:
        return ()
    return seen.host_ips if pod.spec.hostNetwork else sandbox.ips


# --- phase ---


def phase(pod: core_v1.Pod, told: tuple[Story, ...], seen: PodObservation, end: Ending | None) -> str:
    """A pod is over only when nothing of it runs any more; what is over stays so."""
    if pod.status.phase in TERMINAL:
        return pod.status.phase or ""
    mains = [story for story in told if story.role == "main"]
    busy = seen.making or any(story.running for story in told)
    if not busy and end is not None:
        return "Succeeded" if not end.reason and all(map(observation.succeeded, mains)) else "Failed"
    if not busy and machine.is_finished(pod, told, seen):
        return "Succeeded" if all(map(observation.succeeded, mains)) else "Failed"
    if not any(story.current is not None for story in mains) and not observation.is_initialized(told, seen):
        return "Pending"
    return "Pending" if any(_never_ran(story, seen) for story in mains) else "Running"


def _never_ran(story: Story, seen: PodObservation) -> bool:
    """Neither now nor before; while its postStart runs for the first time it does not run yet."""
    if story.current is None:
        return not seen.attempts.get(story.name)
    return story.current.id in seen.hooking and story.previous is None


# --- conditions ---


def _conditions(
    pod: core_v1.Pod, told: tuple[Story, ...], seen: PodObservation, found: core_v1.PodStatus, now: float
) -> tuple[core_v1.PodCondition, ...]:
    kept = found.conditions
    ready = _containers_ready(told, seen, found)
    for condition in (
        _network(seen),
        _initialized(told, seen, found),
        _ready(pod, ready, kept),
        ready,
        conditions.find(kept, "PodScheduled") or core_v1.PodCondition(type="PodScheduled", status="True"),
    ):
        named = replace(condition, observedGeneration=pod.metadata.generation)
        kept = conditions.put(kept, named, rfc3339(now))
    for type, resize in _resize(told, seen, found).items():
        if resize is None:
            kept = conditions.remove(kept, type)
        else:
            named = replace(resize, observedGeneration=pod.metadata.generation)
            kept = conditions.put(kept, named, rfc3339(now))
    return kept


def _resize(
    told: tuple[Story, ...], seen: PodObservation, found: core_v1.PodStatus
) -> dict[str, core_v1.PodCondition | None]:
    """These conditions exist only while they hold."""
    pending = progress = None
    if found.phase not in TERMINAL:
        if seen.resize is not None:
            pending = _condition(resizing.PENDING, True, seen.resize.reason, seen.resize.message)
        if told_of(told) and resizing.in_progress(told, seen):
            reason = "Error" if seen.resize_error else ""
            progress = _condition(resizing.IN_PROGRESS, True, reason, seen.resize_error)
    return {resizing.PENDING: pending, resizing.IN_PROGRESS: progress}


def _condition(type: str, status: bool, reason: str = "", message: str = "") -> core_v1.PodCondition:
    return core_v1.PodCondition(
        type=type, status="True" if status else "False", reason=reason or None, message=message or None
    )


def _network(seen: PodObservation) -> core_v1.PodCondition:
    sandbox = seen.sandbox
    return _condition(
        "PodReadyToStartContainers", sandbox is not None and (sandbox.config.host_network or bool(sandbox.ips))
    )


def _over(type: str, phase_: str | None) -> core_v1.PodCondition:
    return _condition(type, False, "PodCompleted" if phase_ == "Succeeded" else "PodFailed")


def _initialized(told: tuple[Story, ...], seen: PodObservation, found: core_v1.PodStatus) -> core_v1.PodCondition:
    if found.phase == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    if any(story.role == "main" and story.current is not None for story in told):
        return _condition("Initialized", True)
    left = [s.name for s in told if s.role in ("init", "sidecar") and not observation.init_passed(s, seen)]
    if not left:
        return _condition("Initialized", True)
    return _condition(
        "Initialized", False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(left)}]"
    )


def _containers_ready(told: tuple[Story, ...], seen: PodObservation, found: core_v1.PodStatus) -> core_v1.PodCondition:
    if found.phase in TERMINAL:
        return _over("ContainersReady", found.phase)
    unready = [s.name for s in told if s.role in ("sidecar", "main") and not observation.is_ready(s, seen)]
    if not unready:
        return _condition("ContainersReady", True)
    return _condition(
        "ContainersReady", False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    )


def _ready(
    pod: core_v1.Pod, containers: core_v1.PodCondition, known: tuple[core_v1.PodCondition, ...]
) -> core_v1.PodCondition:
    if containers.status != "True":
        return replace(containers, type="Ready")
    unmet = []
    for gate in pod.spec.readinessGates:
        condition = conditions.find(known, gate.conditionType)
        if condition is None:
            unmet.append(f'corresponding condition of pod readiness gate "{gate.conditionType}" does not exist.')
        elif condition.status != "True":
            unmet.append(
                f'the status of pod readiness gate "{gate.conditionType}" is not "True", but {condition.status}'
            )
    if unmet:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(unmet))
    return _condition("Ready", True)
