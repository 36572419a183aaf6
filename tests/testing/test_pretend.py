"""What pretended nodes tell about pods: exits, restarts, readiness, ends."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.types import core_v1
from sampan.testing.cluster import Cluster

POD = """
apiVersion: v1
kind: Pod
metadata: {name: a, annotations: {%s}}
spec:
  restartPolicy: %s
  initContainers:
  - {name: first, image: i}
  - {name: side, image: i, restartPolicy: Always}
  containers: [{name: main, image: i}, {name: other, image: i}]
"""


def pod(restart: str = "Always", **annotations: str) -> str:
    listed = ", ".join(f'pretend.sampan.dev/{name.replace("_", ".")}: "{value}"' for name, value in annotations.items())
    return POD % (listed, restart)


def phase(wanted: str) -> Any:
    return lambda found: found.status.phase == wanted


def conditions(found: core_v1.Pod) -> dict[str, str]:
    return {each.type: each.status for each in found.status.conditions}


async def test_a_pod_runs_and_is_ready(cluster: Cluster) -> None:
    await cluster.apply(pod())
    found = await cluster.wait_for(core_v1.Pod, "a", phase("Running"))
    assert found.spec.nodeName == "node-1"
    assert found.status.podIP == "10.244.0.2"
    assert found.status.hostIP and found.status.startTime
    assert set(conditions(found).values()) == {"True"}
    assert {each.name for each in found.status.containerStatuses} == {"main", "other"}
    first, side = found.status.initContainerStatuses
    assert first.state is not None and first.state.terminated is not None and first.state.terminated.exitCode == 0
    assert side.state is not None and side.state.running is not None


@pytest.mark.parametrize(
    ("restart", "exits", "ends", "restarts"),
    [
        ("Never", "0", "Succeeded", 0),
        ("Never", "3", "Failed", 0),
        ("OnFailure", "1, 1, 0", "Succeeded", 2),
        ("Always", "1, 0", "Running", 2),
    ],
)
async def test_exits(cluster: Cluster, restart: str, exits: str, ends: str, restarts: int) -> None:
    await cluster.apply(pod(restart, exits=exits))

    def done(found: core_v1.Pod) -> bool:
        counts = {each.restartCount for each in found.status.containerStatuses}
        return found.status.phase == ends and counts == {restarts}

    found = await cluster.wait_for(core_v1.Pod, "a", done)
    assert conditions(found)["Ready"] == ("True" if ends == "Running" else "False")
    last = found.status.containerStatuses[0]
    state = last.state if ends != "Running" else last.lastState
    assert state is not None and state.terminated is not None
    assert state.terminated.exitCode == int(exits.split(",")[-1])


async def test_one_container_may_end_by_itself(cluster: Cluster) -> None:
    await cluster.apply(pod("Never", exits_main="5"))
    found = await cluster.wait_for(
        core_v1.Pod, "a", lambda each: any(s.state and s.state.terminated for s in each.status.containerStatuses)
    )
    by_name = {each.name: each for each in found.status.containerStatuses}
    assert found.status.phase == "Running"
    assert conditions(found)["Ready"] == "False"
    assert by_name["other"].state is not None and by_name["other"].state.running is not None


async def test_annotations_may_change(cluster: Cluster) -> None:
    await cluster.apply(pod("Never", ready="false"))
    found = await cluster.wait_for(core_v1.Pod, "a", phase("Running"))
    assert conditions(found)["Ready"] == "False"
    body: dict[str, Any] = {"metadata": {"annotations": {"pretend.sampan.dev/ready": None}}}
    await cluster.client.patch(core_v1.Pod, "a", "default", body=body)
    await cluster.wait_for(core_v1.Pod, "a", lambda each: conditions(each)["Ready"] == "True")
    body = {"metadata": {"annotations": {"pretend.sampan.dev/exits": "0"}}}
    await cluster.client.patch(core_v1.Pod, "a", "default", body=body)
    await cluster.wait_for(core_v1.Pod, "a", phase("Succeeded"))


async def test_ends_take_their_time(cluster: Cluster) -> None:
    await cluster.apply(pod(lingers="30"))
    await cluster.wait_for(core_v1.Pod, "a", phase("Running"))
    await cluster.client.delete(core_v1.Pod, "a", "default")
    lingering = await cluster.wait_for(core_v1.Pod, "a", lambda each: each.metadata.deletionTimestamp)
    assert lingering.status.phase == "Running"
    await cluster.client.delete(core_v1.Pod, "a", "default", grace=0)
    await cluster.wait_gone(core_v1.Pod, "a")


@pytest.mark.cluster(nodes=2)
async def test_a_silent_node_changes_nothing(cluster: Cluster) -> None:
    text = pod().replace("spec:", "spec:\n  nodeName: node-2")
    await cluster.apply(text)
    await cluster.wait_for(core_v1.Pod, "a", phase("Running"))
    cluster.silence("node-2")
    await cluster.client.delete(core_v1.Pod, "a", "default")
    with pytest.raises(TimeoutError):
        await cluster.wait_gone(core_v1.Pod, "a", timeout=0.2)
    await cluster.wake("node-2")
    await cluster.wait_gone(core_v1.Pod, "a")


@pytest.mark.cluster(nodes=["small"], capacity={"cpu": "1", "memory": "1Gi", "pods": "3"})
async def test_capacity_is_the_schedulers(cluster: Cluster) -> None:
    for number in range(4):
        await cluster.apply(pod().replace("name: a,", f"name: p{number},"))
    found = await cluster.wait_until(
        core_v1.Pod, lambda pods: sum(each.status.phase == "Running" for each in pods) == 3 and len(pods) == 4
    )
    waiting = next(each.metadata.name or "" for each in found if each.status.phase != "Running")
    told = await cluster.wait_for(core_v1.Pod, waiting, lambda each: each.status.conditions)
    assert "Too many pods" in (told.status.conditions[0].message or "")


@pytest.mark.cluster(nodes=0)
async def test_nodes_may_come_later_with_labels_and_taints(cluster: Cluster) -> None:
    await cluster.apply(pod().replace("spec:", "spec:\n  nodeSelector: {disk: fast}"))
    await cluster.add_node("slow")
    taint = core_v1.Taint(key="k", effect="NoSchedule")
    await cluster.add_node("tainted", labels={"disk": "fast"}, taints=(taint,))
    await cluster.add_node("fast", labels={"disk": "fast"})
    found = await cluster.wait_for(core_v1.Pod, "a", phase("Running"))
    assert found.spec.nodeName == "fast"
