from __future__ import annotations

import msgspec
import pytest

from sampan.api.errors import service_unavailable
from sampan.api.types import core_v1
from sampan.host.containers import ImageFailure, Mount, RuntimeFailure
from sampan.monitor.instrument.wanted import Additions
from sampan.node import deeds
from sampan.node.contracts import CreateContainerConfigError, HookFailure, NotYet
from tests.covers import covers
from tests.node_machine.lab import Lab
from tests.node_machine.make import deleted, pod

HOOKS = {"lifecycle": {"postStart": {"exec": {"command": ["a"]}}, "preStop": {"exec": {"command": ["b"]}}}}


def phase(lab: Lab) -> str:
    return lab.pod().status.phase or ""


def ready(lab: Lab) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in lab.pod().status.conditions)


def waiting(lab: Lab) -> core_v1.ContainerStateWaiting:
    found = lab.pod().status.containerStatuses[0].state.waiting
    assert found is not None
    return found


async def test_a_pod_comes_up(lab: Lab) -> None:
    await lab.add(pod("app", "b"))
    assert lab.runtime.calls[0] == "run_sandbox web 0"
    assert sorted(lab.runtime.calls[1:]) == [
        "create_container app 0",
        "create_container b 0",
        "start_container app",
        "start_container b",
    ]
    assert (phase(lab), ready(lab), lab.pod().status.podIP) == ("Running", True, "10.244.0.2")
    about_app = [each for each in lab.server.all("events") if each["involvedObject"].get("fieldPath")]
    assert {each["involvedObject"]["fieldPath"] for each in about_app} == {"spec.containers{app}", "spec.containers{b}"}
    said = [each for each in lab.server.events() if "Node" not in each and "kubelet" not in each]
    assert sorted(set(said)) == [
        "Created: Container created",
        'Pulled: Container image "app:1" already present on machine and can be accessed by the pod',
        "Started: Container started",
    ]
    assert {each["count"] for each in lab.server.all("events")} == {1}


async def test_a_container_is_instrumented(lab: Lab) -> None:
    lab.instrument.added = Additions((("A", "1"),), (("/here", "/there"),))
    await lab.add(pod("app"))
    config = lab.runtime.last("app").config
    assert config.env == (("A", "1"),)
    assert config.mounts[-1] == Mount("/here", "/there", readonly=True)
    assert [name for name, _ in lab.instrument.asked] == ["app"]


async def test_a_container_that_cannot_be_instrumented_starts_as_it_is(lab: Lab) -> None:
    lab.instrument.added = Additions((), problem="no network")
    await lab.add(pod("app"))
    found = lab.runtime.last("app")
    assert (found.state, found.config.env) == ("running", (("POD_IP", "10.244.0.2"),))
    assert "InstrumentationMissing: Starts without: no network" in lab.server.events()


async def test_nothing_is_asked_of_the_server_before_a_container_runs(lab: Lab) -> None:
    before = len(lab.server.writes)
    lab.server.broken = service_unavailable("not now")
    await lab.add(pod("app"))
    assert lab.runtime.last("app").state == "running"
    assert len(lab.server.writes) == before


async def test_states_on_the_way_are_told_only_when_they_last(lab: Lab) -> None:
    await lab.add(pod("app"))
    patches = [each for each in lab.server.writes if each.endswith("/pods/web/status")]
    assert len(patches) == 1


async def test_a_containers_surroundings(lab: Lab) -> None:
    await lab.add(
        pod({"name": "app", "command": ["echo"], "args": ["$(POD_IP)"], "terminationMessagePath": "/dev/end"})
    )
    config = lab.runtime.last("app").config
    assert (config.command, config.args) == (("echo",), ("10.244.0.2",))
    assert config.log_path == "app/0.log"
    paths = {mount.container_path: mount.host_path for mount in config.mounts}
    assert set(paths) == {"/etc/hosts", "/dev/end"}
    with open(paths["/etc/hosts"], encoding="utf-8") as file:
        assert file.read() == "10.244.0.2 web\n"
    assert lab.runtime.held["s0"].config.dns.servers == ("10.96.0.10",)


@covers(
    "[sig-node] Probing container should have monotonically increasing restart count [Conformance] [NodeConformance]"
)
async def test_a_container_that_ends_starts_again_after_its_backoff(lab: Lab) -> None:
    await lab.add(pod("app"))
    for restart, delay in enumerate((0, 10, 20, 40), start=1):
        lab.runtime.exit(lab.runtime.last("app").id, 1)
        await lab.settle()
        if delay:
            await lab.advance(0.6)
            assert waiting(lab).reason == "CrashLoopBackOff"
            await lab.advance(delay)
        assert lab.runtime.last("app").state == "running"
        assert lab.pod().status.containerStatuses[0].restartCount == restart
    assert "BackOff: Back-off restarting failed container app in pod web_default(u1)" in lab.server.events()
    kept = [run for run in lab.runtime.runs.values() if run.config.name == "app"]
    assert len(kept) == 2


async def test_a_missing_image_is_pulled(lab: Lab) -> None:
    lab.images.present.clear()
    lab.images.registry["app:1"] = None
    await lab.add(pod("app"))
    assert ready(lab)
    events = lab.server.events()
    assert 'Pulling: Pulling image "app:1"' in events
    pulled = next(each for each in events if each.startswith("Pulled"))
    assert pulled == 'Pulled: Successfully pulled image "app:1" in 0s (0s including waiting). Image size: 1000 bytes.'


async def test_an_image_that_cannot_be_pulled_backs_off(lab: Lab) -> None:
    lab.images.present.clear()
    lab.images.registry["app:1"] = ImageFailure("ErrImagePull", "no such thing")
    await lab.add(pod("app"))
    await lab.advance(0.6)
    assert waiting(lab) == core_v1.ContainerStateWaiting(reason="ErrImagePull", message="no such thing")
    await lab.advance(3)
    assert waiting(lab) == core_v1.ContainerStateWaiting(
        reason="ImagePullBackOff", message='Back-off pulling image "app:1": ErrImagePull: no such thing'
    )
    lab.images.registry["app:1"] = None
    await lab.advance(10)
    assert ready(lab)


async def test_volumes_that_are_not_there_yet_are_waited_for(lab: Lab) -> None:
    lab.volumes.problem = NotYet("FailedMount", 'configmap "x" not found')
    await lab.add(pod("app"))
    assert 'FailedMount: configmap "x" not found' in lab.server.events()
    assert "create_container app 0" not in lab.runtime.calls
    lab.volumes.problem = None
    await lab.advance(1)
    assert ready(lab)


async def test_a_container_that_cannot_be_configured_waits_and_a_changed_pod_is_tried_at_once(lab: Lab) -> None:
    lab.environment.problem = CreateContainerConfigError('secret "x" not found')
    await lab.add(pod("app"))
    await lab.advance(0.6)
    assert waiting(lab).reason == "CreateContainerConfigError"
    assert waiting(lab).message == 'secret "x" not found'
    assert 'Failed: Error: secret "x" not found' in lab.server.events()
    lab.environment.problem = None
    changed = lab.pod()
    await lab.add(
        msgspec.structs.replace(changed, metadata=msgspec.structs.replace(changed.metadata, annotations={"a": "b"}))
    )
    assert ready(lab)
    assert "sync" in lab.volumes.calls


@pytest.mark.parametrize(
    ("call", "reason"), [("create_container", "CreateContainerError"), ("start_container", "RunContainerError")]
)
async def test_a_runtime_that_refuses_a_container(lab: Lab, call: str, reason: str) -> None:
    lab.runtime.failures[call] = RuntimeFailure(reason, "exec: not found")
    await lab.add(pod("app"))
    await lab.advance(0.6)
    assert (waiting(lab).reason, waiting(lab).message) == (reason, "exec: not found")
    assert "Failed: Error: exec: not found" in lab.server.events()
    await lab.advance(15)
    assert ready(lab)


async def test_a_sandbox_that_cannot_be_made_is_tried_again(lab: Lab) -> None:
    lab.runtime.failures["run_sandbox"] = RuntimeFailure("CreatePodSandboxError", "no address")
    await lab.add(pod("app"))
    assert "FailedCreatePodSandBox: Failed to create pod sandbox: no address" in lab.server.events()
    await lab.advance(1)
    assert ready(lab)


async def test_what_the_runtime_cannot_do_is_not_pretended(lab: Lab) -> None:
    await lab.add(pod("app", hostUsers=False))
    await lab.add(pod("app", meta={"name": "two", "uid": "u2"}, runtimeClassName="gone"))
    lab.server.put("runtimeclasses", {"metadata": {"name": "sandboxed"}, "handler": "kata"})
    lab.server.put("runtimeclasses", {"metadata": {"name": "usual"}, "handler": "runc"})
    await lab.add(pod("app", meta={"name": "three", "uid": "u3"}, runtimeClassName="sandboxed"))
    await lab.add(pod("app", meta={"name": "four", "uid": "u4"}, runtimeClassName="usual"))
    said = [each for each in lab.server.events() if each.startswith("FailedCreatePodSandBox")]
    assert [text.removeprefix("FailedCreatePodSandBox: Failed to create pod sandbox: ") for text in said] == [
        "spec.hostUsers: false asks for a user namespace: not supported",
        'failed to get runtime class "gone": runtimeclasses "gone" not found',
        'no runtime for "kata" is configured',
    ]
    assert [call for call in lab.runtime.calls if call.startswith("run_sandbox")] == ["run_sandbox four 0"]


@covers("[sig-node] Pods should be submitted and removed [Conformance] [NodeConformance]")
async def test_a_deleted_pod_goes_without_a_trace(lab: Lab) -> None:
    await lab.add(pod("app"))
    await lab.add(deleted(lab.pod()))
    assert lab.server.pod() is None
    assert lab.runtime.calls[-3:] == ["stop_container app", "stop_sandbox s0", "remove_sandbox s0"]
    assert lab.runtime.graces == {"app": 30.0}
    assert lab.volumes.calls == ["mount", "unmount u1"]
    assert "Killing: Stopping container app" in lab.server.events()
    assert not (lab.config.places.pods / "u1").exists()
    assert lab.agent.pods() == []
    told = [each for each in lab.server.writes if "/pods/web" in each]
    assert told[-2:] == [
        "PATCH /api/v1/namespaces/default/pods/web/status",
        "DELETE /api/v1/namespaces/default/pods/web",
    ]


async def test_a_shorter_grace_period_cuts_the_longer_one_off(lab: Lab) -> None:
    lab.runtime.deaf.add("app")
    await lab.add(pod("app"))
    await lab.add(deleted(lab.pod(), 300))
    await lab.advance(5)
    assert lab.runtime.last("app").state == "running"
    await lab.add(deleted(lab.pod(), 4))
    await lab.advance(4.1)
    assert lab.server.pod() is None


async def test_a_pod_deleted_by_force_is_stopped_all_the_same(lab: Lab) -> None:
    await lab.add(pod("app"))
    lab.server.remove("pods", "default", "web")
    await lab.settle()
    assert lab.runtime.runs == {}
    assert lab.agent.pods() == []


async def test_finalizers_keep_the_object_but_nothing_else(lab: Lab) -> None:
    await lab.add(pod("app", meta={"finalizers": ["example.com/mine"]}))
    await lab.add(deleted(lab.pod()))
    deletes = [each for each in lab.server.writes if each.startswith("DELETE")]
    assert len(deletes) == 1
    assert lab.pod().status.phase == "Failed"
    lab.server.remove("pods", "default", "web")
    await lab.settle()
    assert lab.agent.pods() == []


async def test_a_pod_deleted_while_it_is_made_leaves_nothing(lab: Lab) -> None:
    lab.server.put("pods", pod("app"))
    await lab.clock.advance(0)
    lab.server.put("pods", deleted(pod("app")))
    await lab.settle()
    await lab.advance(5)
    assert lab.server.pod() is None
    assert lab.runtime.held == {}


async def test_a_finished_pod_lets_go_but_its_container_is_remembered(lab: Lab) -> None:
    await lab.add(pod("app", restartPolicy="Never"))
    lab.runtime.exit(lab.runtime.last("app").id, 0)
    await lab.settle()
    assert phase(lab) == "Succeeded"
    assert lab.runtime.calls[-1] == "stop_sandbox s0"
    assert lab.volumes.calls[-1] == "unmount u1"
    assert lab.runtime.last("app").state == "exited"
    assert lab.pod().status.podIP == "10.244.0.2"


@covers(
    "[sig-node] Container Runtime blackbox test on terminated container should report termination message if"
    " TerminationMessagePath is set as non-root user and at a non-default path [Conformance] [NodeConformance]"
)
async def test_a_termination_message_is_read_from_its_file(lab: Lab) -> None:
    await lab.add(pod({"name": "app", "terminationMessagePath": "/end"}, restartPolicy="Never"))
    run = lab.runtime.last("app")
    path = next(mount.host_path for mount in run.config.mounts if mount.container_path == "/end")
    with open(path, "w", encoding="utf-8") as file:
        file.write("DONE")
    lab.runtime.exit(run.id, 0)
    await lab.settle()
    state = lab.pod().status.containerStatuses[0].state.terminated
    assert state is not None
    assert state.message == "DONE"


@covers(
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute poststart exec hook"
    " properly [Conformance] [NodeConformance]",
    "[sig-node] Container Lifecycle Hook when create a pod with lifecycle hook should execute prestop exec hook"
    " properly [Conformance] [NodeConformance]",
)
async def test_hooks_run_after_the_start_and_before_the_stop(lab: Lab) -> None:
    await lab.add(pod({"name": "app", **HOOKS}))
    assert (lab.hooks.calls, ready(lab)) == (["app"], True)
    await lab.add(deleted(lab.pod()))
    assert lab.hooks.calls == ["app", "app"]
    assert lab.server.pod() is None


async def test_a_failed_post_start_hook_costs_the_container_its_life(lab: Lab) -> None:
    lab.hooks.problem = HookFailure("exit code 1")
    await lab.add(pod({"name": "app", "lifecycle": {"postStart": {"exec": {"command": ["a"]}}}}))
    assert "FailedPostStartHook: PostStartHook failed" in lab.server.events()
    assert "Killing: FailedPostStartHook" in lab.server.events()


async def test_a_pre_stop_hook_has_no_more_time_than_the_pod(lab: Lab) -> None:
    await lab.add(pod({"name": "app", "lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}))
    lab.hooks.problem = HookFailure("exit code 1")
    await lab.add(deleted(lab.pod(), 1))
    assert "FailedPreStopHook: PreStopHook failed" in lab.server.events()
    assert lab.runtime.graces["app"] == 2.0
    assert lab.server.pod() is None


async def test_a_deleted_pod_is_stopped_when_nothing_leads_to_it_any_more(lab: Lab) -> None:
    await lab.add(pod({"name": "app", "lifecycle": {"preStop": {"exec": {"command": ["a"]}}}}))
    lab.quiet.gate.clear()
    await lab.add(deleted(lab.pod()))
    assert (lab.quiet.calls, lab.hooks.calls) == (["10.244.0.2"], ["app"]), "the hook runs meanwhile"
    assert lab.runtime.last("app").state == "running"
    lab.quiet.gate.set()
    await lab.settle()
    assert lab.server.pod() is None


async def test_requests_that_are_under_way_have_a_moment(lab: Lab) -> None:
    await lab.add(pod("app"))
    lab.quiet.led = True
    await lab.add(deleted(lab.pod()))
    assert lab.runtime.last("app").state == "running"
    await lab.advance(deeds.UNDER_WAY)
    assert lab.server.pod() is None


async def test_a_pod_that_is_led_to_for_too_long_is_stopped_all_the_same(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deeds, "LED_AWAY", 0.0)
    await lab.add(pod("app"))
    lab.quiet.gate.clear()
    await lab.add(deleted(lab.pod()))
    assert lab.server.pod() is None


async def test_only_deleted_pods_with_addresses_and_time_of_their_own_wait_for_the_proxy(lab: Lab) -> None:
    lab.quiet.gate.clear()
    await lab.add(pod("app", hostNetwork=True))
    await lab.add(deleted(lab.pod()))
    assert lab.server.pod() is None
    await lab.add(pod({"name": "app", "livenessProbe": {"httpGet": {"port": 80}}}, meta={"uid": "u2"}))
    lab.probes.say(lab.runtime.last("app").id, "liveness", False, "no")
    await lab.settle()
    assert "Killing: Container app failed liveness probe, will be restarted" in lab.server.events()
    assert lab.quiet.calls == []


async def test_probes_begin_with_the_container_and_decide_on_its_life(lab: Lab) -> None:
    probe = {"httpGet": {"port": 80}}
    await lab.add(pod({"name": "app", "livenessProbe": probe, "readinessProbe": probe}))
    first = lab.runtime.last("app").id
    assert (lab.probes.running, ready(lab)) == ({first: "10.244.0.2"}, False)
    lab.probes.say(first, "readiness", True)
    await lab.settle()
    assert ready(lab)
    lab.probes.say(first, "liveness", False, "HTTP probe failed with statuscode: 500")
    await lab.settle()
    assert "Unhealthy: Liveness probe failed: HTTP probe failed with statuscode: 500" in lab.server.events()
    assert "Killing: Container app failed liveness probe, will be restarted" in lab.server.events()
    second = lab.runtime.last("app").id
    assert second != first
    assert set(lab.probes.running) == {second}
    await lab.advance(0.6)
    assert lab.pod().status.containerStatuses[0].restartCount == 1
    assert not ready(lab)


@covers("[sig-node] Pods should be updated [Conformance] [NodeConformance]")
async def test_a_new_image_replaces_the_container(lab: Lab) -> None:
    await lab.add(pod("app"))
    lab.images.present["app:2"] = lab.images.present["app:1"]
    old = lab.pod()
    spec = msgspec.structs.replace(
        old.spec, containers=(msgspec.structs.replace(old.spec.containers[0], image="app:2"),)
    )
    await lab.add(msgspec.structs.replace(old, spec=spec))
    assert "Killing: Container app definition changed, will be restarted" in lab.server.events()
    assert lab.pod().status.containerStatuses[0].image == "app:2"
    assert lab.pod().status.containerStatuses[0].restartCount == 1


async def test_other_limits_are_set_in_place(lab: Lab) -> None:
    await lab.add(pod("app"))
    old = lab.pod()
    more = core_v1.ResourceRequirements(limits={"memory": "1000000"})
    spec = msgspec.structs.replace(
        old.spec, containers=(msgspec.structs.replace(old.spec.containers[0], resources=more),)
    )
    await lab.add(msgspec.structs.replace(old, spec=spec))
    assert lab.runtime.calls[-1] == "update_resources app"
    await lab.advance(0.6)
    assert lab.pod().status.containerStatuses[0].restartCount == 0
    assert lab.pod().status.containerStatuses[0].resources == more


async def test_a_deadline_ends_the_pod(lab: Lab) -> None:
    await lab.add(pod("app", activeDeadlineSeconds=60))
    await lab.advance(61)
    assert (phase(lab), lab.pod().status.reason) == ("Failed", "DeadlineExceeded")


async def test_a_server_that_is_away_hears_the_newest_state_when_it_is_back(lab: Lab) -> None:
    lab.server.broken = service_unavailable("not now")
    await lab.add(pod("app", restartPolicy="Never"))
    lab.runtime.exit(lab.runtime.last("app").id, 3)
    await lab.advance(1)
    assert phase(lab) == ""
    lab.server.broken = None
    await lab.advance(20)
    assert phase(lab) == "Failed"


async def test_a_status_that_the_server_changes_is_not_told_for_ever(lab: Lab) -> None:
    await lab.add(pod("app"))
    writes = len(lab.server.writes)
    stripped = lab.pod()
    status = msgspec.structs.replace(stripped.status, qosClass="Guaranteed", hostIPs=())
    await lab.add(msgspec.structs.replace(stripped, status=status))
    await lab.advance(1)
    assert len(lab.server.writes) - writes <= 2


async def test_a_failure_that_nobody_foresaw_is_tried_again(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.runtime.failures["stop_sandbox"] = RuntimeFailure("x", "busy")
    await lab.add(pod("app"))
    await lab.add(deleted(lab.pod()))
    assert lab.server.pod() is not None
    assert "stop sandbox s0" in caplog.text
    await lab.advance(2)
    assert lab.server.pod() is None
