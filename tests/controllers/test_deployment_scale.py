"""Scaling, pause, deadlines and ownership of Deployments."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sampan.api.types import apps_v1
from sampan.controllers.deployment import scale, status
from sampan.runtime.actions import Requeue, Update
from sampan.testing.world import START
from tests.controllers.rollouts import (
    DEPLOYMENT,
    change_spec,
    condition,
    images,
    obey,
    plan,
    replica_set,
    roll_out,
    use_image,
    web,
    world,
)

# --- scaling


def test_scaling_a_settled_deployment_sizes_its_only_replica_set() -> None:
    here = world(3)
    roll_out(here)
    change_spec(here, replicas=7)
    actions = plan(here)
    assert images(here) == {"web:1": 7}
    assert any("from 3 to 7" in each for each in actions)
    assert replica_set(here, "web:1").metadata.annotations["deployment.kubernetes.io/max-replicas"] == "9"
    change_spec(here, replicas=0)
    plan(here)
    assert images(here) == {"web:1": 0}


def test_scaling_during_a_rollout_is_proportional() -> None:
    """Kubernetes' documentation: 10 replicas, surge 3, unavailable 2, the new image does not come up; then 15."""
    here = world(10, "{rollingUpdate: {maxSurge: 3, maxUnavailable: 2}}")
    roll_out(here)
    use_image(here, "broken")
    for _ in range(5):
        plan(here)
        obey(here, available={"broken": 0})
    assert images(here) == {"web:1": 8, "broken": 5}
    change_spec(here, replicas=15)
    plan(here)
    assert images(here) == {"web:1": 11, "broken": 7}


@pytest.mark.parametrize(
    ("counts", "replicas", "maximum", "expected"),
    [
        ([5, 5], 20, 12, [9, 13]),
        ([8, 2], 5, 12, [5, 2]),
        ([1, 1, 1], 6, 5, [2, 2, 4]),
        ([10, 0], 4, 12, [6, 0]),
    ],
)
def test_proportions_add_up(counts: list[int], replicas: int, maximum: int, expected: list[int]) -> None:
    here = world(replicas, "{rollingUpdate: {maxSurge: 2, maxUnavailable: 2}}")
    made = [
        apps_v1.ReplicaSet(
            metadata=replace(
                web(here).metadata,
                name=f"web-{at}",
                creationTimestamp=f"2027-01-0{at + 1}T00:00:00Z",
                annotations={scale.MAXIMUM: str(maximum)},
            ),
            spec=apps_v1.ReplicaSetSpec(replicas=count),
        )
        for at, count in enumerate(counts)
    ]
    allowed = replicas + 2
    found = scale.proportions(web(here), [each for each in made if each.spec.replicas], allowed - sum(counts))
    by_name = {each.metadata.name: count for each, count in found}
    assert sum(by_name.values()) == allowed
    assert all(count >= 0 for count in by_name.values())
    assert [by_name.get(f"web-{at}", 0) for at in range(len(counts))] == expected


def test_a_saturated_new_replica_set_takes_all() -> None:
    here = world(4, "{rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}")
    roll_out(here)
    use_image(here, "web:2")
    roll_out(here)
    old = replica_set(here, "web:1")
    annotations = {**old.metadata.annotations, scale.DESIRED: "9"}
    here.add(replace(old, metadata=replace(old.metadata, annotations=annotations), spec=replace(old.spec, replicas=2)))
    plan(here)
    assert images(here) == {"web:1": 0, "web:2": 4}


# --- pause


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    here = world(2)
    roll_out(here)
    change_spec(here, paused=True)
    plan(here)
    assert condition(here, "Progressing") == ("Unknown", "DeploymentPaused")
    use_image(here, "web:2")
    change_spec(here, replicas=5)
    plan(here)
    assert images(here) == {"web:1": 5}
    change_spec(here, paused=None)
    plan(here)
    assert condition(here, "Progressing")[1] in ("DeploymentResumed", "NewReplicaSetCreated", "ReplicaSetUpdated")
    roll_out(here)
    assert images(here) == {"web:1": 0, "web:2": 5}


# --- deadline


def test_the_progress_deadline_is_met_by_looking_again_in_time() -> None:
    here = world(2)
    change_spec(here, progressDeadlineSeconds=60)
    here.plan(DEPLOYMENT, "web")
    obey(here, available={"web:1": 0})
    actions = here.plan(DEPLOYMENT, "web")
    assert [each.after for each in actions if isinstance(each, Requeue)] == [61.0]
    here.now = START + 59
    here.plan(DEPLOYMENT, "web")
    assert condition(here, "Progressing")[0] == "True"
    here.now = START + 61
    actions = here.plan(DEPLOYMENT, "web")
    assert condition(here, "Progressing") == ("False", "ProgressDeadlineExceeded")
    assert not [each for each in actions if isinstance(each, Requeue)]
    obey(here)
    here.plan(DEPLOYMENT, "web")
    assert condition(here, "Progressing") == ("True", "NewReplicaSetAvailable")


def test_without_a_deadline_there_is_no_progress_condition() -> None:
    here = world(1)
    change_spec(here, progressDeadlineSeconds=2**31 - 1)
    plan(here)
    obey(here)
    plan(here)
    assert status.condition(web(here), "Progressing") is None


def test_what_keeps_a_replica_set_from_making_pods_is_told() -> None:
    here = world(1)
    plan(here)
    made = replica_set(here, "web:1")
    failure = apps_v1.ReplicaSetCondition(type="ReplicaFailure", status="True", reason="FailedCreate", message="quota")
    here.add(replace(made, status=replace(made.status, conditions=(failure,))))
    plan(here)
    assert condition(here, "ReplicaFailure") == ("True", "FailedCreate")
    here.add(replace(made, status=replace(made.status, conditions=())))
    plan(here)
    assert condition(here, "ReplicaFailure") == (None, None)


# --- ownership


def test_a_matching_orphan_is_adopted_and_a_stranger_released() -> None:
    here = world(2)
    plan(here)
    made = replica_set(here, "web:1")
    here.add(replace(made, metadata=replace(made.metadata, ownerReferences=())))
    plan(here)
    assert replica_set(here, "web:1").metadata.ownerReferences[0].name == "web"
    made = replica_set(here, "web:1")
    here.add(replace(made, metadata=replace(made.metadata, labels={"app": "other"})))
    actions = here.plan(DEPLOYMENT, "web")
    released = here.get(apps_v1.ReplicaSet, made.metadata.name or "")
    assert released.metadata.ownerReferences == ()
    assert not [each for each in actions if isinstance(each, Update) and each.object is made]


def test_a_deployment_that_is_being_deleted_only_reports() -> None:
    here = world(2)
    plan(here)
    before = web(here)
    here.add(replace(before, metadata=replace(before.metadata, deletionTimestamp="2027-01-15T08:00:00Z")))
    use_image(here, "web:2")
    plan(here)
    assert images(here) == {"web:1": 2}
