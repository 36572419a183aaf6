"""DaemonSets: which nodes have a pod, and how an update goes over them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.types import apps_v1, core_v1
from sampan.controllers import daemonset, nodematch, revisions
from sampan.controllers.daemonset import places
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Emit, Requeue
from sampan.runtime.clock import rfc3339
from sampan.testing.cluster import Cluster
from sampan.testing.objects import one
from sampan.testing.world import World
from tests.covers import covers

AGENT = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  updateStrategy: %s
  template:
    metadata: {labels: {app: agent}}
    spec: {nodeSelector: %s, containers: [{name: main, image: "agent:1"}]}
"""
NODE = "{apiVersion: v1, kind: Node, metadata: {name: %s, labels: %s}, spec: {taints: %s}}"


def world(nodes: int = 3, strategy: str = "{}", selector: str = "{}") -> tuple[World, Any]:
    controller = daemonset.declare(Settings())
    here = World(controller)
    here.load(AGENT % (strategy, selector))
    for number in range(nodes):
        here.load(NODE % (f"n{number}", "{}", "[]"))

    def plan() -> list[Action]:
        return here.plan(controller, "agent")

    return here, plan


def agent(here: World) -> apps_v1.DaemonSet:
    return here.get(apps_v1.DaemonSet, "agent")


def by_node(here: World) -> dict[str, str]:
    """Node -> image."""
    return {places.node_of(pod): pod.spec.containers[0].image or "" for pod in here.all(core_v1.Pod)}


def run(here: World, *, ready: bool = True, since: float | None = None) -> None:
    for pod in here.all(core_v1.Pod):
        if pod.status.phase == "Running":
            continue
        condition = core_v1.PodCondition(
            type="Ready", status="True" if ready else "False", lastTransitionTime=rfc3339(since or here.now)
        )
        spec = replace(pod.spec, nodeName=places.node_of(pod))
        here.add(replace(pod, spec=spec, status=replace(pod.status, phase="Running", conditions=(condition,))))


def use_image(here: World, image: str) -> None:
    before = agent(here)
    assert before.spec.template.spec is not None
    containers = (replace(before.spec.template.spec.containers[0], image=image),)
    template = replace(before.spec.template, spec=replace(before.spec.template.spec, containers=containers))
    metadata = replace(before.metadata, generation=(before.metadata.generation or 0) + 1)
    here.add(replace(before, metadata=metadata, spec=replace(before.spec, template=template)))


def counts(here: World) -> tuple[int, int, int, int]:
    status = agent(here).status
    return (
        status.desiredNumberScheduled,
        status.currentNumberScheduled,
        status.numberReady,
        status.updatedNumberScheduled or 0,
    )


# --- where


def test_every_node_has_one() -> None:
    here, plan = world()
    plan()
    assert by_node(here) == {f"n{number}": "agent:1" for number in range(3)}
    pod = here.all(core_v1.Pod)[0]
    assert pod.metadata.ownerReferences[0].kind == "DaemonSet"
    assert pod.metadata.labels["controller-revision-hash"]
    keys = {(each.key, each.effect) for each in pod.spec.tolerations}
    assert ("node.kubernetes.io/unschedulable", "NoSchedule") in keys
    assert ("node.kubernetes.io/network-unavailable", "NoSchedule") not in keys
    run(here)
    plan()
    assert counts(here) == (3, 3, 3, 3)
    assert plan() == []


def test_new_nodes_get_one_and_gone_nodes_take_theirs_along() -> None:
    here, plan = world(1)
    plan()
    here.load(NODE % ("n1", "{}", "[]"))
    plan()
    assert set(by_node(here)) == {"n0", "n1"}
    here.remove(here.get(core_v1.Node, "n1"))
    plan()
    assert set(by_node(here)) == {"n0"}


def test_only_chosen_nodes() -> None:
    here, plan = world(2, selector="{disk: fast}")
    plan()
    assert by_node(here) == {}
    assert counts(here)[0] == 0
    node = here.get(core_v1.Node, "n1")
    here.add(replace(node, metadata=replace(node.metadata, labels={"disk": "fast"})))
    plan()
    assert set(by_node(here)) == {"n1"}
    here.add(node)
    plan()
    assert by_node(here) == {}


@pytest.mark.parametrize(
    ("taint", "made", "kept"),
    [
        ("{key: k, effect: NoSchedule}", False, True),
        ("{key: k, effect: NoExecute}", False, False),
        ("{key: k, effect: PreferNoSchedule}", True, True),
        ("{key: node.kubernetes.io/not-ready, effect: NoExecute}", True, True),
        ("{key: node.kubernetes.io/unschedulable, effect: NoSchedule}", True, True),
        ("{key: node.kubernetes.io/network-unavailable, effect: NoSchedule}", False, True),
    ],
)
def test_taints(taint: str, made: bool, kept: bool) -> None:
    here, plan = world(0)
    here.load(NODE % ("n0", "{}", f"[{taint}]"))
    plan()
    assert bool(by_node(here)) is made
    here, plan = world(1)
    plan()
    run(here)
    here.load(NODE % ("n0", "{}", f"[{taint}]"))
    plan()
    assert bool(by_node(here)) is kept
    if kept and not made:
        assert agent(here).status.numberMisscheduled == 1


def test_of_two_the_older_stays() -> None:
    here, plan = world(1)
    plan()
    run(here)
    (first,) = here.all(core_v1.Pod)
    younger = replace(first.metadata, name="twin", uid="twin", creationTimestamp=rfc3339(here.now + 5))
    here.add(replace(first, metadata=younger))
    plan()
    assert [pod.metadata.uid for pod in here.all(core_v1.Pod)] == [first.metadata.uid]


@covers("[sig-apps] Daemon set should retry creating failed daemon pods [Conformance] [Serial]")
def test_failed_pods_are_replaced_later_each_time() -> None:
    here, plan = world(1)
    plan()
    expected: list[float] = [0.0, 1.0, 2.0]
    for wait in expected:
        run(here)
        (pod,) = here.all(core_v1.Pod)
        here.add(replace(pod, status=replace(pod.status, phase="Failed", conditions=())))
        actions = plan()
        if wait:
            assert [each.after for each in actions if isinstance(each, Requeue)] == [wait]
            here.now += wait
            actions = plan()
        assert next(each.reason for each in actions if isinstance(each, Emit)) == "FailedDaemonPod"
        plan()
        (again,) = here.all(core_v1.Pod)
        assert again.metadata.uid != pod.metadata.uid


# --- updates


def test_a_rolling_update_takes_one_node_at_a_time() -> None:
    here, plan = world(3)
    plan()
    run(here)
    plan()
    use_image(here, "agent:2")
    plan()
    assert len(by_node(here)) == 2
    plan()
    assert sorted(by_node(here).values()) == ["agent:1", "agent:1", "agent:2"]
    plan()
    assert sorted(by_node(here).values()) == ["agent:1", "agent:1", "agent:2"], "the new one is not ready yet"
    run(here)
    for _ in range(6):
        plan()
        run(here)
    assert set(by_node(here).values()) == {"agent:2"}
    assert counts(here) == (3, 3, 3, 3)


def test_several_at_once_when_so_many_may_be_missing() -> None:
    here, plan = world(4, "{rollingUpdate: {maxUnavailable: 50%}}")
    plan()
    run(here)
    plan()
    use_image(here, "agent:2")
    plan()
    assert len(by_node(here)) == 2


def test_broken_old_pods_go_at_once() -> None:
    here, plan = world(3)
    plan()
    run(here, ready=False)
    use_image(here, "agent:2")
    plan()
    plan()
    assert set(by_node(here).values()) == {"agent:2"}


def test_with_surge_the_new_one_comes_first() -> None:
    here, plan = world(2, "{rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}")
    plan()
    run(here)
    plan()
    use_image(here, "agent:2")
    plan()
    assert len(here.all(core_v1.Pod)) == 3
    plan()
    assert len(here.all(core_v1.Pod)) == 3
    run(here)
    plan()
    images = sorted(pod.spec.containers[0].image or "" for pod in here.all(core_v1.Pod))
    assert images in (["agent:1", "agent:2"], ["agent:1", "agent:2", "agent:2"])
    for _ in range(4):
        plan()
        run(here)
    assert sorted(by_node(here).items()) == [("n0", "agent:2"), ("n1", "agent:2")]
    assert len(here.all(core_v1.Pod)) == 2


def test_on_delete_waits_for_the_author() -> None:
    here, plan = world(1, "{type: OnDelete}")
    plan()
    run(here)
    plan()
    use_image(here, "agent:2")
    plan()
    assert set(by_node(here).values()) == {"agent:1"}
    here.remove(here.all(core_v1.Pod)[0])
    plan()
    assert set(by_node(here).values()) == {"agent:2"}


def test_revisions_are_kept_up_to_the_limit_and_numbered() -> None:
    here, plan = world(1)
    before = agent(here)
    here.add(replace(before, spec=replace(before.spec, revisionHistoryLimit=1)))
    for image in ("agent:1", "agent:2", "agent:3", "agent:2"):
        use_image(here, image)
        for _ in range(4):
            plan()
            run(here)
    listed = sorted(here.all(apps_v1.ControllerRevision), key=lambda each: each.revision or 0)
    assert [each.revision for each in listed] == [3, 4]
    template = revisions.template_of(listed[-1])
    assert template.spec is not None and template.spec.containers[0].image == "agent:2"
    assert listed[-1].metadata.ownerReferences[0].name == "agent"


def test_min_ready_seconds() -> None:
    here, plan = world(1)
    before = agent(here)
    here.add(replace(before, spec=replace(before.spec, minReadySeconds=30)))
    plan()
    run(here)
    actions = plan()
    assert agent(here).status.numberUnavailable == 1
    assert [each.after for each in actions if isinstance(each, Requeue)] == [30.0]
    here.now += 30
    plan()
    assert (agent(here).status.numberAvailable, agent(here).status.numberUnavailable) == (1, None)


# --- nodes

AFFINITY = """
apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{%s}]
  containers: [{name: main, image: i}]
"""


@pytest.mark.parametrize(
    ("term", "fits"),
    [
        ("matchExpressions: [{key: zone, operator: In, values: [a, b]}]", True),
        ("matchExpressions: [{key: zone, operator: NotIn, values: [a]}]", False),
        ("matchExpressions: [{key: zone, operator: Exists}]", True),
        ("matchExpressions: [{key: zone, operator: DoesNotExist}]", False),
        ("matchExpressions: [{key: cores, operator: Gt, values: ['3']}]", True),
        ("matchExpressions: [{key: cores, operator: Lt, values: ['3']}]", False),
        ("matchExpressions: [{key: zone, operator: Gt, values: ['3']}]", False),
        ("matchExpressions: [{key: zone, operator: Exists}, {key: gpu, operator: Exists}]", False),
        ("matchFields: [{key: metadata.name, operator: In, values: [n0]}]", True),
        ("matchFields: [{key: metadata.name, operator: NotIn, values: [n0]}]", False),
        ("", False),
    ],
)
def test_node_affinity(term: str, fits: bool) -> None:
    node = one(NODE % ("n0", "{zone: a, cores: '4'}", "[]"))
    assert nodematch.selects(one(AFFINITY % term).spec, node) is fits


# --- on a whole cluster


@covers("[sig-apps] Daemon set should run and stop simple daemon [Conformance] [Serial]")
@pytest.mark.cluster(nodes=3)
async def test_a_deleted_daemon_pod_comes_back(cluster: Cluster) -> None:
    await cluster.apply(AGENT % ("{}", "{}"))
    await cluster.wait_for(apps_v1.DaemonSet, "agent", lambda found: found.status.numberReady == 3)
    pods = await cluster.wait_until(core_v1.Pod, lambda found: len(found) == 3)
    assert {pod.spec.nodeName for pod in pods} == {"node-1", "node-2", "node-3"}
    await cluster.client.delete(core_v1.Pod, pods[0].metadata.name or "", "default")
    await cluster.wait_gone(core_v1.Pod, pods[0].metadata.name or "")
    await cluster.wait_for(apps_v1.DaemonSet, "agent", lambda found: found.status.numberReady == 3)


@covers("[sig-apps] Daemon set should run and stop complex daemon [Conformance] [Serial]")
@pytest.mark.cluster(nodes=2)
async def test_labels_of_nodes_bring_and_take_pods(cluster: Cluster) -> None:
    await cluster.apply(AGENT % ("{}", "{color: blue}"))
    await cluster.wait_for(apps_v1.DaemonSet, "agent", lambda found: found.status.observedGeneration)
    assert (await cluster.client.list(core_v1.Pod, "default")).items == ()
    await cluster.client.patch(core_v1.Node, "node-1", body={"metadata": {"labels": {"color": "blue"}}})
    await cluster.wait_for(apps_v1.DaemonSet, "agent", lambda found: found.status.numberReady == 1)
    await cluster.client.patch(core_v1.Node, "node-1", body={"metadata": {"labels": {"color": "green"}}})
    await cluster.wait_until(core_v1.Pod, lambda found: not found)


@covers(
    "[sig-apps] Daemon set should update pod when spec was updated and update strategy is RollingUpdate"
    " [Conformance] [Serial]"
)
@pytest.mark.cluster(nodes=3)
async def test_an_update_reaches_all_nodes_and_back(cluster: Cluster) -> None:
    def runs(image: str) -> Any:
        return lambda found: (
            len(found) == 3
            and all(pod.spec.containers[0].image == image and pod.status.phase == "Running" for pod in found)
        )

    await cluster.apply(AGENT % ("{}", "{}"))
    await cluster.wait_until(core_v1.Pod, runs("agent:1"))
    await cluster.apply((AGENT % ("{}", "{}")).replace("agent:1", "agent:2"))
    await cluster.wait_until(core_v1.Pod, runs("agent:2"))
    await cluster.apply(AGENT % ("{}", "{}"))
    await cluster.wait_until(core_v1.Pod, runs("agent:1"))
    listed = (await cluster.client.list(apps_v1.ControllerRevision, "default")).items
    assert sorted(each.revision or 0 for each in listed) == [2, 3]
