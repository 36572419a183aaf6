"""Columns of pods: what STATUS, READY and RESTARTS say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sampan.api import duration
from sampan.api.columns.common import AGE, NAME, NONE, condition, container_images, container_names, labels
from sampan.api.kinds.kind import Column
from sampan.api.types import core_v1


class Summary(NamedTuple):
    """`restarted_at` is the RFC 3339 time of the last restart that the statuses tell of, "" for none."""

    reason: str
    ready: int
    total: int
    restarts: int
    restarted_at: str


class _Restarts:
    """Counts restarts and remembers the last."""

    def __init__(self) -> None:
        self.count = 0
        self.last = ""

    def add(self, status: core_v1.ContainerStatus) -> None:
        self.count += status.restartCount
        ended = status.lastState.terminated
        if ended is not None and ended.finishedAt:
            self.last = max(self.last, ended.finishedAt)


def _ended(state: core_v1.ContainerStateTerminated) -> str:
    if state.reason:
        return state.reason
    return f"Signal:{state.signal}" if state.signal else f"ExitCode:{state.exitCode}"


def summarize(pod: core_v1.Pod) -> Summary:
    """The pod in one line, as `kubectl get pods` shows it."""
    status = pod.status
    reason = status.reason or status.phase or ""
    scheduled = condition(status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.reason == "SchedulingGated":
        reason = "SchedulingGated"
    sidecars = {c.name for c in pod.spec.initContainers if c.restartPolicy == "Always"}
    restarts, sidecar_restarts = _Restarts(), _Restarts()
    initializing, ready = "", 0
    for index, container in enumerate(status.initContainerStatuses):
        restarts.add(container)
        sidecar = container.name in sidecars
        if sidecar:
            sidecar_restarts.add(container)
        if sidecar and container.started and container.state.terminated is None:
            ready += bool(container.ready)
            continue
        initializing = _init_reason(container, index, len(pod.spec.initContainers))
        if initializing:
            break
    initialized = condition(status.conditions, "Initialized")
    if initializing and not (initialized is not None and initialized.status == "True"):
        reason = initializing
    else:
        restarts = sidecar_restarts
        reason, running = _main_reason(status.containerStatuses, initializing or reason, restarts)
        ready += running
        if reason == "Completed" and running:
            is_ready = condition(status.conditions, "Ready")
            reason = "Running" if is_ready is not None and is_ready.status == "True" else "NotReady"
    if pod.metadata.deletionTimestamp:
        if status.reason == "NodeLost":
            reason = "Unknown"
        elif status.phase not in ("Succeeded", "Failed"):
            reason = "Terminating"
    return Summary(reason, ready, len(pod.spec.containers) + len(sidecars), restarts.count, restarts.last)


def _init_reason(container: core_v1.ContainerStatus, index: int, total: int) -> str:
    """What an init container that is not done says, "" for one that is."""
    state = container.state
    if state.terminated is not None:
        return "" if state.terminated.exitCode == 0 else f"Init:{_ended(state.terminated)}"
    if state.waiting is not None and state.waiting.reason and state.waiting.reason != "PodInitializing":
        return f"Init:{state.waiting.reason}"
    return f"Init:{index}/{total}"


def _main_reason(statuses: Iterable[core_v1.ContainerStatus], reason: str, restarts: _Restarts) -> tuple[str, int]:
    """The first container's reason wins; also how many run and are ready."""
    running = 0
    for container in reversed(tuple(statuses)):
        restarts.add(container)
        state = container.state
        if state.waiting is not None and state.waiting.reason:
            reason = state.waiting.reason
        elif state.terminated is not None:
            reason = _ended(state.terminated)
        elif container.ready and state.running is not None:
            running += 1
    return reason, running


def _ready(pod: core_v1.Pod, now: float) -> str:
    summary = summarize(pod)
    return f"{summary.ready}/{summary.total}"


def _restarts(pod: core_v1.Pod, now: float) -> str:
    summary = summarize(pod)
    if summary.restarts and summary.restarted_at:
        return f"{summary.restarts} ({duration.since(summary.restarted_at, now)} ago)"
    return str(summary.restarts)


def _ip(pod: core_v1.Pod, now: float) -> str:
    return (pod.status.podIPs[0].ip if pod.status.podIPs else pod.status.podIP) or NONE


def _gates(pod: core_v1.Pod, now: float) -> str:
    gates = [gate.conditionType for gate in pod.spec.readinessGates]
    if not gates:
        return NONE
    found = [condition(pod.status.conditions, gate) for gate in gates]
    return f"{sum(c is not None and c.status == 'True' for c in found)}/{len(gates)}"


POD = (
    NAME,
    Column("Ready", _ready, description="How many containers are ready, of how many."),
    Column("Status", lambda pod, now: summarize(pod).reason, description="The aggregate state of the containers."),
    Column("Restarts", _restarts, description="How often containers were restarted, and when last."),
    AGE,
    Column("IP", _ip, priority=1, description="The pod's address."),
    Column("Node", lambda pod, now: pod.spec.nodeName or NONE, priority=1, description="The node it is bound to."),
    Column(
        "Nominated Node",
        lambda pod, now: pod.status.nominatedNodeName or NONE,
        priority=1,
        description="The node where preemption makes room for it.",
    ),
    Column("Readiness Gates", _gates, priority=1, description="How many extra conditions of readiness are true."),
)


def _template(object: core_v1.PodTemplate) -> core_v1.PodSpec | None:
    return object.template.spec if object.template else None


POD_TEMPLATE = (
    NAME,
    Column("Containers", lambda object, now: container_names(_template(object))),
    Column("Images", lambda object, now: container_images(_template(object))),
    Column("Pod Labels", lambda object, now: labels(object.template.metadata.labels if object.template else {})),
)
