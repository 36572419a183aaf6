from __future__ import annotations

from typing import Any

import pytest

from sampan.api.types import core_v1
from sampan.node import container_status
from sampan.node.observation import Ending, PodObservation, Wait
from sampan.node.status import status
from tests.covers import covers
from tests.node_machine.make import NOW, deleted, pod, run, sandbox, seen, sidecar

READINESS = {"readinessProbe": {"httpGet": {"port": 80}}}
STARTUP = {"startupProbe": {"httpGet": {"port": 80}}}


def states(found: core_v1.PodStatus) -> dict[str, str]:
    """Each container's state in a word."""
    every = (*found.initContainerStatuses, *found.containerStatuses, *found.ephemeralContainerStatuses)
    return {each.name: word(each.state) for each in every}


def word(state: core_v1.ContainerState) -> str:
    if state.running is not None:
        return "running"
    if state.terminated is not None:
        return f"{state.terminated.reason} {state.terminated.exitCode}"
    return state.waiting.reason or "" if state.waiting is not None else ""


def conditions(found: core_v1.PodStatus) -> dict[str, str]:
    return {each.type: f"{each.status} {each.reason or ''}".strip() for each in found.conditions}


def message(found: core_v1.PodStatus, type: str) -> str:
    return next(each.message or "" for each in found.conditions if each.type == type)


def test_a_new_pod_is_pending() -> None:
    found = status(pod("app"), PodObservation(started_at=NOW, host_ips=("192.0.2.7",), qos="BestEffort"), NOW)
    assert (found.phase, found.hostIP, found.podIP, found.qosClass) == ("Pending", "192.0.2.7", None, "BestEffort")
    assert found.startTime == "2027-01-15T08:00:00Z"
    assert found.observedGeneration == 1
    assert states(found) == {"app": "ContainerCreating"}
    assert conditions(found) == {
        "PodReadyToStartContainers": "False",
        "Initialized": "True",
        "Ready": "False ContainersNotReady",
        "ContainersReady": "False ContainersNotReady",
        "PodScheduled": "True",
    }
    assert message(found, "Ready") == "containers with unready status: [app]"
    only = found.containerStatuses[0]
    assert (only.image, only.imageID, only.ready, only.started, only.restartCount) == ("app:1", "", False, False, 0)


@covers("[sig-node] Pods should get a host IP [Conformance] [NodeConformance]")
def test_a_running_pod() -> None:
    found = status(pod("app", "b"), seen(run("app"), run("b")), NOW)
    assert (found.phase, found.podIP, found.podIPs) == ("Running", "10.244.0.5", (core_v1.PodIP(ip="10.244.0.5"),))
    assert found.hostIPs == (core_v1.HostIP(ip="192.0.2.7"),)
    assert conditions(found)["Ready"] == "True"
    first = found.containerStatuses[0]
    assert (first.ready, first.started, first.containerID) == (True, True, "sampan://app-0")
    assert first.imageID == "docker.io/library/app@sha256:bb"
    assert first.state.running is not None
    assert first.state.running.startedAt == "2027-01-15T07:59:50Z"


def test_a_pod_of_the_hosts_network_has_the_hosts_addresses() -> None:
    found = status(pod("app", hostNetwork=True), seen(run("app")), NOW)
    assert found.podIP == "192.0.2.7"


@pytest.mark.parametrize(
    ("probes", "ready", "started"),
    [
        ({}, False, False),
        ({("app-0", "startup"): True}, False, True),
        ({("app-0", "startup"): True, ("app-0", "readiness"): True}, True, True),
        ({("app-0", "startup"): True, ("app-0", "readiness"): False}, False, True),
        ({("app-0", "startup"): False, ("app-0", "readiness"): True}, False, False),
    ],
)
def test_probes_say_when_a_container_is_started_and_ready(probes: Any, ready: bool, started: bool) -> None:
    found = status(pod({"name": "app", **READINESS, **STARTUP}), seen(run("app"), probes=probes), NOW)
    only = found.containerStatuses[0]
    assert (only.ready, only.started) == (ready, started)
    assert conditions(found)["Ready"] == ("True" if ready else "False ContainersNotReady")
    assert found.phase == "Running"


def test_a_container_runs_only_when_its_post_start_hook_is_over() -> None:
    found = status(pod("app"), seen(run("app"), hooking=frozenset(("app-0",))), NOW)
    assert (found.phase, states(found)) == ("Pending", {"app": "ContainerCreating"})


def test_init_containers_hold_back_the_others() -> None:
    spec = pod("app", init=["i1", "i2"])
    found = status(spec, seen(run("i1", "exited"), run("i2")), NOW)
    assert (found.phase, states(found)) == ("Pending", {"i1": "Completed 0", "i2": "running", "app": "PodInitializing"})
    assert conditions(found)["Initialized"] == "False ContainersNotInitialized"
    assert message(found, "Initialized") == "containers with incomplete status: [i2]"
    assert [each.ready for each in found.initContainerStatuses] == [True, False]
    done = status(spec, seen(run("i1", "exited"), run("i2", "exited")), NOW)
    assert states(done)["app"] == "ContainerCreating"
    assert conditions(done)["Initialized"] == "True"


def test_a_sidecar_counts_for_readiness() -> None:
    spec = pod("app", init=[sidecar("side", **READINESS)])
    found = status(spec, seen(run("side"), run("app")), NOW)
    assert conditions(found)["Initialized"] == "True"
    assert message(found, "ContainersReady") == "containers with unready status: [side]"


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 1), "Running"),
        ("Always", (0, 0), "Running"),
    ],
)
def test_the_phase_of_containers_that_ended(policy: str, codes: tuple[int, int], phase: str) -> None:
    look = seen(run("app", "exited", code=codes[0]), run("b", "exited", code=codes[1]))
    assert status(pod("app", "b", restartPolicy=policy), look, NOW).phase == phase


def test_a_pod_is_over_only_when_nothing_runs_any_more() -> None:
    spec = pod("app", init=[sidecar("side")], restartPolicy="Never")
    assert status(spec, seen(run("side"), run("app", "exited")), NOW).phase == "Running"
    assert status(spec, seen(run("side", "exited"), run("app", "exited")), NOW).phase == "Succeeded"
    assert status(spec, seen(run("side", "exited"), run("app", "exited"), making=True), NOW).phase == "Running"


def test_a_succeeded_pod() -> None:
    found = status(pod("app", restartPolicy="Never"), seen(run("app", "exited")), NOW)
    assert conditions(found)["Ready"] == "False PodCompleted"
    assert conditions(found)["Initialized"] == "True PodCompleted"
    stopped = status(
        pod("app", restartPolicy="Never", status={"podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}]}),
        seen(run("app", "exited"), sandboxes=(sandbox(ready=False),)),
        NOW,
    )
    assert stopped.podIP == "10.244.0.5"


def test_a_failed_init_container_fails_the_pod() -> None:
    found = status(pod("app", init=["i1"], restartPolicy="Never"), seen(run("i1", "exited", code=1)), NOW)
    assert (found.phase, states(found)) == ("Failed", {"i1": "Error 1", "app": "PodInitializing"})


@pytest.mark.parametrize(
    ("backoff", "text"), [(10, "10s"), (80, "1m20s"), (160, "2m40s"), (300, "5m0s"), (3600, "1h0m0s")]
)
def test_a_crash_loop_says_how_long_it_waits(backoff: int, text: str) -> None:
    look = seen(run("app", "exited", attempt=3, code=2, backoff=backoff, ended=1, lived=1))
    only = status(pod("app"), look, NOW).containerStatuses[0]
    assert only.state.waiting == core_v1.ContainerStateWaiting(
        reason="CrashLoopBackOff",
        message=f"back-off {text} restarting failed container=app pod=web_default(u1)",
    )
    assert word(only.lastState) == "Error 2"
    assert (only.restartCount, only.started, only.ready) == (3, False, False)
    assert status(pod("app"), look, NOW).phase == "Running"


def test_a_container_between_two_runs_shows_how_it_ended() -> None:
    look = seen(run("app", "exited", code=1), run("app", "exited", attempt=1, code=2, backoff=10, ended=10))
    only = status(pod("app"), look, NOW).containerStatuses[0]
    assert (word(only.state), word(only.lastState)) == ("Error 2", "Error 1")


def test_a_restarted_container_remembers_its_last_end() -> None:
    look = seen(run("app", "exited", code=137, reason="OOMKilled"), run("app", attempt=1))
    only = status(pod("app"), look, NOW).containerStatuses[0]
    assert (word(only.state), word(only.lastState), only.restartCount) == ("running", "OOMKilled 137", 1)


@pytest.mark.parametrize(
    "reason", ["ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError", "RunContainerError"]
)
def test_why_a_container_waits(reason: str) -> None:
    wait = {"app": Wait(reason, "because", NOW + 3)}
    only = status(pod("app"), seen(waits=wait), NOW).containerStatuses[0]
    assert only.state.waiting == core_v1.ContainerStateWaiting(reason=reason, message="because")
    ended = status(pod("app"), seen(run("app", "exited", code=128), waits=wait), NOW).containerStatuses[0]
    assert (word(ended.state), word(ended.lastState)) == (reason, "Error 128")


@covers(
    "[sig-node] Container Runtime blackbox test on terminated container should report termination message from file"
    " when pod succeeds and TerminationMessagePolicy FallbackToLogsOnError is set [Conformance] [NodeConformance]"
)
def test_what_a_container_left_behind_is_its_message() -> None:
    look = seen(run("app", "exited"), messages={"app-0": "OK"})
    state = status(pod("app", restartPolicy="Never"), look, NOW).containerStatuses[0].state
    assert state.terminated == core_v1.ContainerStateTerminated(
        exitCode=0,
        reason="Completed",
        message="OK",
        startedAt="2027-01-15T07:59:50Z",
        finishedAt="2027-01-15T08:00:00Z",
        containerID="sampan://app-0",
    )


def test_readiness_gates_are_others_to_open() -> None:
    gated = {"readinessGates": [{"conditionType": "example.com/ok"}]}
    found = status(pod("app", **gated), seen(run("app")), NOW)
    assert conditions(found)["Ready"] == "False ReadinessGatesNotReady"
    assert conditions(found)["ContainersReady"] == "True"
    assert message(found, "Ready") == ('corresponding condition of pod readiness gate "example.com/ok" does not exist.')
    shut = {"conditions": [{"type": "example.com/ok", "status": "False"}]}
    found = status(pod("app", status=shut, **gated), seen(run("app")), NOW)
    assert message(found, "Ready") == 'the status of pod readiness gate "example.com/ok" is not "True", but False'
    open_ = {"conditions": [{"type": "example.com/ok", "status": "True"}]}
    assert conditions(status(pod("app", status=open_, **gated), seen(run("app")), NOW))["Ready"] == "True"


def test_conditions_keep_the_time_of_their_change() -> None:
    before = status(pod("app"), seen(run("app")), NOW)
    again = status(pod("app", status=None), seen(run("app")), NOW)
    assert before == again
    import msgspec

    later = status(pod("app", status=msgspec.to_builtins(before)), seen(run("app")), NOW + 100)
    assert later == before


def test_a_refused_pod_has_failed_and_never_had_containers() -> None:
    verdict = Ending("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu")
    found = status(pod("app"), PodObservation(started_at=NOW, verdict=verdict), NOW)
    assert (found.phase, found.reason, found.containerStatuses) == ("Failed", "OutOfcpu", ())
    assert found.message == "Pod was rejected: Node didn't have enough resource: cpu"


def test_a_pod_past_its_deadline_fails_once_its_containers_are_gone() -> None:
    spec = pod("app", activeDeadlineSeconds=50)
    assert status(spec, seen(run("app")), NOW).phase == "Running"
    found = status(spec, seen(run("app", "exited", code=143)), NOW)
    assert (found.phase, found.reason) == ("Failed", "DeadlineExceeded")


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (143, "Failed")])
def test_a_deleted_pod_ends_as_its_containers_did(code: int, phase: str) -> None:
    spec = deleted(pod("app"))
    assert status(spec, seen(run("app")), NOW).phase == "Running"
    assert status(spec, seen(run("app", "exited", code=code)), NOW).phase == phase


def test_containers_that_nobody_can_find_when_the_pod_ends() -> None:
    found = status(deleted(pod("app", "b")), seen(run("app", "exited", code=1)), NOW)
    assert states(found) == {"app": "Error 1", "b": "ContainerStatusUnknown 137"}


def test_a_phase_that_is_over_stays() -> None:
    over = pod("app", status={"phase": "Succeeded"})
    assert status(over, PodObservation(started_at=NOW), NOW).phase == "Succeeded"


def test_an_ephemeral_container_has_a_status_of_its_own() -> None:
    spec = pod("app", ephemeralContainers=[{"name": "b", "image": "app:1"}])
    found = status(spec, seen(run("app"), run("b")), NOW)
    assert [each.name for each in found.ephemeralContainerStatuses] == ["b"]
    assert found.ephemeralContainerStatuses[0].state.running is not None


def test_durations_read_as_gos() -> None:
    assert [container_status.duration(each) for each in (0, 59, 60, 3661)] == ["0s", "59s", "1m0s", "1h1m1s"]
