"""ReplicaSets and ReplicationControllers: as many pods as wanted, created slowly, deleted in the right order."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.errors import forbidden_error
from sampan.api.types import apps_v1, core_v1, meta_v1
from sampan.controllers import ranking, replicaset, replicationcontroller
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Batch, Create, Delete, Emit, Requeue
from sampan.runtime.clock import rfc3339
from sampan.testing.plans import names
from sampan.testing.world import START, World

REPLICA_SET = replicaset.declare(Settings())
REPLICATION_CONTROLLER = replicationcontroller.declare(Settings())

WEB = """
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: front}, annotations: {a: b}, finalizers: [example.org/hold]}
    spec: {containers: [{name: main, image: "web:1"}]}
"""

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: web}}
spec: {containers: [{name: main, image: "web:1"}]}
"""


def world(replicas: int) -> World:
    made = World(REPLICA_SET)
    made.load(WEB % replicas)
    return made


def web(world: World) -> apps_v1.ReplicaSet:
    return world.get(apps_v1.ReplicaSet, "web")


def plan(world: World) -> list[Action]:
    return world.plan(REPLICA_SET, "web")


def alive(world: World) -> list[core_v1.Pod]:
    return world.all(core_v1.Pod)


def become(world: World, pod: core_v1.Pod, *, phase: str = "Running", ready: bool = True, since: float = START) -> None:
    condition = core_v1.PodCondition(
        type="Ready", status="True" if ready else "False", lastTransitionTime=rfc3339(since)
    )
    world.add(replace(pod, status=replace(pod.status, phase=phase, conditions=(condition,))))


# --- creating


def test_pods_are_made_from_the_template() -> None:
    here = world(2)
    plan(here)
    made = alive(here)
    assert len(made) == 2
    pod = made[0]
    assert (pod.metadata.name or "").startswith("web-")
    assert pod.metadata.labels == {"app": "web", "tier": "front"}
    assert pod.metadata.annotations == {"a": "b"}
    assert pod.metadata.finalizers == ("example.org/hold",)
    (owner,) = pod.metadata.ownerReferences
    assert (owner.apiVersion, owner.kind, owner.name, owner.controller) == ("apps/v1", "ReplicaSet", "web", True)
    assert pod.spec == web(here).spec.template.spec  # type: ignore[union-attr]
    assert web(here).status.replicas == 2


def test_a_settled_replica_set_asks_for_nothing() -> None:
    here = world(2)
    plan(here)
    plan(here)
    assert plan(here) == []


def test_long_names_leave_room_for_the_suffix() -> None:
    here = World(REPLICA_SET)
    here.load((WEB % 1).replace("name: web}", "name: " + "x" * 70 + "}"))
    here.plan(REPLICA_SET, "x" * 70)
    assert len(alive(here)[0].metadata.name or "") <= 63


def test_no_more_than_a_burst_at_once() -> None:
    here = world(700)
    plan(here)
    assert len(alive(here)) == 500
    plan(here)
    assert len(alive(here)) == 700


def test_a_refusal_stops_the_rest_and_is_told() -> None:
    here = world(10)
    error = forbidden_error("pods", "", "web-1", "exceeded quota: pods, used: pods=3, limited: pods=3")
    here.refuse = lambda action: error if isinstance(action, Create) and len(alive(here)) >= 3 else None
    actions = plan(here)
    assert len(alive(here)) == 3
    (condition,) = web(here).status.conditions
    assert (condition.type, condition.status, condition.reason) == ("ReplicaFailure", "True", "FailedCreate")
    assert "exceeded quota" in (condition.message or "")
    assert web(here).status.replicas == 3
    assert here.ended is error, "whoever keeps the queue tries again later"
    assert [each.reason for each in actions if isinstance(each, Emit)][-1] == "FailedCreate"
    since = condition.lastTransitionTime
    here.now += 60
    plan(here)
    assert web(here).status.conditions[0].lastTransitionTime == since
    here.refuse = lambda action: None
    plan(here)
    assert web(here).status.conditions == ()
    assert len(alive(here)) == 10


# --- counting


def test_finished_and_terminating_pods_are_replaced() -> None:
    here = world(3)
    plan(here)
    one, two, three = alive(here)
    become(here, one, phase="Failed", ready=False)
    here.add(replace(two, metadata=replace(two.metadata, deletionTimestamp="2027-01-15T08:00:00Z")))
    become(here, three)
    plan(here)
    assert len(alive(here)) == 5
    assert web(here).status.replicas == 3
    assert web(here).status.readyReplicas == 1
    assert web(here).status.terminatingReplicas == 1


def test_status_counts() -> None:
    here = world(3)
    plan(here)
    one, two, _ = alive(here)
    become(here, one)
    become(here, two)
    here.load((POD % "plain").replace("{app: web}", "{app: web, tier: back}"))
    plan(here)
    observed = web(here).status
    assert (observed.replicas, observed.readyReplicas, observed.availableReplicas) == (3, 2, 2)
    assert observed.observedGeneration == web(here).metadata.generation


def test_readiness_must_last_for_min_ready_seconds() -> None:
    here = world(2)
    before = web(here)
    here.add(replace(before, spec=replace(before.spec, minReadySeconds=30)))
    plan(here)
    one, two = alive(here)
    become(here, one, since=START - 25)
    become(here, two, since=START - 10)
    actions = plan(here)
    assert (web(here).status.readyReplicas, web(here).status.availableReplicas) == (2, None)
    assert [each.after for each in actions if isinstance(each, Requeue)] == [5.0]
    here.now += 5
    actions = plan(here)
    assert web(here).status.availableReplicas == 1
    assert [each.after for each in actions if isinstance(each, Requeue)] == [15.0]
    here.now += 15
    assert not [each for each in plan(here) if isinstance(each, Requeue)]
    assert web(here).status.availableReplicas == 2


# --- adopting and releasing


def test_matching_orphans_are_adopted_and_counted() -> None:
    here = world(2)
    here.load(POD % "orphan")
    here.load((POD % "stranger").replace("app: web", "app: other"))
    plan(here)
    assert len(alive(here)) == 3
    assert here.get(core_v1.Pod, "orphan").metadata.ownerReferences[0].uid == web(here).metadata.uid
    assert here.get(core_v1.Pod, "stranger").metadata.ownerReferences == ()


def test_a_pod_that_lost_its_labels_is_released_and_replaced() -> None:
    here = world(1)
    plan(here)
    (pod,) = alive(here)
    here.add(replace(pod, metadata=replace(pod.metadata, labels={"app": "debug"})))
    plan(here)
    released = here.get(core_v1.Pod, pod.metadata.name or "")
    assert released.metadata.ownerReferences == ()
    assert len(alive(here)) == 2


def test_an_owner_that_is_another_one_by_now_adopts_nothing() -> None:
    here = world(1)
    here.load(POD % "orphan")
    another = replace(web(here), metadata=replace(web(here).metadata, uid="another"))

    async def live(type: Any, name: str, namespace: str = "") -> Any:
        return another

    here.get_object = live  # type: ignore[method-assign]
    plan(here)
    assert here.get(core_v1.Pod, "orphan").metadata.ownerReferences == ()


def test_one_that_is_being_deleted_makes_nothing() -> None:
    here = world(2)
    plan(here)
    before = web(here)
    here.add(
        replace(
            before,
            metadata=replace(before.metadata, deletionTimestamp="2027-01-15T08:00:00Z"),
            spec=replace(before.spec, replicas=9),
        )
    )
    plan(here)
    assert len(alive(here)) == 2


def test_changes_of_a_pod_concern_its_owner_and_an_orphan_everybody_who_matches() -> None:
    here = world(1)
    plan(here)
    (watch,) = REPLICA_SET.watches
    (pod,) = alive(here)
    assert list(watch.keys(pod, here.view())) == [("default", "web")]
    here.load(POD % "orphan")
    assert list(watch.keys(here.get(core_v1.Pod, "orphan"), here.view())) == [("default", "web")]
    other = replace(pod.metadata.ownerReferences[0], kind="Job", apiVersion="batch/v1")
    stranger = replace(pod, metadata=replace(pod.metadata, ownerReferences=(other,)))
    assert list(watch.keys(stranger, here.view())) == []


# --- deleting


def test_too_many_are_deleted() -> None:
    here = world(5)
    plan(here)
    before = web(here)
    here.add(replace(before, spec=replace(before.spec, replicas=2)))
    actions = plan(here)
    assert len([each for each in alive(here) if each.metadata.deletionTimestamp is None]) == 2
    (batch,) = [each for each in actions if isinstance(each, Batch)]
    assert all(isinstance(each, Delete) for each in batch.actions)
    assert [each.reason for each in actions if isinstance(each, Emit)] == ["SuccessfulDelete"] * 3


def pod(name: str, **how: Any) -> core_v1.Pod:
    """A pod as ranking looks at it; `ready_for` and `age` are seconds."""
    conditions = ()
    if "ready_for" in how:
        since = rfc3339(START - how["ready_for"])
        conditions = (core_v1.PodCondition(type="Ready", status="True", lastTransitionTime=since),)
    statuses = (core_v1.ContainerStatus(name="main", restartCount=how["restarts"]),) if "restarts" in how else ()
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(
            name=name,
            uid=name,
            creationTimestamp=rfc3339(START - how.get("age", 1000)),
            annotations={ranking.DELETION_COST: str(how["cost"])} if "cost" in how else {},
        ),
        spec=core_v1.PodSpec(nodeName=how.get("node", "node-1")),
        status=core_v1.PodStatus(phase=how.get("phase", "Running"), conditions=conditions, containerStatuses=statuses),
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pod("a", node=""), pod("b", phase="Pending")),
        (pod("a", phase="Pending"), pod("b", phase="Unknown")),
        (pod("a", phase="Unknown"), pod("b")),
        (pod("a"), pod("b", ready_for=10)),
        (pod("a", ready_for=900, cost=-5), pod("b", ready_for=1)),
        (pod("a", ready_for=10, cost=1), pod("b", ready_for=10, cost=2)),
        (pod("a", ready_for=10), pod("b", ready_for=900)),
        (pod("a", ready_for=10, restarts=3), pod("b", ready_for=10, restarts=1)),
        (pod("a", ready_for=10, age=100), pod("b", ready_for=10, age=9000)),
    ],
)
def test_who_goes_first(first: core_v1.Pod, second: core_v1.Pod) -> None:
    for candidates in ([first, second], [second, first]):
        assert ranking.first_to_go(candidates, candidates, 1, START) == [first]


def test_crowded_nodes_lose_first() -> None:
    crowd = [pod(f"sibling-{at}", node="full", ready_for=10) for at in range(3)]
    on_full, alone = pod("z", node="full", ready_for=1000), pod("a", node="empty", ready_for=5)
    assert ranking.first_to_go([alone, on_full], [*crowd, alone, on_full], 1, START) == [on_full]


@pytest.mark.parametrize("cost", ["+5", "07", "much", "9999999999"])
def test_a_cost_that_is_no_number_counts_as_none(cost: str) -> None:
    odd, dear = pod("a", ready_for=10, cost=cost), pod("b", ready_for=10, cost=3)
    assert ranking.first_to_go([dear, odd], [dear, odd], 1, START) == [odd]


def test_pods_of_about_the_same_age_are_drawn_by_uid() -> None:
    older, younger = pod("b", ready_for=130), pod("a", ready_for=250)
    assert ranking.first_to_go([older, younger], [], 1, START) == [younger]


# --- ReplicationControllers


def test_replication_controllers_do_the_same_with_a_plain_selector() -> None:
    here = World(REPLICATION_CONTROLLER)
    here.load(
        """
        apiVersion: v1
        kind: ReplicationController
        metadata: {name: web}
        spec:
          replicas: 2
          selector: {app: web}
          template:
            metadata: {labels: {app: web}}
            spec: {containers: [{name: main, image: "web:1"}]}
        """
    )
    assert names(here.plan(REPLICATION_CONTROLLER, "web"))[:2] == ["Create Pod default/web-*"] * 2
    observed = here.get(core_v1.ReplicationController, "web").status
    assert (observed.replicas, observed.fullyLabeledReplicas) == (2, 2)
    assert alive(here)[0].metadata.ownerReferences[0].kind == "ReplicationController"
