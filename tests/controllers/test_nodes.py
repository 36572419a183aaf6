"""Nodes: pod ranges, loss of contact, taints, eviction, and pods that nobody will finish any more."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sampan.api.types import coordination_v1, core_v1
from sampan.controllers import nodeipam, nodelifecycle, podgc, tainteviction
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Emit, Requeue, Terminal
from sampan.runtime.clock import rfc3339, rfc3339_micro
from sampan.runtime.controller import Controller
from sampan.testing.plans import names
from sampan.testing.world import START, World

NODE = """
apiVersion: v1
kind: Node
metadata: {name: %s}
status:
  conditions:
  - {type: Ready, status: "%s", reason: KubeletReady, lastHeartbeatTime: "2027-01-15T08:00:00Z"}
  - {type: MemoryPressure, status: "False"}
"""

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s, uid: %s, labels: {app: web}}
spec:
  nodeName: %s
  tolerations: %s
  containers: [{name: main, image: i}]
status: {phase: Running, conditions: [{type: Ready, status: "True"}]}
"""


def node(world: World, name: str = "n1") -> core_v1.Node:
    return world.get(core_v1.Node, name)


def waits(actions: list[Action]) -> list[float]:
    return [each.after for each in actions if isinstance(each, Requeue)]


def renew(world: World, name: str = "n1", at: float | None = None) -> None:
    world.load(
        f"""
        apiVersion: coordination.k8s.io/v1
        kind: Lease
        metadata: {{name: {name}, namespace: kube-node-lease}}
        spec: {{holderIdentity: {name}, leaseDurationSeconds: 40, renewTime: "{rfc3339_micro(at or world.now)}"}}
        """
    )


def taints(world: World, name: str = "n1") -> set[tuple[str, str]]:
    return {(each.key, each.effect) for each in node(world, name).spec.taints}


def lifecycle(ready: str = "True") -> tuple[World, Controller]:
    controller = nodelifecycle.declare(Settings())
    here = World(controller)
    here.load(NODE % ("n1", ready))
    renew(here)
    return here, controller


# --- lifecycle


def test_a_node_that_reports_is_looked_at_again_when_it_could_be_lost() -> None:
    here, controller = lifecycle()
    assert waits(here.plan(controller, "n1", "")) == [40.0]
    here.now += 40
    renew(here, at=START + 30)
    assert waits(here.plan(controller, "n1", "")) == [30.0], "renewed ten seconds ago"
    assert taints(here) == set()


def test_a_node_that_falls_silent_is_not_known_to_be_ready() -> None:
    here, controller = lifecycle()
    here.plan(controller, "n1", "")
    here.now += 40
    actions = here.plan(controller, "n1", "")
    ready = next(each for each in node(here).status.conditions if each.type == "Ready")
    assert (ready.status, ready.reason, ready.message) == (
        "Unknown",
        "NodeStatusUnknown",
        "Kubelet stopped posting node status.",
    )
    disk = next(each for each in node(here).status.conditions if each.type == "DiskPressure")
    assert (disk.status, disk.reason) == ("Unknown", "NodeStatusNeverUpdated")
    assert taints(here) == {
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    }
    assert [each.reason for each in actions if isinstance(each, Emit)] == ["NodeNotReady"]


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_was_set_and_a_machine_that_slept_lose_no_node(jump: float) -> None:
    here, controller = lifecycle()
    here.plan(controller, "n1", "")
    here.now += jump
    assert waits(here.plan(controller, "n1", "")) == [40.0], "it has the whole time again"
    assert taints(here) == set()
    here.now += 40
    here.plan(controller, "n1", "")
    assert ("node.kubernetes.io/unreachable", "NoExecute") in taints(here), "still silent"


def test_pods_of_a_lost_node_serve_no_more() -> None:
    here, controller = lifecycle()
    here.load(POD % ("a", "a", "n1", "[]") + "---" + POD % ("b", "b", "n2", "[]"))
    here.plan(controller, "n1", "")
    here.now += 40
    here.plan(controller, "n1", "")
    status = {each.metadata.name: each.status.conditions[0].status for each in here.all(core_v1.Pod)}
    assert status == {"a": "False", "b": "True"}


def test_a_node_that_comes_back_loses_the_taints() -> None:
    here, controller = lifecycle()
    here.plan(controller, "n1", "")
    here.now += 40
    here.plan(controller, "n1", "")
    before = node(here)
    conditions = tuple(
        replace(each, status="True", lastHeartbeatTime=rfc3339(here.now)) if each.type == "Ready" else each
        for each in before.status.conditions
    )
    foreign = core_v1.Taint(key="example.org/mine", effect="NoSchedule")
    here.add(
        replace(
            before,
            status=replace(before.status, conditions=conditions),
            spec=replace(before.spec, taints=(*before.spec.taints, foreign)),
        )
    )
    renew(here)
    assert waits(here.plan(controller, "n1", "")) == [40.0]
    assert taints(here) == {("example.org/mine", "NoSchedule")}


def test_a_node_that_says_not_ready_is_tainted_so() -> None:
    here, controller = lifecycle(ready="False")
    here.plan(controller, "n1", "")
    assert taints(here) == {
        ("node.kubernetes.io/not-ready", "NoSchedule"),
        ("node.kubernetes.io/not-ready", "NoExecute"),
    }
    (taint, _) = node(here).spec.taints
    assert taint.timeAdded == rfc3339(START)


def test_pressure_and_cordon_become_taints() -> None:
    here, controller = lifecycle()
    before = node(here)
    pressed = tuple(
        replace(each, status="True") if each.type == "MemoryPressure" else each for each in before.status.conditions
    )
    here.add(
        replace(
            before, status=replace(before.status, conditions=pressed), spec=replace(before.spec, unschedulable=True)
        )
    )
    here.plan(controller, "n1", "")
    assert taints(here) == {
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    }


def test_a_new_node_keeps_the_taint_of_admission_until_it_reports() -> None:
    controller = nodelifecycle.declare(Settings())
    here = World(controller)
    here.load(
        """
        apiVersion: v1
        kind: Node
        metadata: {name: n1}
        spec: {taints: [{key: node.kubernetes.io/not-ready, effect: NoSchedule}]}
        """
    )
    assert waits(here.plan(controller, "n1", "")) == [60.0]
    assert taints(here) == {("node.kubernetes.io/not-ready", "NoSchedule")}


def test_a_controller_that_starts_gives_everybody_the_whole_time() -> None:
    here, controller = lifecycle()
    here.now += 3600
    assert waits(here.plan(controller, "n1", "")) == [40.0]
    assert taints(here) == set()


def test_clocks_of_nodes_need_not_agree() -> None:
    here, controller = lifecycle()
    here.plan(controller, "n1", "")
    here.now += 35
    renew(here, at=START - 7200)
    assert waits(here.plan(controller, "n1", "")) == [40.0], "it was renewed, whatever its clock says"


def test_what_a_gone_node_left_is_forgotten() -> None:
    here, controller = lifecycle()
    here.plan(controller, "n1", "")
    here.remove(node(here))
    assert here.plan(controller, "n1", "") == []


# --- eviction by taint

NO_EXECUTE = core_v1.Taint(key="k", value="v", effect="NoExecute", timeAdded=rfc3339(START))


def evicting(tolerations: str) -> tuple[World, Controller]:
    controller = tainteviction.declare(Settings())
    here = World(controller)
    here.load(NODE % ("n1", "True") + "---" + POD % ("a", "a", "n1", tolerations))
    pod = here.get(core_v1.Pod, "a")
    here.add(replace(pod, metadata=replace(pod.metadata, creationTimestamp=rfc3339(START - 100))))
    return here, controller


def taint(world: World, *taints: core_v1.Taint) -> None:
    before = node(world)
    world.add(replace(before, spec=replace(before.spec, taints=taints)))


def test_a_pod_that_does_not_tolerate_leaves_at_once_and_says_why() -> None:
    here, controller = evicting("[]")
    assert here.plan(controller, "a") == []
    taint(here, NO_EXECUTE)
    actions = here.plan(controller, "a")
    assert names(actions)[1:] == ["Update Pod default/a", "Delete Pod default/a"]
    update = actions[1]
    condition = next(each for each in update.object.status.conditions if each.type == "DisruptionTarget")  # type: ignore[union-attr]
    assert (condition.status, condition.reason) == ("True", "DeletionByTaintManager")


def test_a_limited_toleration_is_waited_for() -> None:
    here, controller = evicting("[{key: k, operator: Exists, tolerationSeconds: 300}]")
    taint(here, NO_EXECUTE)
    assert waits(here.plan(controller, "a")) == [300.0]
    here.now += 100
    assert waits(here.plan(controller, "a")) == [200.0]
    here.now += 200
    assert "Delete Pod default/a" in names(here.plan(controller, "a"))


def test_the_shortest_of_several_limits_counts() -> None:
    here, controller = evicting(
        "[{key: k, operator: Exists, tolerationSeconds: 300}, {operator: Exists, tolerationSeconds: 20}]"
    )
    taint(here, NO_EXECUTE)
    assert waits(here.plan(controller, "a")) == [20.0]


def test_removing_the_taint_cancels_the_eviction() -> None:
    here, controller = evicting("[{key: k, operator: Exists, tolerationSeconds: 30}]")
    taint(here, NO_EXECUTE)
    here.plan(controller, "a")
    taint(here)
    here.now += 60
    assert here.plan(controller, "a") == []


def test_a_taint_without_time_counts_from_when_it_was_seen() -> None:
    here, controller = evicting("[{key: k, operator: Exists, tolerationSeconds: 30}]")
    taint(here, replace(NO_EXECUTE, timeAdded=None))
    assert waits(here.plan(controller, "a")) == [30.0]
    here.now += 10
    assert waits(here.plan(controller, "a")) == [20.0]
    here.remove(here.get(core_v1.Pod, "a"))
    assert here.plan(controller, "a") == []


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (core_v1.Toleration(operator="Exists"), True),
        (core_v1.Toleration(key="k", operator="Exists"), True),
        (core_v1.Toleration(key="k", value="v"), True),
        (core_v1.Toleration(key="k", operator="Equal", value="v", effect="NoExecute"), True),
        (core_v1.Toleration(key="k", value="w"), False),
        (core_v1.Toleration(key="other", operator="Exists"), False),
        (core_v1.Toleration(key="k", operator="Exists", effect="NoSchedule"), False),
    ],
)
def test_tolerates(toleration: core_v1.Toleration, expected: bool) -> None:
    assert tainteviction.tolerates(toleration, NO_EXECUTE) is expected


def test_other_effects_evict_nobody() -> None:
    here, controller = evicting("[]")
    taint(here, replace(NO_EXECUTE, effect="NoSchedule"))
    assert here.plan(controller, "a") == []


# --- pod gc


def collecting(threshold: int = 12500) -> tuple[World, Controller]:
    controller = podgc.declare(Settings(terminated_pod_gc_threshold=threshold))
    return World(controller), controller


def test_pods_of_a_node_that_is_gone_are_lost_after_a_while() -> None:
    here, controller = collecting()
    here.load(POD % ("a", "a", "gone", "[]"))
    assert waits(here.plan(controller, "a")) == [40.0]
    here.now += 40
    actions = here.plan(controller, "a")
    assert names(actions)[-1] == "Delete Pod default/a"
    marked = next(each for each in actions if hasattr(each, "subresource") and each.subresource == "status")
    assert marked.object.status.phase == "Failed"
    condition = next(each for each in marked.object.status.conditions if each.type == "DisruptionTarget")
    assert (condition.reason, condition.message) == ("DeletionByPodGC", "PodGC: node no longer exists")


def test_a_node_that_comes_back_in_time_keeps_its_pods() -> None:
    here, controller = collecting()
    here.load(POD % ("a", "a", "n1", "[]"))
    here.plan(controller, "a")
    here.load(NODE % ("n1", "True"))
    here.now += 100
    assert here.plan(controller, "a") == []
    here.remove(node(here))
    assert waits(here.plan(controller, "a")) == [40.0], "counted anew"


def test_a_deleted_pod_that_was_never_bound_goes() -> None:
    here, controller = collecting()
    here.load(POD % ("a", "a", '""', "[]"))
    assert here.plan(controller, "a") == []
    pod = here.get(core_v1.Pod, "a")
    here.add(replace(pod, metadata=replace(pod.metadata, deletionTimestamp=rfc3339(START))))
    assert names(here.plan(controller, "a")) == ["Delete Pod default/a"]


def test_terminating_pods_on_a_node_out_of_service_go() -> None:
    here, controller = collecting()
    here.load(NODE % ("n1", "Unknown") + "---" + POD % ("a", "a", "n1", "[]"))
    taint(here, core_v1.Taint(key="node.kubernetes.io/out-of-service", effect="NoExecute"))
    assert here.plan(controller, "a") == []
    pod = here.get(core_v1.Pod, "a")
    here.add(replace(pod, metadata=replace(pod.metadata, deletionTimestamp=rfc3339(START))))
    assert names(here.plan(controller, "a"))[-1] == "Delete Pod default/a"


def test_the_oldest_finished_pods_beyond_the_threshold_go() -> None:
    here, controller = collecting(threshold=2)
    here.load(NODE % ("n1", "True"))
    for number in range(4):
        here.load((POD % (f"p{number}", f"p{number}", "n1", "[]")).replace("Running", "Succeeded"))
        pod = here.get(core_v1.Pod, f"p{number}")
        here.add(replace(pod, metadata=replace(pod.metadata, creationTimestamp=rfc3339(START + number))))
    assert here.plan(controller, "p3") == []
    assert names(here.plan(controller, "p1")) == ["Delete Pod default/p1"]
    assert names(here.plan(controller, "p0")) == ["Delete Pod default/p0"]
    assert here.plan(controller, "p2") == []


# --- ranges of pod addresses


def addressing(cidr: str = "10.244.0.0/16", mask: int = 24) -> tuple[World, Controller]:
    controller = nodeipam.declare(Settings(cluster_cidr=cidr, node_cidr_mask=mask))
    return World(controller), controller


def test_each_node_has_the_lowest_free_range() -> None:
    here, controller = addressing()
    for name in ("a", "b", "c"):
        here.load(NODE % (name, "True"))
        here.plan(controller, name, "")
    assert [each.spec.podCIDR for each in here.all(core_v1.Node)] == [
        "10.244.0.0/24",
        "10.244.1.0/24",
        "10.244.2.0/24",
    ]
    assert node(here, "b").spec.podCIDRs == ("10.244.1.0/24",)
    here.remove(node(here, "b"))
    here.load(NODE % ("d", "True"))
    here.plan(controller, "d", "")
    assert node(here, "d").spec.podCIDR == "10.244.1.0/24"
    assert here.plan(controller, "d", "") == []


def test_a_range_of_another_size_is_gone_around() -> None:
    here, controller = addressing()
    here.load(NODE % ("wide", "True"))
    before = node(here, "wide")
    here.add(replace(before, spec=replace(before.spec, podCIDR="10.244.0.0/23")))
    here.load(NODE % ("n1", "True"))
    here.plan(controller, "n1", "")
    assert node(here).spec.podCIDR == "10.244.2.0/24"


def test_no_range_is_left() -> None:
    here, controller = addressing("10.244.0.0/24")
    here.load(NODE % ("a", "True") + "---" + NODE % ("b", "True"))
    here.plan(controller, "a", "")
    actions = here.plan(controller, "b", "")
    assert isinstance(here.ended, Terminal)
    assert [each.reason for each in actions if isinstance(each, Emit)] == ["CIDRNotAvailable"]


def test_without_a_cluster_range_nodes_have_none() -> None:
    here, controller = addressing("")
    here.load(NODE % ("a", "True"))
    assert here.plan(controller, "a", "") == []


def test_a_lease_of_another_namespace_is_no_nodes() -> None:
    controller = nodelifecycle.declare(Settings())
    watch = next(each for each in controller.watches if each.type is coordination_v1.Lease)
    here = World(controller)
    renew(here)
    lease = here.get(coordination_v1.Lease, "n1", "kube-node-lease")
    assert list(watch.keys(lease, here.view())) == [("", "n1")]
    assert not watch.changed(lease, lease)
    other = replace(lease, metadata=replace(lease.metadata, namespace="kube-system"))
    assert list(watch.keys(other, here.view())) == []
