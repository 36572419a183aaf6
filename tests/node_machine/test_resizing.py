from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sampan.api.types import core_v1
from sampan.host.containers import Resources, RuntimeFailure, Sandbox
from sampan.node import admission, resizing
from sampan.node.machine import decide
from sampan.node.observation import ResizeRefusal
from sampan.node.plan import Resize
from sampan.node.status import status
from tests.covers import covers
from tests.node_machine.lab import Lab
from tests.node_machine.make import NOW, pod, run, sandbox, seen
from tests.node_machine.test_admission import CONFIG, asks

SMALL, LARGE = Resources(cpu_quota=10_000, memory_limit=100), Resources(cpu_quota=30_000, memory_limit=300)


def place(resources: Resources) -> Sandbox:
    made = sandbox()
    return replace(made, config=replace(made.config, resources=resources))


def running(resources: Resources) -> Any:
    made = run("app")
    return replace(made, config=replace(made.config, resources=resources))


def steps(have: tuple[Resources, Resources], want: tuple[Resources, Resources]) -> list[tuple[str, Resources]]:
    """(whose cgroup, limits) in turn until nothing is left to do."""
    whole, one = have
    done = []
    for _ in range(5):
        look = seen(running(one), sandboxes=(place(whole),), pod_resources=want[0], resources={"app": want[1]})
        plan = decide(pod("app"), look, NOW)
        if not plan.actions:
            return done
        (action,) = plan.actions
        assert isinstance(action, Resize)
        done.append((action.id, action.resources))
        whole, one = (action.resources, one) if action.id == "s0" else (whole, action.resources)
    raise AssertionError(done)


def test_a_pod_grows_before_its_containers_and_shrinks_after_them() -> None:
    assert steps((SMALL, SMALL), (LARGE, LARGE)) == [("s0", LARGE), ("app-0", LARGE)]
    assert steps((LARGE, LARGE), (SMALL, SMALL)) == [("app-0", SMALL), ("s0", SMALL)]


def test_what_grows_in_one_and_shrinks_in_the_other_takes_three_steps() -> None:
    mixed = Resources(cpu_quota=50_000, memory_limit=50)
    room = Resources(cpu_quota=50_000, memory_limit=300)
    assert steps((LARGE, LARGE), (mixed, mixed)) == [("s0", room), ("app-0", mixed), ("s0", mixed)]


def test_no_limit_is_the_largest() -> None:
    assert resizing.larger(SMALL, Resources()) == Resources()


def test_no_container_starts_in_a_pod_that_is_too_small_for_it() -> None:
    look = seen(sandboxes=(place(SMALL),), pod_resources=LARGE, resources={"app": LARGE})
    assert [action.key for action in decide(pod("app"), look, NOW).actions] == ["resize s0"]


def test_a_pod_says_that_it_is_being_resized() -> None:
    old = {"requests": {"cpu": "1"}, "limits": {"cpu": "1"}}
    new = {"name": "app", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}
    known = {"containerStatuses": [{"name": "app", "image": "", "imageID": "", "ready": True, "restartCount": 0,
             "resources": old, "allocatedResources": {"cpu": "1"}}]}  # fmt: skip
    spec = pod(new, status=known)
    busy = status(spec, seen(running(SMALL), resources={"app": LARGE}), NOW)
    progress = next(each for each in busy.conditions if each.type == "PodResizeInProgress")
    assert (progress.status, progress.reason) == ("True", None)
    only = busy.containerStatuses[0]
    assert (only.resources, only.allocatedResources) == (msgspec.convert(old, type(only.resources)), {"cpu": "2"})
    done = status(msgspec.structs.replace(spec, status=busy), seen(running(LARGE), resources={"app": LARGE}), NOW)
    assert not any(each.type.startswith("PodResize") for each in done.conditions)
    assert done.containerStatuses[0].resources == spec.spec.containers[0].resources


def test_a_refused_resize_is_pending_and_changes_nothing() -> None:
    refusal = ResizeRefusal("Infeasible", "too much")
    known = {"containerStatuses": [{"name": "app", "image": "", "imageID": "", "ready": True, "restartCount": 0,
             "resources": {"requests": {"cpu": "1"}}, "allocatedResources": {"cpu": "1"}}]}  # fmt: skip
    spec = pod(asks(cpu="99"), status=known)
    found = status(spec, seen(running(SMALL), resources={"app": SMALL}, resize=refusal), NOW)
    pending = next(each for each in found.conditions if each.type == "PodResizePending")
    assert (pending.status, pending.reason, pending.message) == ("True", "Infeasible", "too much")
    assert found.containerStatuses[0].allocatedResources == {"cpu": "1"}
    assert resizing.allocated(spec).spec.containers[0].resources.requests == {"cpu": "1"}


@pytest.mark.parametrize(("wish", "expected"), [("500m", ""), ("1", "Deferred"), ("4", "Infeasible")])
def test_what_the_node_can_give(wish: str, expected: str) -> None:
    found = admission.refuse_resize(pod(asks(cpu=wish)), [pod(asks(cpu="2500m"))], CONFIG)
    assert (found.reason if found else "") == expected


def test_only_resources_make_a_resize() -> None:
    one, other = pod(asks(cpu="1")).spec, pod(asks(cpu="2")).spec
    assert resizing.changed(one, other)
    assert not resizing.changed(one, one)


async def resize(lab: Lab, name: str, **requests: str) -> None:
    old = lab.pod(name)
    wish = msgspec.structs.replace(
        old.spec.containers[0], resources=core_v1.ResourceRequirements(requests=requests, limits={"memory": "5"})
    )
    await lab.add(msgspec.structs.replace(old, spec=msgspec.structs.replace(old.spec, containers=(wish,))))
    await lab.advance(0.6)


def condition(lab: Lab, name: str, type: str) -> str:
    return next((each.reason or each.status for each in lab.pod(name).status.conditions if each.type == type), "")


@covers(
    "[sig-node] Pod InPlace Resize Container resize pod via the replace endpoint [MinimumKubeletVersion:1.34]"
    " [Conformance]"
)
async def test_a_deferred_resize_happens_when_others_leave(lab: Lab) -> None:
    await lab.add(pod(asks(cpu="1"), meta={"name": "one", "uid": "u1"}))
    await lab.add(pod(asks(cpu="2"), meta={"name": "two", "uid": "u2"}))
    await resize(lab, "one", cpu="3")
    assert condition(lab, "one", "PodResizePending") == "Deferred"
    assert "update_resources app" not in lab.runtime.calls
    lab.server.remove("pods", "default", "two")
    await lab.settle()
    await lab.advance(0.6)
    assert condition(lab, "one", "PodResizePending") == ""
    assert "update_resources app" in lab.runtime.calls
    assert lab.pod("one").status.containerStatuses[0].allocatedResources == {"cpu": "3"}


async def test_what_the_kernel_refuses_is_told_and_tried_again(lab: Lab) -> None:
    await lab.add(pod(asks(cpu="1"), meta={"name": "one", "uid": "u1"}))
    lab.runtime.failures["update_resources"] = RuntimeFailure("ResizeError", "memory is in use")
    old = lab.pod("one")
    wish = msgspec.structs.replace(
        old.spec.containers[0], resources=core_v1.ResourceRequirements(requests={"cpu": "1"}, limits={"memory": "5"})
    )
    await lab.add(msgspec.structs.replace(old, spec=msgspec.structs.replace(old.spec, containers=(wish,))))
    await lab.advance(0.55)
    assert condition(lab, "one", "PodResizeInProgress") == "Error"
    await lab.advance(1.5)
    assert condition(lab, "one", "PodResizeInProgress") == ""
    assert lab.runtime.last("app").config.resources.memory_limit == 5
