"""What is wrong with a pod, in words for a newcomer, and what to do next. Pure."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sampan.api import conditions
from sampan.api.types import core_v1

PATIENCE = 120
"""Seconds that a pod may take to become ready before it counts as failed."""
PLACE = 30
"""Seconds that a pod may wait for a node before somebody should act."""
LINES = 5
"""Lines of a log that are shown in one explanation."""

NO_ROOM = ("No space left on device", "Disk quota exceeded", "ENOSPC")
"""What programs write when they could not."""
IMAGE = frozenset(("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"))
_CONFIG = frozenset(("CreateContainerConfigError", "CreateContainerError", "RunContainerError"))
_LASTING = frozenset(("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", *_CONFIG))


class Evidence(NamedTuple):
    """What others know of a pod: the last answer to its probe (the node's event), the last lines that it wrote."""

    probe: str = ""
    lines: tuple[str, ...] = ()


class Trouble(NamedTuple):
    """`lasting` says that waiting does not help. `next` is what the reader can do, with the command to type."""

    reason: str
    message: str
    next: str
    lasting: bool = False
    container: str = ""


def diagnose(pod: core_v1.Pod, now: float, evidence: Evidence = Evidence()) -> Trouble | None:
    """What keeps a pod from serving (or from ending well); None when nothing does, or when it just begins."""
    if pod.metadata.deletionTimestamp is not None:
        return None
    if pod.status.phase == "Failed" and pod.status.reason:
        text = f"it was ended by its node: {pod.status.message or pod.status.reason}"
        return Trouble(pod.status.reason, text, "look at what the node lacks: sampan describe node", True)
    if trouble := _unplaced(pod, now):
        return trouble
    status = pod.status
    for each in (*status.initContainerStatuses, *status.containerStatuses):
        if trouble := _of_container(pod, each, evidence):
            return trouble
    if pod.status.phase == "Running" and not is_ready(pod):
        return _unready(pod, now, evidence)
    if pod.status.phase == "Pending" and _age(pod, now) > PLACE:
        text = "its node has not started it yet"
        return Trouble("Starting", text, f"see what the node waits for: sampan describe pod {pod.metadata.name}")
    return None


def is_ready(pod: core_v1.Pod) -> bool:
    return pod.metadata.deletionTimestamp is None and conditions.is_true(pod.status.conditions, "Ready")


def _age(pod: core_v1.Pod, now: float) -> float:
    since = pod.status.startTime or pod.metadata.creationTimestamp
    return now - datetime.fromisoformat(since).timestamp() if since else 0.0


def _unplaced(pod: core_v1.Pod, now: float) -> Trouble | None:
    placed = conditions.find(pod.status.conditions, "PodScheduled")
    if placed is None or placed.status != "False" or pod.spec.nodeName:
        return None
    said = placed.message or placed.reason or "the scheduler gives no reason"
    lasting = _age(pod, now) > PLACE
    return Trouble("Unschedulable", f"no node can take it: {said}", _placing(said), lasting)


def _placing(said: str) -> str:
    if "Insufficient" in said:
        return "ask for less (spec.resources, spec.replicas) or add a node: sampan describe nodes shows what is free"
    if "persistentvolumeclaim" in said.lower() or "volume" in said.lower():
        return "look at the claims: sampan get persistentvolumeclaims"
    if "taint" in said:
        return "the nodes are kept free on purpose: sampan describe nodes shows their taints; sampan uncordon opens one"
    return "look at the nodes: sampan describe nodes"


def _of_container(pod: core_v1.Pod, status: core_v1.ContainerStatus, evidence: Evidence) -> Trouble | None:
    waiting = status.state.waiting if status.state else None
    reason = (waiting.reason or "") if waiting else ""
    said = (waiting.message or "") if waiting else ""
    if reason in IMAGE:
        text = f"the image {status.image or _image(pod, status.name)} cannot be had: {said or reason}"
        step = "check its name (sampan image ls shows those of the node), build it with `sampan deploy`, or load it"
        return Trouble("ImageNotFound", text, f"{step} with `sampan image load FILE`", reason in _LASTING, status.name)
    if reason in _CONFIG:
        text = f"its container {status.name} cannot be made: {said or reason}"
        step = "mend what the message names: a Secret, a ConfigMap, the command"
        return Trouble("CannotStart", text, step, True, status.name)
    ended = status.lastState.terminated if status.lastState else None
    if status.state and status.state.terminated:
        ended = status.state.terminated
        if ended.exitCode == 0:
            ended = None
    if ended is None or (status.ready and is_ready(pod)) or (status.state and status.state.running and status.ready):
        return None
    if reason not in ("CrashLoopBackOff", "") and status.state and not status.state.terminated:
        return None
    if status.state and status.state.running and (status.restartCount or 0) < 2:
        return None
    return _crash(pod, status, ended, evidence)


def _crash(
    pod: core_v1.Pod, status: core_v1.ContainerStatus, ended: core_v1.ContainerStateTerminated, evidence: Evidence
) -> Trouble:
    how = exit_words(ended.exitCode, ended.reason or "")
    times = status.restartCount or 0
    text = f"its container {status.name} {how}" + (f", {times + 1} times so far" if times else "")
    lines = evidence.lines or last_lines(ended.message or "")
    if lines:
        text += "; it last wrote: " + " | ".join(lines)
    lasting = times >= 2 or pod.spec.restartPolicy == "Never"
    step = exit_step(ended.exitCode, ended.reason or "", pod)
    if any(word in line for line in lines for word in NO_ROOM):
        step = "a volume of it is full, or its node's disk: remove files, or make the volume larger; " + step
    return Trouble("Crashing", text, step, lasting, status.name)


def _image(pod: core_v1.Pod, name: str) -> str:
    return next((each.image or "" for each in pod.spec.containers if each.name == name), "")


def _unready(pod: core_v1.Pod, now: float, evidence: Evidence) -> Trouble:
    waits = next((each.name for each in pod.status.containerStatuses if not each.ready), "")
    probed = next((each for each in pod.spec.containers if each.name == waits and each.readinessProbe), None)
    lasting = _age(pod, now) > PATIENCE
    if probed is None:
        return Trouble("NotReady", "it runs and is not ready yet", "wait a moment", lasting, waits)
    text = f"it runs, but does not answer {_asked(probed)}"
    if evidence.probe:
        text += f": {evidence.probe}"
    if evidence.lines:
        text += "; it last wrote: " + " | ".join(evidence.lines)
    step = f"make the app listen on 0.0.0.0 at that port and answer there; its log: sampan logs {pod.metadata.name}"
    return Trouble("NotAnswering", text, step, lasting, waits)


def _asked(container: core_v1.Container) -> str:
    probe = container.readinessProbe
    assert probe is not None
    if probe.httpGet is not None:
        return f"its readiness probe (GET {probe.httpGet.path or '/'} at port {probe.httpGet.port})"
    if probe.tcpSocket is not None:
        return f"at port {probe.tcpSocket.port}"
    return "its readiness probe"


# --- words


_EXITS = {
    0: "ended by itself although it should go on",
    126: "could not run its command: it is no program, or may not be executed",
    127: "could not find its command",
    137: "was killed (signal KILL)",
    139: "crashed (signal SEGV, a memory error of the program)",
    143: "was told to stop (signal TERM)",
}


def exit_words(code: int, reason: str = "") -> str:
    """`ended with exit code 1`, `was killed because it used more memory than its limit`."""
    if reason == "OOMKilled":
        return "was killed because it used more memory than its limit"
    if code in _EXITS:
        return f"{_EXITS[code]} (exit code {code})"
    if 128 < code < 128 + 65:
        try:
            return f"was ended by the signal {signal.Signals(code - 128).name.removeprefix('SIG')} (exit code {code})"
        except ValueError:
            return f"was ended by signal {code - 128} (exit code {code})"
    return f"ended with exit code {code}"


def exit_step(code: int, reason: str, pod: core_v1.Pod) -> str:
    if reason == "OOMKilled":
        return "give it more memory (spec.resources.limits.memory), or let it use less"
    if code in (126, 127):
        return "check spec.command, or the image's CMD and ENTRYPOINT: the program must be in the image"
    if code == 0:
        return "a program that ends by itself is an app of type batch or cron; a server must stay in the foreground"
    previous = "--previous " if any(each.restartCount for each in pod.status.containerStatuses) else ""
    return f"mend what the last lines say; the whole log: sampan logs {previous}{pod.metadata.name}"


def last_lines(text: str, count: int = LINES) -> tuple[str, ...]:
    """The last lines with something on them, each cut to 200 characters."""
    lines: Sequence[str] = [line.rstrip()[:200] for line in text.splitlines() if line.strip()]
    return tuple(lines[-count:])
