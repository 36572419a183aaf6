"""The way from one revision to the next, step by step, over a world in which ReplicaSets do as they are told."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sampan.api.errors import already_exists, forbidden_error
from sampan.api.types import apps_v1, core_v1
from sampan.controllers.deployment import revision, sets
from sampan.runtime.actions import Create, Emit
from sampan.testing.world import World
from tests.controllers.rollouts import (
    DEPLOYMENT,
    WEB,
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

# --- the first revision


def test_first_rollout_makes_one_replica_set_of_full_size() -> None:
    here = world(replicas=3)
    actions = here.plan(DEPLOYMENT, "web")
    (made,) = here.all(apps_v1.ReplicaSet)
    assert made.spec.replicas == 3
    assert made.metadata.annotations == {
        "deployment.kubernetes.io/revision": "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    digest = made.metadata.labels["pod-template-hash"]
    assert made.metadata.name == f"web-{digest}"
    assert made.spec.selector.matchLabels == {"app": "web", "pod-template-hash": digest}
    assert made.spec.template is not None and made.spec.template.metadata is not None
    assert made.spec.template.metadata.labels == {"app": "web", "pod-template-hash": digest}
    (owner,) = made.metadata.ownerReferences
    assert (owner.kind, owner.name, owner.controller, owner.blockOwnerDeletion) == ("Deployment", "web", True, True)
    (told,) = [each for each in actions if isinstance(each, Emit)]
    assert told.message == f"Scaled up replica set web-{digest} from 0 to 3"
    assert web(here).metadata.annotations["deployment.kubernetes.io/revision"] == "1"
    assert condition(here, "Progressing") == ("True", "NewReplicaSetCreated")
    assert condition(here, "Available") == ("False", "MinimumReplicasUnavailable")


def test_status_follows_the_pods_to_complete() -> None:
    here = world(replicas=3)
    plan(here)
    obey(here, available={"web:1": 1})
    plan(here)
    assert condition(here, "Progressing") == ("True", "ReplicaSetUpdated")
    assert (web(here).status.replicas, web(here).status.availableReplicas) == (3, 1)
    assert web(here).status.unavailableReplicas == 2
    obey(here)
    plan(here)
    assert condition(here, "Progressing") == ("True", "NewReplicaSetAvailable")
    assert condition(here, "Available") == ("True", "MinimumReplicasAvailable")
    assert web(here).status.unavailableReplicas is None
    assert plan(here) == []


def test_an_empty_selector_is_refused() -> None:
    here = World(DEPLOYMENT)
    here.load((WEB % {"replicas": 1, "strategy": "{}"}).replace("{matchLabels: {app: web}}", "{}"))
    actions = here.plan(DEPLOYMENT, "web")
    assert isinstance(actions[0], Emit) and actions[0].reason == "SelectingAll"
    assert here.all(apps_v1.ReplicaSet) == []


# --- margins


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        ("25%", "25%", 10, (3, 2)),
        ("25%", "25%", 1, (1, 0)),
        ("25%", "25%", 4, (1, 1)),
        ("1", "0", 5, (1, 0)),
        ("0", "1", 5, (0, 1)),
        ("0%", "5%", 5, (0, 1)),
        ("100%", "100%", 7, (7, 7)),
        ("0", "9", 5, (0, 5)),
        ("3", "3", 0, (3, 3)),
    ],
)
def test_margins(surge: str, unavailable: str, replicas: int, expected: tuple[int, int]) -> None:
    strategy = f"{{rollingUpdate: {{maxSurge: {surge}, maxUnavailable: {unavailable}}}}}"
    assert sets.margins(web(world(replicas, strategy))) == expected


def test_recreate_has_no_margins() -> None:
    assert sets.margins(web(world(strategy="{type: Recreate}"))) == (0, 0)


# --- rolling


def test_rolling_update_grows_by_surge_and_shrinks_by_what_may_be_missing() -> None:
    here = world(10, "{rollingUpdate: {maxSurge: 3, maxUnavailable: 2}}")
    roll_out(here)
    use_image(here, "web:2")
    plan(here)
    assert images(here) == {"web:1": 8, "web:2": 3}, "made with the surge's size, so the old one may shrink at once"
    obey(here, available={"web:2": 0})
    plan(here)
    assert images(here) == {"web:1": 8, "web:2": 5}
    obey(here, available={"web:2": 0})
    plan(here)
    assert images(here) == {"web:1": 8, "web:2": 5}
    obey(here, available={"web:2": 5})
    plan(here)
    assert images(here) == {"web:1": 3, "web:2": 5}


def test_rolling_update_never_leaves_its_bounds() -> None:
    here = world(10, "{rollingUpdate: {maxSurge: 25%, maxUnavailable: 25%}}")
    roll_out(here)
    use_image(here, "web:2")
    steps = roll_out(here)
    assert steps[-1] == {"web:1": 0, "web:2": 10}
    assert all(sum(step.values()) <= 13 for step in steps)
    assert all(sum(step.values()) >= 8 for step in steps)
    assert condition(here, "Progressing") == ("True", "NewReplicaSetAvailable")


def test_without_surge_old_pods_go_first() -> None:
    here = world(3, "{rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}")
    roll_out(here)
    use_image(here, "web:2")
    plan(here)
    assert images(here) == {"web:1": 2, "web:2": 0}
    obey(here)
    plan(here)
    assert images(here) == {"web:1": 2, "web:2": 1}
    obey(here, available={"web:2": 0})
    plan(here)
    assert images(here) == {"web:1": 2, "web:2": 1}, "the new pod does not work yet: no more may go"


def test_without_unavailability_new_pods_must_work_first() -> None:
    here = world(3, "{rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}")
    roll_out(here)
    use_image(here, "web:2")
    plan(here)
    assert images(here) == {"web:1": 3, "web:2": 1}
    obey(here, available={"web:2": 0})
    plan(here)
    assert images(here) == {"web:1": 3, "web:2": 1}
    obey(here)
    plan(here)
    assert images(here) == {"web:1": 2, "web:2": 1}


def test_a_broken_old_revision_goes_before_working_pods() -> None:
    here = world(4, "{rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}")
    roll_out(here)
    use_image(here, "broken")
    for _ in range(6):
        plan(here)
        obey(here, available={"broken": 0})
    assert images(here) == {"web:1": 3, "broken": 2}
    use_image(here, "web:2")
    for _ in range(3):
        plan(here)
        obey(here, available={"broken": 0, "web:2": 0})
    assert images(here) == {"web:1": 3, "broken": 0, "web:2": 2}


def test_rollover_abandons_a_rollout_under_way() -> None:
    here = world(4, "{rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}")
    roll_out(here)
    use_image(here, "web:2")
    plan(here)
    obey(here, available={"web:2": 0})
    use_image(here, "web:3")
    steps = roll_out(here)
    assert steps[-1] == {"web:1": 0, "web:2": 0, "web:3": 4}
    assert all(sum(step.values()) <= 5 for step in steps)


# --- recreate


def test_recreate_waits_for_the_last_old_pod() -> None:
    here = world(3, "{type: Recreate}")
    roll_out(here)
    old = replica_set(here, "web:1")
    here.load(
        f"""
        apiVersion: v1
        kind: Pod
        metadata:
          name: web-1
          ownerReferences:
          - apiVersion: apps/v1
            kind: ReplicaSet
            name: {old.metadata.name}
            uid: "{old.metadata.uid}"
            controller: true
        spec: {{containers: [{{name: main, image: "web:1"}}]}}
        status: {{phase: Running}}
        """
    )
    use_image(here, "web:2")
    plan(here)
    assert images(here) == {"web:1": 0}
    obey(here)
    plan(here)
    assert images(here) == {"web:1": 0}, "a pod of the old revision still runs"
    (pod,) = here.all(core_v1.Pod)
    here.remove(pod)
    plan(here)
    assert images(here) == {"web:1": 0, "web:2": 3}


# --- revisions


def test_going_back_makes_an_old_replica_set_the_newest_revision() -> None:
    here = world(2)
    for image in ("web:1", "web:2", "web:3"):
        use_image(here, image)
        roll_out(here)
    assert revision.number(web(here)) == 3
    use_image(here, "web:1")
    roll_out(here)
    back = replica_set(here, "web:1")
    assert images(here) == {"web:1": 2, "web:2": 0, "web:3": 0}
    assert revision.number(back) == 4
    assert back.metadata.annotations["deployment.kubernetes.io/revision-history"] == "1"
    assert revision.number(web(here)) == 4


def test_the_change_cause_is_copied_and_the_last_applied_manifest_is_not() -> None:
    here = world(1)
    before = web(here)
    annotations = {"kubernetes.io/change-cause": "first", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    here.add(replace(before, metadata=replace(before.metadata, annotations=annotations)))
    plan(here)
    (made,) = here.all(apps_v1.ReplicaSet)
    assert made.metadata.annotations["kubernetes.io/change-cause"] == "first"
    assert "kubectl.kubernetes.io/last-applied-configuration" not in made.metadata.annotations


def test_old_revisions_beyond_the_limit_are_removed() -> None:
    here = world(1)
    change_spec(here, revisionHistoryLimit=2)
    for number in range(1, 6):
        use_image(here, f"web:{number}")
        roll_out(here)
    plan(here)
    assert set(images(here)) == {"web:3", "web:4", "web:5"}


def test_with_no_history_nothing_old_stays() -> None:
    here = world(1)
    change_spec(here, revisionHistoryLimit=0)
    for image in ("web:1", "web:2"):
        use_image(here, image)
        roll_out(here)
    plan(here)
    assert images(here) == {"web:2": 1}


def test_a_name_that_a_stranger_took_changes_the_hash() -> None:
    here = world(1)
    digest = revision.template_hash(web(here).spec.template, 0)
    here.load(
        f"""
        apiVersion: apps/v1
        kind: ReplicaSet
        metadata: {{name: web-{digest}, labels: {{app: other}}}}
        spec:
          selector: {{matchLabels: {{app: other}}}}
          template: {{metadata: {{labels: {{app: other}}}}, spec: {{containers: [{{name: a, image: b}}]}}}}
        """
    )
    plan(here)
    assert web(here).status.collisionCount == 1
    plan(here)
    mine = [each for each in here.all(apps_v1.ReplicaSet) if each.metadata.ownerReferences]
    assert [each.metadata.name for each in mine] == [f"web-{revision.template_hash(web(here).spec.template, 1)}"]


def test_our_own_replica_set_of_which_the_cache_does_not_know_is_taken() -> None:
    here = world(1)
    plan(here)
    (made,) = here.all(apps_v1.ReplicaSet)
    forgetful = world(1)
    forgetful.add(web(here))
    forgetful.refuse = lambda action: already_exists("replicasets", "apps", "x") if isinstance(action, Create) else None
    forgetful._caches[apps_v1.ReplicaSet].by = lambda index, key: ()  # type: ignore[method-assign]
    forgetful.add(made)
    plan(forgetful)
    assert forgetful.ended is None
    assert web(forgetful).status.collisionCount is None


def test_a_refused_replica_set_is_told() -> None:
    here = world(1)
    error = forbidden_error("replicasets", "apps", "web", "exceeded quota")
    here.refuse = lambda action: error if isinstance(action, Create) else None
    plan(here)
    assert here.ended is error
    assert condition(here, "Progressing") == ("False", "ReplicaSetCreateError")
