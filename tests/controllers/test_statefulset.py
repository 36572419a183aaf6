"""StatefulSets: order, identity, storage, updates with partition, and coming back."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.types import apps_v1, core_v1
from sampan.controllers import statefulset
from sampan.controllers.settings import Settings
from sampan.controllers.statefulset import identity
from sampan.runtime.actions import Action, Delete, Emit, Requeue
from sampan.runtime.clock import rfc3339
from sampan.testing.cluster import Cluster
from sampan.testing.world import World
from tests.covers import covers

BASIC = "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic]"

DB = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, labels: {app: db}}
spec:
  replicas: 3
  serviceName: peers
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: main, image: "db:1", volumeMounts: [{name: data, mountPath: /data}]}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def world(**spec: Any) -> tuple[World, Any]:
    controller = statefulset.declare(Settings())
    here = World(controller)
    here.load(DB)
    change(here, **spec)

    def plan() -> list[Action]:
        return here.plan(controller, "db")

    return here, plan


def db(here: World) -> apps_v1.StatefulSet:
    return here.get(apps_v1.StatefulSet, "db")


def change(here: World, **spec: Any) -> None:
    before = db(here)
    metadata = replace(before.metadata, generation=(before.metadata.generation or 0) + 1)
    here.add(replace(before, metadata=metadata, spec=replace(before.spec, **spec)))


def use_image(here: World, image: str) -> None:
    template = db(here).spec.template
    assert template.spec is not None
    containers = (replace(template.spec.containers[0], image=image),)
    change(here, template=replace(template, spec=replace(template.spec, containers=containers)))


def rolling(partition: int = 0, most: int | str | None = None) -> apps_v1.StatefulSetUpdateStrategy:
    how = apps_v1.RollingUpdateStatefulSetStrategy(partition=partition, maxUnavailable=most)
    return apps_v1.StatefulSetUpdateStrategy(type="RollingUpdate", rollingUpdate=how)


def members(here: World) -> dict[str, str]:
    """Name -> image."""
    return {pod.metadata.name or "": pod.spec.containers[0].image or "" for pod in here.all(core_v1.Pod)}


def run(here: World, *, ready: bool = True, but: tuple[str, ...] = ()) -> None:
    for pod in here.all(core_v1.Pod):
        good = ready and pod.metadata.name not in but
        condition = core_v1.PodCondition(
            type="Ready", status="True" if good else "False", lastTransitionTime=rfc3339(here.now)
        )
        here.add(replace(pod, status=replace(pod.status, phase="Running", conditions=(condition,))))


def settle(here: World, plan: Any, rounds: int = 12) -> None:
    for _ in range(rounds):
        plan()
        run(here)


def counts(here: World) -> tuple[int, int, int, int]:
    status = db(here).status
    return status.replicas, status.readyReplicas or 0, status.currentReplicas or 0, status.updatedReplicas or 0


# --- order


def test_pods_come_one_after_the_other() -> None:
    here, plan = world()
    plan()
    assert list(members(here)) == ["db-0"]
    plan()
    assert list(members(here)) == ["db-0"], "db-0 is not ready yet"
    run(here)
    plan()
    assert list(members(here)) == ["db-0", "db-1"]
    settle(here, plan)
    assert list(members(here)) == ["db-0", "db-1", "db-2"]
    plan()
    assert counts(here) == (3, 3, 3, 3)
    assert plan() == []


def test_in_parallel_nobody_waits() -> None:
    here, plan = world(podManagementPolicy="Parallel")
    plan()
    assert list(members(here)) == ["db-0", "db-1", "db-2"]


def test_the_last_goes_first_and_only_while_all_others_work() -> None:
    here, plan = world()
    settle(here, plan)
    change(here, replicas=1)
    run(here, but=("db-0",))
    assert not [each for each in plan() if isinstance(each, Delete)]
    run(here)
    plan()
    assert list(members(here)) == ["db-0", "db-1"]
    plan()
    assert list(members(here)) == ["db-0"]


def test_a_condemned_pod_on_its_way_out_is_waited_for() -> None:
    here, plan = world()
    settle(here, plan)
    last = here.get(core_v1.Pod, "db-2")
    here.add(replace(last, metadata=replace(last.metadata, finalizers=("example.org/hold",))))
    change(here, replicas=1)
    plan()
    plan()
    assert list(members(here)) == ["db-0", "db-1", "db-2"]
    assert here.get(core_v1.Pod, "db-2").metadata.deletionTimestamp is not None
    assert here.get(core_v1.Pod, "db-1").metadata.deletionTimestamp is None


def test_ordinals_may_start_elsewhere() -> None:
    here, plan = world(ordinals=apps_v1.StatefulSetOrdinals(start=5), replicas=2)
    settle(here, plan)
    assert list(members(here)) == ["db-5", "db-6"]


def test_readiness_must_last() -> None:
    here, plan = world(minReadySeconds=10)
    plan()
    run(here)
    actions = plan()
    assert [each.after for each in actions if isinstance(each, Requeue)] == [10.0]
    assert list(members(here)) == ["db-0"]
    here.now += 10
    plan()
    assert list(members(here)) == ["db-0", "db-1"]


# --- identity


def test_each_pod_is_that_very_one() -> None:
    here, plan = world()
    plan()
    pod = here.get(core_v1.Pod, "db-0")
    assert pod.metadata.labels["statefulset.kubernetes.io/pod-name"] == "db-0"
    assert pod.metadata.labels["apps.kubernetes.io/pod-index"] == "0"
    assert pod.metadata.labels["controller-revision-hash"] == db(here).status.updateRevision
    assert (pod.spec.hostname, pod.spec.subdomain) == ("db-0", "peers")
    (volume,) = pod.spec.volumes
    assert volume.persistentVolumeClaim is not None
    assert (volume.name, volume.persistentVolumeClaim.claimName) == ("data", "data-db-0")
    claim = here.get(core_v1.PersistentVolumeClaim, "data-db-0")
    assert claim.metadata.labels == {"app": "db"}
    assert claim.metadata.ownerReferences == ()


def test_labels_that_somebody_took_away_come_back() -> None:
    here, plan = world()
    plan()
    pod = here.get(core_v1.Pod, "db-0")
    labels = {**pod.metadata.labels}
    del labels["statefulset.kubernetes.io/pod-name"]
    here.add(replace(pod, metadata=replace(pod.metadata, labels=labels)))
    plan()
    assert here.get(core_v1.Pod, "db-0").metadata.labels["statefulset.kubernetes.io/pod-name"] == "db-0"


def test_a_pod_of_another_name_is_none_of_ours() -> None:
    here, _ = world()
    for name in ("db-x", "db-01", "other-0", "db"):
        pod = core_v1.Pod(metadata=replace(core_v1.Pod().metadata, name=name))
        assert identity.ordinal_of(db(here), pod) is None


@covers(f"{BASIC} Should recreate evicted statefulset [Conformance]")
def test_a_failed_pod_is_made_again_with_the_same_claim() -> None:
    here, plan = world()
    settle(here, plan)
    pod = here.get(core_v1.Pod, "db-1")
    claim = here.get(core_v1.PersistentVolumeClaim, "data-db-1").metadata.uid
    here.add(replace(pod, status=replace(pod.status, phase="Failed")))
    actions = plan()
    assert [each.reason for each in actions if isinstance(each, Emit)] == ["RecreatingFailedPod", "SuccessfulDelete"]
    plan()
    again = here.get(core_v1.Pod, "db-1")
    assert again.metadata.uid != pod.metadata.uid
    assert here.get(core_v1.PersistentVolumeClaim, "data-db-1").metadata.uid == claim


# --- claims that go


def policy(deleted: str, scaled: str) -> apps_v1.StatefulSetPersistentVolumeClaimRetentionPolicy:
    return apps_v1.StatefulSetPersistentVolumeClaimRetentionPolicy(whenDeleted=deleted, whenScaled=scaled)


def owners(here: World, claim: str) -> list[tuple[str, str]]:
    found = here.get(core_v1.PersistentVolumeClaim, claim).metadata.ownerReferences
    return [(each.kind, each.name) for each in found]


def test_claims_that_go_with_their_set() -> None:
    here, plan = world(persistentVolumeClaimRetentionPolicy=policy("Delete", "Retain"))
    settle(here, plan)
    assert owners(here, "data-db-0") == [("StatefulSet", "db")]
    change(here, persistentVolumeClaimRetentionPolicy=policy("Retain", "Retain"))
    plan()
    assert owners(here, "data-db-0") == []


def test_claims_that_go_when_scaled_down() -> None:
    here, plan = world(persistentVolumeClaimRetentionPolicy=policy("Retain", "Delete"))
    settle(here, plan)
    assert owners(here, "data-db-2") == []
    change(here, replicas=2)
    plan()
    assert owners(here, "data-db-2") == [("Pod", "db-2")]
    assert owners(here, "data-db-1") == []


def test_claims_outlive_their_set_by_default() -> None:
    here, plan = world()
    settle(here, plan)
    change(here, replicas=0)
    settle(here, plan)
    assert members(here) == {}
    assert len(here.all(core_v1.PersistentVolumeClaim)) == 3


# --- updates


def test_an_update_goes_backwards_one_at_a_time() -> None:
    here, plan = world()
    settle(here, plan)
    use_image(here, "db:2")
    seen = []
    for _ in range(12):
        plan()
        seen.append(tuple(members(here).get(f"db-{number}", "-") for number in range(3)))
        run(here)
    steps = list(dict.fromkeys(seen))
    assert steps[:3] == [("db:1", "db:1", "-"), ("db:1", "db:1", "db:2"), ("db:1", "-", "db:2")]
    assert steps[-1] == ("db:2", "db:2", "db:2")
    status = db(here).status
    assert status.currentRevision == status.updateRevision
    assert counts(here) == (3, 3, 3, 3)


def test_a_partition_holds_the_lower_ones_back() -> None:
    here, plan = world(updateStrategy=rolling(2))
    settle(here, plan)
    use_image(here, "db:2")
    settle(here, plan)
    assert members(here) == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:2"}
    assert counts(here) == (3, 3, 2, 1)
    here.remove(here.get(core_v1.Pod, "db-0"))
    settle(here, plan)
    assert members(here)["db-0"] == "db:1", "it comes back as what it was"
    change(here, updateStrategy=rolling(0))
    settle(here, plan)
    assert set(members(here).values()) == {"db:2"}


def test_a_broken_update_stops() -> None:
    here, plan = world()
    settle(here, plan)
    use_image(here, "broken")
    for _ in range(6):
        plan()
        run(here, but=("db-2",))
    assert members(here) == {"db-0": "db:1", "db-1": "db:1", "db-2": "broken"}


def test_several_at_once_in_parallel() -> None:
    here, plan = world(replicas=5, podManagementPolicy="Parallel", updateStrategy=rolling(0, "40%"))
    settle(here, plan)
    use_image(here, "db:2")
    plan()
    assert sorted(members(here)) == ["db-0", "db-1", "db-2"]


def test_on_delete_waits_for_the_author() -> None:
    here, plan = world(updateStrategy=apps_v1.StatefulSetUpdateStrategy(type="OnDelete"))
    settle(here, plan)
    use_image(here, "db:2")
    settle(here, plan)
    assert set(members(here).values()) == {"db:1"}
    here.remove(here.get(core_v1.Pod, "db-1"))
    settle(here, plan)
    assert members(here)["db-1"] == "db:2"


def test_going_back_is_a_new_revision_of_the_old_content() -> None:
    here, plan = world()
    for image in ("db:1", "db:2", "db:1"):
        use_image(here, image)
        settle(here, plan)
    listed = here.all(apps_v1.ControllerRevision)
    assert sorted(each.revision or 0 for each in listed) == [2, 3]
    assert set(members(here).values()) == {"db:1"}


# --- on a whole cluster

PLAIN = DB[: DB.index("  volumeClaimTemplates")].replace(", volumeMounts: [{name: data, mountPath: /data}]", "")


def is_settled(replicas: int, image: str) -> Any:
    def judge(found: Any) -> bool:
        return len(found) == replicas and all(
            pod.spec.containers[0].image == image and pod.status.phase == "Running" for pod in found
        )

    return judge


@covers(f"{BASIC} should perform rolling updates and roll backs of template modifications [Conformance]")
async def test_an_update_and_back(cluster: Cluster) -> None:
    await cluster.apply(PLAIN)
    await cluster.wait_until(core_v1.Pod, is_settled(3, "db:1"))
    await cluster.apply(PLAIN.replace("db:1", "db:2"))
    await cluster.wait_until(core_v1.Pod, is_settled(3, "db:2"))
    await cluster.apply(PLAIN)
    await cluster.wait_until(core_v1.Pod, is_settled(3, "db:1"))
    await cluster.wait_for(
        apps_v1.StatefulSet, "db", lambda each: each.status.currentRevision == each.status.updateRevision
    )


@covers(
    f"{BASIC} Scaling should happen in predictable order and halt if any stateful pod is unhealthy [Conformance] [Slow]"
)
async def test_scaling_stops_at_an_unhealthy_pod(cluster: Cluster) -> None:
    order: list[str] = []
    cluster.informers.get(core_v1.Pod).subscribe(
        lambda type, old, new: order.append(new.metadata.name) if type == "ADDED" else None
    )
    await cluster.apply(PLAIN)
    await cluster.wait_until(core_v1.Pod, is_settled(3, "db:1"))
    assert order == ["db-0", "db-1", "db-2"]
    unready = {"metadata": {"annotations": {"pretend.sampan.dev/ready": "false"}}}
    await cluster.client.patch(core_v1.Pod, "db-1", "default", body=unready)
    await cluster.wait_for(apps_v1.StatefulSet, "db", lambda each: each.status.readyReplicas == 2)
    await cluster.client.patch(apps_v1.StatefulSet, "db", "default", body={"spec": {"replicas": 1}})
    await cluster.wait_for(
        apps_v1.StatefulSet, "db", lambda each: each.status.observedGeneration == each.metadata.generation
    )
    assert len((await cluster.client.list(core_v1.Pod, "default")).items) == 3
    ready = {"metadata": {"annotations": {"pretend.sampan.dev/ready": "true"}}}
    await cluster.client.patch(core_v1.Pod, "db-1", "default", body=ready)
    await cluster.wait_until(core_v1.Pod, lambda found: [pod.metadata.name for pod in found] == ["db-0"])


@covers(f"{BASIC} should perform canary updates and phased rolling updates of template modifications [Conformance]")
async def test_a_canary_and_then_the_others(cluster: Cluster) -> None:
    await cluster.apply(PLAIN)
    await cluster.wait_until(core_v1.Pod, is_settled(3, "db:1"))

    async def phase(partition: int) -> None:
        body = {"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}}}
        await cluster.client.patch(apps_v1.StatefulSet, "db", "default", body=body)

    await phase(3)
    await cluster.apply(PLAIN.replace("db:1", "db:2"))
    for partition in (2, 1, 0):
        await phase(partition)
        new = 3 - partition
        await cluster.wait_until(
            core_v1.Pod,
            lambda found, new=new: (
                sum(pod.spec.containers[0].image == "db:2" for pod in found) == new
                and all(pod.status.phase == "Running" for pod in found)
                and len(found) == 3
            ),
        )


@pytest.mark.cluster(settings=Settings(root_ca="x", volume_root="/nowhere/volumes"))
async def test_storage_outlives_pods_and_goes_as_the_set_says(cluster: Cluster) -> None:
    retention = "  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Retain}\n"
    await cluster.apply(DB.replace("  replicas: 3\n", f"  replicas: 2\n{retention}"))
    await cluster.wait_for(apps_v1.StatefulSet, "db", lambda each: each.status.readyReplicas == 2)
    claims = await cluster.wait_until(
        core_v1.PersistentVolumeClaim, lambda found: [each.status.phase for each in found] == ["Bound"] * 2
    )
    before = {each.metadata.name: each.spec.volumeName for each in claims}
    assert set(before) == {"data-db-0", "data-db-1"}
    first = await cluster.client.get(core_v1.Pod, "db-0", "default")
    await cluster.client.delete(core_v1.Pod, "db-0", "default")
    await cluster.wait_for(
        core_v1.Pod, "db-0", lambda pod: pod.metadata.uid != first.metadata.uid and pod.status.phase == "Running"
    )
    again = (await cluster.client.list(core_v1.PersistentVolumeClaim, "default")).items
    assert {each.metadata.name: each.spec.volumeName for each in again} == before
    await cluster.client.delete(apps_v1.StatefulSet, "db", "default", propagation="Background")
    await cluster.wait_until(core_v1.PersistentVolumeClaim, lambda found: not found)
    await cluster.wait_until(core_v1.PersistentVolume, lambda found: not found, namespace="")
