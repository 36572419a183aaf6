"""The way from one revision to the next, step by step, over a world in which ReplicaSets do as they are told."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sampan.api.errors import already_exists, forbidden_error
from sampan.api.types import apps_v1, core_v1
from sampan.controllers import deployment
from sampan.controllers.deployment import revision, scale, sets, status
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Create, Emit, Requeue, Update
from sampan.testing.plans import names
from sampan.testing.world import START, World

DEPLOYMENT = deployment.declare(Settings())

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: %(replicas)s
  selector: {matchLabels: {app: web}}
  strategy: %(strategy)s
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "web:1"}]}
"""


def world(replicas: int = 10, strategy: str = "{}") -> World:
    made = World(DEPLOYMENT)
    made.load(WEB % {"replicas": replicas, "strategy": strategy})
    return made


def web(world: World) -> apps_v1.Deployment:
    return world.get(apps_v1.Deployment, "web")


def plan(world: World) -> list[str]:
    return names(world.plan(DEPLOYMENT, "web"))


def change_spec(world: World, **fields: object) -> None:
    before = web(world)
    generation = (before.metadata.generation or 0) + 1
    metadata = replace(before.metadata, generation=generation)
    world.add(replace(before, metadata=metadata, spec=replace(before.spec, **fields)))


def use_image(world: World, image: str) -> None:
    template = web(world).spec.template
    assert template.spec is not None
    containers = (replace(template.spec.containers[0], image=image),)
    change_spec(world, template=replace(template, spec=replace(template.spec, containers=containers)))


def images(world: World) -> dict[str, int]:
    """Image -> replicas of the ReplicaSet that runs it."""
    return {
        each.spec.template.spec.containers[0].image or "": each.spec.replicas or 0
        for each in world.all(apps_v1.ReplicaSet)
        if each.spec.template and each.spec.template.spec
    }


def replica_set(world: World, image: str) -> apps_v1.ReplicaSet:
    return next(
        each
        for each in world.all(apps_v1.ReplicaSet)
        if each.spec.template and each.spec.template.spec and each.spec.template.spec.containers[0].image == image
    )


def obey(world: World, *, available: dict[str, int] | None = None) -> None:
    """ReplicaSets have made their pods; those of `available` (by image) only so many that work."""
    for each in world.all(apps_v1.ReplicaSet):
        size = each.spec.replicas or 0
        assert each.spec.template is not None and each.spec.template.spec is not None
        image = each.spec.template.spec.containers[0].image or ""
        up = min(size, (available or {}).get(image, size))
        observed = replace(
            each.status,
            replicas=size,
            readyReplicas=up,
            availableReplicas=up,
            observedGeneration=each.metadata.generation,
        )
        world.add(replace(each, status=observed))


def roll_out(world: World) -> list[dict[str, int]]:
    """Reconcile and obey until nothing changes; the sizes after each reconciliation."""
    steps: list[dict[str, int]] = []
    for _ in range(100):
        before = world.all(apps_v1.ReplicaSet), web(world)
        plan(world)
        if not steps or images(world) != steps[-1]:
            steps.append(images(world))
        obey(world)
        if (world.all(apps_v1.ReplicaSet), web(world)) == before:
            return steps
        if images(world) == steps[-1] and status.is_complete(web(world), web(world).status):
            return steps
    raise AssertionError(f"no end: {steps}")


def condition(world: World, type: str) -> tuple[str | None, str | None]:
    found = status.condition(web(world), type)
    return (found.status, found.reason) if found is not None else (None, None)


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
