from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sampan.host.containers import INTERRUPTED, Container
from tests.covers import covers
from tests.node_machine.lab import Lab
from tests.node_machine.make import container, deleted, pod


def phase(lab: Lab, name: str = "web") -> str:
    return lab.pod(name).status.phase or ""


def named(name: str, **more: Any) -> Any:
    return pod("app", meta={"name": name, "uid": f"u-{name}"}, **more)


def same(run: Container, other: Container) -> bool:
    return (run.id, run.started_at) == (other.id, other.started_at)


async def test_what_runs_goes_on_after_a_restart_of_the_node(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    async with lab.running():
        await lab.add(pod({"name": "app", "readinessProbe": {"httpGet": {"port": 80}}}))
        lab.runtime.exit(lab.runtime.last("app").id, 1)
        await lab.advance(0.6)
    before, calls = lab.runtime.last("app"), len(lab.runtime.calls)
    lab.probes.running.clear()
    lab.agent = lab.new_agent()
    async with lab.running():
        assert same(before, lab.runtime.last("app"))
        assert lab.runtime.calls[calls:] == []
        assert lab.probes.running == {before.id: "10.244.0.2"}
        assert lab.pod().status.containerStatuses[0].restartCount == 1
        lab.runtime.exit(before.id, 1)
        await lab.advance(10.5)
        assert lab.runtime.last("app").config.attempt == 2


async def test_what_ended_while_the_node_was_away_starts_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    async with lab.running():
        await lab.add(pod("app"))
    lab.runtime.exit(lab.runtime.last("app").id, 1)
    lab.agent = lab.new_agent()
    async with lab.running():
        assert lab.runtime.last("app").config.attempt == 1


async def test_restart_counts_outlive_a_runtime_that_forgot(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    async with lab.running():
        await lab.add(pod("app"))
        lab.runtime.exit(lab.runtime.last("app").id, 1)
        await lab.advance(0.6)
    lab.runtime.runs.clear()
    lab.runtime.held.clear()
    lab.agent = lab.new_agent()
    async with lab.running():
        await lab.advance(0.6)
        assert lab.pod().status.containerStatuses[0].restartCount == 2


async def test_pods_that_were_deleted_meanwhile_are_ended(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    async with lab.running():
        await lab.add(pod("app", terminationGracePeriodSeconds=7))
    lab.server.remove("pods", "default", "web")
    logs = lab.config.places.log_directory("default", "web", "u1")
    logs.mkdir(parents=True)
    lab.agent = lab.new_agent()
    async with lab.running():
        await lab.settle()
        assert lab.runtime.held == {}
        assert lab.runtime.graces == {"app": 7.0}
        assert not logs.exists()


async def test_files_of_pods_that_are_gone_go_too(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    left = lab.config.places.pod("u9") / "volumes"
    left.mkdir(parents=True)
    async with lab.running():
        await lab.settle()
        assert not left.exists()
        assert "unmount u9" in lab.volumes.calls


async def test_nothing_is_ended_before_the_server_has_said_which_pods_there_are(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    async with lab.running():
        await lab.add(pod("app"))
    lab.agent = lab.new_agent()

    async def unreachable(request: Any) -> Any:
        raise OSError("no route to host")

    lab.server.send = unreachable  # type: ignore[method-assign]
    async with lab.running():
        await lab.advance(100)
        assert not lab.agent.synced
        assert lab.runtime.last("app").state == "running"


@pytest.mark.parametrize(("state", "message"), [("created", ""), ("exited", INTERRUPTED)])
async def test_a_container_that_was_made_and_never_ran_is_made_anew(tmp_path: Path, state: Any, message: str) -> None:
    lab = Lab(tmp_path)
    async with lab.running():
        await lab.add(pod("app", restartPolicy="Never"))
    run = lab.runtime.last("app")
    lab.runtime.runs[run.id] = Container(
        run.id, run.sandbox_id, run.config, state, run.created_at, exit_code=128, message=message
    )
    lab.agent = lab.new_agent()
    async with lab.running():
        assert lab.runtime.last("app").state == "running"
        assert len(lab.runtime.runs) == 1


@pytest.mark.parametrize(
    ("spec", "reason", "message"),
    [
        (
            {"containers": [container({"name": "app", "resources": {"requests": {"cpu": "5"}}})]},
            "OutOfcpu",
            "Pod was rejected: Node didn't have enough resource: cpu, requested: 5000, used: 0, capacity: 4000",
        ),
        (
            {"nodeSelector": {"disk": "fast"}},
            "NodeAffinity",
            "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
    ],
)
async def test_a_pod_that_does_not_fit_is_refused(lab: Lab, spec: Any, reason: str, message: str) -> None:
    await lab.add(pod(**spec))
    await lab.settle()
    status = lab.pod().status
    assert (status.phase, status.reason, status.message) == ("Failed", reason, message)
    assert lab.runtime.calls == []
    assert f"{reason}: {message.removeprefix('Pod was rejected: ')}" in lab.server.events()
    await lab.add(deleted(lab.pod()))
    assert lab.server.pod() is None


async def test_newer_labels_of_the_node_are_asked_for_before_a_pod_is_refused(lab: Lab) -> None:
    node = lab.server.all("nodes")[0]
    node["metadata"]["labels"]["disk"] = "fast"
    await lab.add(pod(nodeSelector={"disk": "fast"}))
    assert phase(lab) == "Running"


async def test_two_pods_cannot_have_one_host_port(lab: Lab) -> None:
    port = {"name": "app", "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}]}
    first = pod(port, meta={"name": "one", "uid": "u-one"})
    second = pod(port, meta={"name": "two", "uid": "u-two"})
    await lab.add(first)
    await lab.add(second)
    assert (phase(lab, "one"), phase(lab, "two")) == ("Running", "Failed")
    assert lab.pod("two").status.reason == "NodePorts"


async def test_a_finished_pod_makes_room(lab: Lab) -> None:
    big = {"name": "app", "resources": {"requests": {"cpu": "3"}}}
    await lab.add(pod(big, meta={"name": "one", "uid": "u-one"}, restartPolicy="Never"))
    lab.runtime.exit(lab.runtime.last("app").id)
    await lab.settle()
    await lab.add(pod(big, meta={"name": "two", "uid": "u-two"}))
    assert (phase(lab, "one"), phase(lab, "two")) == ("Succeeded", "Running")


async def test_many_pods_come_up_together(lab: Lab) -> None:
    for number in range(30):
        lab.server.put("pods", named(f"p{number}"))
    await lab.settle()
    assert [phase(lab, f"p{number}") for number in range(30)] == ["Running"] * 30


async def test_what_the_server_of_the_node_asks_for(lab: Lab) -> None:
    await lab.add(pod("app"))
    found = lab.agent.pod("default", "web")
    assert found is not None
    assert found.status.phase == "Running"
    assert lab.agent.pod("default", "web", "another") is None
    assert lab.agent.sandbox_id(found) == "s0"
    first = lab.agent.container(found, "app")
    assert first is not None
    assert lab.agent.container(found, "app", previous=True) is None
    lab.runtime.exit(first.id, 1)
    await lab.settle()
    previous = lab.agent.container(found, "app", previous=True)
    assert previous is not None
    assert previous.id == first.id


async def test_housekeeping_notices_what_the_runtime_lost(lab: Lab) -> None:
    await lab.add(pod("app"))
    lab.runtime.runs.clear()
    lab.runtime.held.clear()
    await lab.advance(61)
    assert lab.runtime.last("app").state == "running"
    assert lab.pod().status.containerStatuses[0].state.running is not None


async def test_images_that_nobody_uses_go_when_the_disk_is_full(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.node.images.disk", lambda path: (100_000, 1000))
    lab.images.registry["old:1"] = None
    await lab.images.pull("old:1")
    await lab.add(pod("app"))
    await lab.advance(301)
    await lab.advance(301)
    assert lab.images.removed == ["old:1"]


@covers("[sig-node] Pods should run through the lifecycle of Pods and PodStatus [Conformance]")
async def test_conditions_of_others_stay(lab: Lab) -> None:
    await lab.add(pod("app"))
    old = lab.pod()
    mine = msgspec.convert({"type": "example.com/mine", "status": "True"}, type(old.status.conditions[0]))
    status = msgspec.structs.replace(old.status, conditions=(*old.status.conditions, mine))
    await lab.add(msgspec.structs.replace(old, status=status))
    lab.runtime.exit(lab.runtime.last("app").id, 1)
    await lab.advance(1)
    types = [each.type for each in lab.pod().status.conditions]
    assert "example.com/mine" in types
    assert len(types) == len(set(types)) == 6


async def test_leaving_leaves_everything_running_and_no_task_behind(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    before = asyncio.all_tasks()
    async with lab.running():
        await lab.add(pod("app"))
    assert lab.runtime.last("app").state == "running"
    assert asyncio.all_tasks() == before
