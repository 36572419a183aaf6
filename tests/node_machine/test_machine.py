from __future__ import annotations

from typing import Any

import pytest

from sampan.host.containers import Resources
from sampan.node import machine, observation
from sampan.node.machine import decide
from sampan.node.observation import Ending, PodObservation, Wait
from sampan.node.plan import (
    EnsureImage,
    MakeSandbox,
    MountVolumes,
    NoteBackoff,
    Plan,
    Release,
    RemoveContainer,
    RemoveSandbox,
    Resize,
    StartContainer,
    StopContainer,
    StopSandbox,
)
from tests.covers import covers
from tests.node_machine.make import NOW, deleted, pod, run, sandbox, seen, sidecar

LIVENESS = {"livenessProbe": {"httpGet": {"port": 80}}}
STARTUP = {"startupProbe": {"httpGet": {"port": 80}}}
POST_START = {"lifecycle": {"postStart": {"exec": {"command": ["true"]}}}}


def short(plan: Plan) -> list[str]:
    """The plan in one word per action."""
    words = {
        MountVolumes: lambda a: "volumes",
        MakeSandbox: lambda a: f"sandbox {a.attempt}",
        EnsureImage: lambda a: f"image {a.name}",
        StartContainer: lambda a: f"start {a.name} {a.attempt} +{a.backoff}",
        StopContainer: lambda a: f"stop {a.id} {a.grace:g}",
        Resize: lambda a: f"resize {a.id}",
        NoteBackoff: lambda a: f"backoff {a.id}",
        RemoveContainer: lambda a: f"remove {a.id}",
        StopSandbox: lambda a: f"stop sandbox {a.id}",
        RemoveSandbox: lambda a: f"remove sandbox {a.id}",
        Release: lambda a: "release",
    }
    return [words[type(action)](action) for action in plan.actions]


def told(spec: Any, look: PodObservation, now: float = NOW) -> list[str]:
    return short(decide(spec, look, now))


NEW = PodObservation(started_at=NOW)


def test_a_new_pod_gets_volumes_sandbox_and_images_side_by_side() -> None:
    assert told(pod("app", "b"), NEW) == ["volumes", "sandbox 0", "image app", "image b"]


def test_only_the_first_init_containers_image_is_fetched_before_it_runs() -> None:
    assert told(pod("app", init=["i1", "i2"]), NEW) == ["volumes", "sandbox 0", "image i1"]


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (seen(volumes_ready=False), ["volumes"]),
        (seen(sandboxes=()), ["sandbox 0"]),
        (seen(images=frozenset()), ["image app"]),
        (seen(), ["start app 0 +0"]),
        (seen(attempts={"app": 4}), ["start app 4 +0"]),
        (seen(run("app")), []),
    ],
)
def test_a_container_starts_when_everything_is_there(look: PodObservation, expected: list[str]) -> None:
    assert told(pod("app"), look) == expected


def test_containers_start_together_but_a_post_start_hook_holds_back_those_behind_it() -> None:
    assert told(pod("app", "b"), seen()) == ["start app 0 +0", "start b 0 +0"]
    hooked = pod({"name": "app", **POST_START}, "b")
    assert told(hooked, seen()) == ["start app 0 +0"]
    assert told(hooked, seen(run("app"), hooking=frozenset(("app-0",)))) == []
    assert told(hooked, seen(run("app"))) == ["start b 0 +0"]


@covers(
    "[sig-node] InitContainer should invoke init containers on a RestartAlways pod [Conformance] [NodeConformance]",
    "[sig-node] InitContainer should invoke init containers on a RestartNever pod [Conformance] [NodeConformance]",
)
@pytest.mark.parametrize("policy", ["Always", "Never"])
def test_init_containers_run_one_after_the_other_before_the_rest(policy: str) -> None:
    both = pod("app", init=["i1", "i2"], restartPolicy=policy)
    first, second = run("i1", "exited"), run("i2", "exited")
    assert told(both, seen()) == ["start i1 0 +0"]
    assert told(both, seen(run("i1"))) == []
    assert told(both, seen(first)) == ["start i2 0 +0"]
    assert told(both, seen(first, second)) == ["start app 0 +0"]


@covers(
    "[sig-node] InitContainer should not start app containers if init containers fail on a RestartAlways pod"
    " [Conformance] [NodeConformance]"
)
def test_a_failed_init_container_runs_again_later_each_time() -> None:
    one = pod("app", init=["i1"])
    assert told(one, seen(run("i1", "exited", code=1))) == ["start i1 1 +10"]
    again = run("i1", "exited", attempt=1, code=1, ended=3, backoff=10)
    plan = decide(one, seen(again), NOW)
    assert short(plan) == ["backoff i1-1"]
    assert plan.wake_at == NOW + 7


@covers(
    "[sig-node] InitContainer should not start app containers and fail the pod if init containers fail on a"
    " RestartNever pod [Conformance] [NodeConformance]"
)
def test_a_failed_init_container_ends_a_pod_that_never_restarts() -> None:
    failed = seen(run("i1", "exited", code=1))
    assert told(pod("app", init=["i1", "i2"], restartPolicy="Never"), failed) == ["stop sandbox s0"]


def test_the_second_init_failure_of_on_failure_is_retried() -> None:
    assert told(pod(init=["i1"], restartPolicy="OnFailure"), seen(run("i1", "exited", code=2))) == ["start i1 1 +10"]


def test_sidecars_start_in_order_and_let_the_next_go_on_once_started() -> None:
    mixed = pod("app", init=[sidecar("side"), "i1", sidecar("side2", **STARTUP)])
    assert told(mixed, seen()) == ["start side 0 +0"]
    assert told(mixed, seen(run("side"))) == ["start i1 0 +0"]
    assert told(mixed, seen(run("side"), run("i1", "exited"))) == ["start side2 0 +0"]
    waiting = (run("side"), run("i1", "exited"), run("side2"))
    assert told(mixed, seen(*waiting)) == []
    assert told(mixed, seen(*waiting, probes={("side2-0", "startup"): True})) == ["start app 0 +0"]


def test_a_sidecar_that_ends_starts_again_whatever_the_pods_policy() -> None:
    policy = pod("app", init=[sidecar("side")], restartPolicy="Never")
    ended = run("side", "exited")
    assert told(policy, seen(ended, run("app"))) == ["start side 1 +10"]


def test_a_sidecar_that_ends_during_initialization_starts_again_beside_the_init_container() -> None:
    mixed = pod("app", init=[sidecar("side"), "i1"])
    assert told(mixed, seen(run("side", "exited", code=1), run("i1"))) == ["start side 1 +10"]


@pytest.mark.parametrize(
    ("policy", "code", "again"),
    [("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_restart_policies(policy: str, code: int, again: bool) -> None:
    plan = told(pod("app", restartPolicy=policy), seen(run("app", "exited", code=code)))
    assert plan == (["start app 1 +10"] if again else ["stop sandbox s0"])


def test_a_containers_own_rules_go_before_the_pods_policy() -> None:
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]
    spec = pod({"name": "app", "restartPolicy": "Never", "restartPolicyRules": rules})
    assert told(spec, seen(run("app", "exited", code=42))) == ["start app 1 +10"]
    assert told(spec, seen(run("app", "exited", code=1))) == ["stop sandbox s0"]


@pytest.mark.parametrize(("carried", "following"), [(0, 10), (10, 20), (20, 40), (160, 300), (300, 300)])
def test_the_backoff_doubles_up_to_five_minutes(carried: int, following: int) -> None:
    ended = run("app", "exited", code=1, backoff=carried, attempt=3, ended=carried)
    assert told(pod("app"), seen(ended)) == [f"start app 4 +{following}"]


def test_a_container_that_lived_long_starts_again_at_once_with_the_first_backoff() -> None:
    assert told(pod("app"), seen(run("app", "exited", backoff=300, lived=700))) == ["start app 1 +10"]


def test_a_container_waits_for_its_backoff_and_the_plan_wakes_then() -> None:
    plan = decide(pod("app", "b"), seen(run("app", "exited", backoff=20, ended=5), run("b")), NOW)
    assert short(plan) == ["backoff app-0"]
    assert plan.wake_at == NOW + 15


@pytest.mark.parametrize(
    ("look", "wake"),
    [
        (seen(volumes_ready=False, volumes_wait=Wait("FailedMount", "", NOW + 2)), NOW + 2),
        (seen(sandboxes=(), sandbox_wait=Wait("x", "", NOW + 3)), NOW + 3),
        (seen(images=frozenset(), waits={"app": Wait("ErrImagePull", "", NOW + 4)}), NOW + 4),
        (seen(waits={"app": Wait("CreateContainerConfigError", "", NOW + 5)}), NOW + 5),
    ],
)
def test_what_failed_is_tried_again_at_its_time(look: PodObservation, wake: float) -> None:
    plan = decide(pod("app"), look, NOW)
    assert (short(plan), plan.wake_at) == ([], wake)
    assert told(pod("app"), look, wake) != []


@pytest.mark.parametrize(
    ("kind", "probe", "why"),
    [
        ("liveness", LIVENESS, "Container app failed liveness probe, will be restarted"),
        ("startup", STARTUP, "Container app failed startup probe, will be restarted"),
    ],
)
def test_a_failed_probe_stops_the_container(kind: Any, probe: dict[str, Any], why: str) -> None:
    plan = decide(pod({"name": "app", **probe}), seen(run("app"), probes={("app-0", kind): False}), NOW)
    assert plan.actions == [StopContainer("app-0", "app", 30.0, why)]


def test_a_probes_own_grace_period_goes_before_the_pods() -> None:
    probe = {"livenessProbe": {"httpGet": {"port": 80}, "terminationGracePeriodSeconds": 5}}
    look = seen(run("app"), probes={("app-0", "liveness"): False})
    assert told(pod({"name": "app", **probe}), look) == ["stop app-0 5"]
    never = decide(pod({"name": "app", **probe}, restartPolicy="Never"), look, NOW).actions[0]
    assert isinstance(never, StopContainer)
    assert never.why == "Container app failed liveness probe"


def test_a_container_with_another_image_is_stopped_and_starts_again() -> None:
    spec = pod({"name": "app", "image": "app:2"})
    plan = decide(spec, seen(run("app")), NOW)
    assert plan.actions == [StopContainer("app-0", "app", 30.0, "Container app definition changed, will be restarted")]


def test_a_failed_post_start_hook_stops_the_container() -> None:
    plan = decide(pod("app"), seen(run("app"), doomed={"app-0": "FailedPostStartHook"}), NOW)
    assert plan.actions == [StopContainer("app-0", "app", 30.0, "FailedPostStartHook")]


def test_other_limits_are_set_in_place_or_by_a_restart_as_the_container_says() -> None:
    wanted = {"app": Resources(memory_limit=1 << 20)}
    assert told(pod("app"), seen(run("app"), resources=wanted)) == ["resize app-0"]
    strict = {"name": "app", "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]}
    plan = decide(pod(strict), seen(run("app"), resources=wanted), NOW)
    assert plan.actions == [
        StopContainer("app-0", "app", 30.0, "Container app resize requires restart, will be restarted")
    ]


def test_a_dead_sandbox_is_made_anew_after_its_containers_are_gone() -> None:
    dead = (sandbox(ready=False),)
    assert told(pod("app"), seen(run("app"), sandboxes=dead)) == ["stop app-0 30"]
    ended = run("app", "exited", code=137)
    assert told(pod("app"), seen(ended, sandboxes=dead, images=frozenset())) == ["sandbox 1", "image app"]
    both = (*dead, sandbox("s1", attempt=1))
    assert told(pod("app"), seen(ended, sandboxes=both)) == ["start app 1 +10"]


def test_in_a_new_sandbox_init_containers_run_again_and_finished_ones_do_not() -> None:
    both = (sandbox(ready=False), sandbox("s1", attempt=1))
    old = (run("i1", "exited"), run("app", "exited"), run("b", "exited", code=137))
    spec = pod("app", "b", init=["i1"], restartPolicy="OnFailure")
    assert told(spec, seen(*old, sandboxes=both)) == ["start i1 1 +10"]
    done = run("i1", "exited", attempt=1, sandbox_id="s1")
    assert told(spec, seen(*old, done, sandboxes=both)) == ["start b 1 +10"]


def test_a_pod_that_never_restarts_ends_with_its_sandbox() -> None:
    look = seen(run("app", "exited", code=137), sandboxes=(sandbox(ready=False),))
    assert told(pod("app", restartPolicy="Never"), look) == ["release"]


@covers("[sig-node] Pods should be submitted and removed [Conformance] [NodeConformance]")
def test_a_deleted_pod_stops_and_lets_go_of_everything() -> None:
    spec = deleted(pod("app", "b"))
    assert told(spec, seen(run("app"), run("b"), stop_by=NOW + 20)) == ["stop app-0 20", "stop b-0 20"]
    ended = (run("app", "exited", code=143), run("b", "exited"))
    assert told(spec, seen(*ended, stop_by=NOW + 20)) == ["stop sandbox s0"]
    gone = (sandbox(ready=False),)
    assert told(spec, seen(*ended, sandboxes=gone, stop_by=NOW + 20)) == ["release"]
    assert told(spec, seen(*ended, sandboxes=gone, stop_by=NOW + 20, released=True)) == []


def test_nothing_is_let_go_of_while_something_is_being_made() -> None:
    assert told(deleted(pod("app")), seen(making=True, stop_by=NOW + 1)) == []


def test_a_deleted_pod_that_never_ran_is_let_go_of_at_once() -> None:
    assert told(deleted(pod("app")), NEW) == ["release"]


def test_sidecars_stop_after_the_containers_the_last_first_with_what_grace_is_left() -> None:
    spec = deleted(pod("app", init=[sidecar("side"), sidecar("side2")]))
    sides = (run("side"), run("side2"))
    assert told(spec, seen(*sides, run("app"), stop_by=NOW + 20)) == ["stop app-0 20"]
    ended = run("app", "exited")
    assert told(spec, seen(*sides, ended, stop_by=NOW + 8)) == ["stop side2-0 8"]
    assert told(spec, seen(run("side"), run("side2", "exited"), ended, stop_by=NOW - 5)) == ["stop side-0 2"]


def test_sidecars_stop_when_the_containers_have_done_their_work() -> None:
    job = pod("app", init=[sidecar("side")], restartPolicy="Never")
    assert told(job, seen(run("side"), run("app", "exited"), stop_by=NOW + 30)) == ["stop side-0 30"]


@covers("[sig-node] Pods should allow activeDeadlineSeconds to be updated [Conformance] [NodeConformance]")
def test_a_deadline_ends_the_pod_and_is_woken_for() -> None:
    spec = pod("app", activeDeadlineSeconds=100)
    plan = decide(spec, seen(run("app")), NOW)
    assert (short(plan), plan.wake_at) == ([], NOW + 40)
    shorter = pod("app", activeDeadlineSeconds=50)
    assert told(shorter, seen(run("app"), stop_by=NOW + 30)) == ["stop app-0 30"]
    assert machine.ending(shorter, seen(), NOW) == Ending("DeadlineExceeded", machine.DEADLINE, 30.0)


def test_a_refused_pod_is_let_go_of() -> None:
    assert told(pod("app"), PodObservation(started_at=NOW, verdict=Ending("OutOfcpu", "no"))) == ["release"]


@pytest.mark.parametrize(("grace", "expected"), [(None, 1.0), (0, 1.0), (7, 7.0)])
def test_the_grace_of_a_deletion(grace: int | None, expected: float) -> None:
    end = machine.ending(deleted(pod(), grace or 0), NEW, NOW)
    assert end is not None
    assert end.grace == expected


def test_a_grace_period_can_only_become_shorter() -> None:
    assert machine.stop_by(seen(stop_by=NOW + 5), Ending(grace=30.0), NOW) == NOW + 5
    assert machine.stop_by(seen(stop_by=NOW + 50), Ending(grace=30.0), NOW) == NOW + 30
    assert machine.stop_by(seen(), Ending(grace=30.0), NOW) == NOW + 30


def test_what_runs_beside_the_specification_is_stopped_too() -> None:
    stray = run("unknown")
    assert told(deleted(pod("app")), seen(stray, stop_by=NOW + 3)) == ["stop unknown-0 3"]


@covers(
    "[sig-node] Ephemeral Containers will start an ephemeral container in an existing pod"
    " [Conformance] [NodeConformance]"
)
def test_an_ephemeral_container_starts_once_and_never_again() -> None:
    spec = pod("app", ephemeralContainers=[{"name": "b", "image": "app:1"}])
    assert told(spec, seen(run("app"))) == ["start b 0 +0"]
    assert told(spec, seen(run("app"), run("b", "exited", code=1))) == []


def test_two_runs_of_each_container_are_remembered() -> None:
    runs = [run("app", "exited", attempt=at, code=1, backoff=10) for at in range(3)]
    assert told(pod("app"), seen(*runs)) == ["backoff app-2", "remove app-0"]


def test_old_sandboxes_go_when_nothing_remembered_ran_in_them() -> None:
    places = (sandbox("s0", ready=False), sandbox("s1", ready=False, attempt=1), sandbox("s2", attempt=2))
    runs = (run("app", "exited", sandbox_id="s1"), run("app", attempt=1, sandbox_id="s2"))
    assert told(pod("app"), seen(*runs, sandboxes=places)) == ["remove sandbox s0"]


def test_what_was_made_but_not_started_does_not_count() -> None:
    assert told(pod("app"), seen(run("app", "created"))) == ["start app 0 +0"]


def test_a_pod_that_is_over_stays_so() -> None:
    over = pod("app", status={"phase": "Failed"})
    assert told(over, NEW) == ["release"]


def test_the_next_backoff_of_a_first_run_is_none() -> None:
    assert observation.next_backoff(None) == 0
