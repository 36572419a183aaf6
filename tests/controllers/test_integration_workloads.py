"""Deployments, replica sets and jobs on a whole cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from sampan.api.types import apps_v1, autoscaling_v1, batch_v1, core_v1
from sampan.runtime.clock import unix
from sampan.testing.cluster import Cluster
from tests.covers import covers

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: %(replicas)d
  strategy: %(strategy)s
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: %(annotations)s}
    spec: {containers: [{name: main, image: "%(image)s"}]}
"""

REPLICA_SET = """
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "web:1"}]}
"""

CONTROLLER = """
apiVersion: v1
kind: ReplicationController
metadata: {name: web, labels: {test: rc}}
spec:
  replicas: %d
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: "web:1"}]}
"""


def deployment(replicas: int = 3, image: str = "web:1", strategy: str = "{}", **annotations: str) -> str:
    return DEPLOYMENT % {"replicas": replicas, "image": image, "strategy": strategy, "annotations": annotations}


def is_complete(replicas: int) -> Any:
    def judge(found: apps_v1.Deployment) -> bool:
        status = found.status
        return (
            (status.observedGeneration or 0) >= (found.metadata.generation or 0)
            and status.updatedReplicas == replicas
            and status.replicas == replicas
            and status.availableReplicas == replicas
        )

    return judge


async def replica_sets(cluster: Cluster) -> dict[str, int]:
    """Image -> replicas."""
    return {
        each.spec.template.spec.containers[0].image or "": each.spec.replicas or 0
        for each in (await cluster.client.list(apps_v1.ReplicaSet, "default")).items
        if each.spec.template and each.spec.template.spec
    }


async def pods(cluster: Cluster) -> list[core_v1.Pod]:
    return list((await cluster.client.list(core_v1.Pod, "default")).items)


@covers("[sig-apps] Deployment RollingUpdateDeployment should delete old pods and create new ones [Conformance]")
async def test_a_rollout_replaces_every_pod(cluster: Cluster) -> None:
    await cluster.apply(deployment())
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(3))
    before = {pod.metadata.uid for pod in await pods(cluster)}
    await cluster.apply(deployment(image="web:2"))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(3))
    after = await cluster.wait_until(core_v1.Pod, lambda found: len(found) == 3)
    assert {pod.spec.containers[0].image for pod in after} == {"web:2"}
    assert not before & {pod.metadata.uid for pod in after}
    assert await replica_sets(cluster) == {"web:1": 0, "web:2": 3}
    found = await cluster.client.get(apps_v1.Deployment, "web", "default")
    assert found.metadata.annotations["deployment.kubernetes.io/revision"] == "2"


async def test_a_rollout_never_has_too_many_or_too_few(cluster: Cluster) -> None:
    await cluster.apply(deployment(8, strategy="{rollingUpdate: {maxSurge: 2, maxUnavailable: 1}}"))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(8))
    seen: list[tuple[int, int]] = []
    informer = cluster.informers.get(core_v1.Pod)

    def count(*_: object) -> None:
        alive = [pod for pod in informer.all() if pod.metadata.deletionTimestamp is None]
        ready = [pod for pod in alive if any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)]
        seen.append((len(alive), len(ready)))

    unsubscribe = informer.subscribe(count)
    await cluster.apply(deployment(8, image="web:2", strategy="{rollingUpdate: {maxSurge: 2, maxUnavailable: 1}}"))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(8))
    unsubscribe()
    assert max(alive for alive, _ in seen) <= 10
    assert min(ready for _, ready in seen) >= 7


async def test_rolling_back_uses_the_old_replica_set(cluster: Cluster) -> None:
    await cluster.apply(deployment(2))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(2))
    (first,) = (await cluster.client.list(apps_v1.ReplicaSet, "default")).items
    await cluster.apply(deployment(2, image="web:2"))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(2))
    await cluster.apply(deployment(2))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(2))
    again = await cluster.client.get(apps_v1.ReplicaSet, first.metadata.name or "", "default")
    assert again.metadata.uid == first.metadata.uid
    assert again.spec.replicas == 2
    assert again.metadata.annotations["deployment.kubernetes.io/revision"] == "3"


@covers("[sig-apps] Deployment RecreateDeployment should delete old pods and create new ones [Conformance]")
async def test_recreate_has_no_two_revisions_at_once(cluster: Cluster) -> None:
    await cluster.apply(deployment(3, strategy="{type: Recreate}"))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(3))
    mixed: list[set[str | None]] = []
    informer = cluster.informers.get(core_v1.Pod)

    def look(*_: object) -> None:
        running = [pod for pod in informer.all() if pod.status.phase not in ("Succeeded", "Failed")]
        images = {pod.spec.containers[0].image for pod in running}
        if len(images) > 1:
            mixed.append(images)

    unsubscribe = informer.subscribe(look)
    await cluster.apply(deployment(3, image="web:2", strategy="{type: Recreate}"))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(3))
    unsubscribe()
    assert mixed == []


@covers("[sig-apps] Deployment deployment should support rollover [Conformance]")
async def test_a_rollout_that_does_not_come_up_is_overtaken(cluster: Cluster) -> None:
    await cluster.apply(deployment(4))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(4))
    await cluster.apply(deployment(4, image="broken", **{"pretend.sampan.dev/ready": "false"}))
    await cluster.wait_until(
        apps_v1.ReplicaSet, lambda sets: any(s.status.replicas and not s.status.readyReplicas for s in sets)
    )
    current = await cluster.client.get(apps_v1.Deployment, "web", "default")
    assert (current.status.availableReplicas or 0) >= 3
    await cluster.apply(deployment(4, image="web:3", **{"pretend.sampan.dev/ready": "true"}))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(4))
    assert await replica_sets(cluster) == {"web:1": 0, "broken": 0, "web:3": 4}


@covers("[sig-apps] Deployment deployment should delete old replica sets [Conformance]")
async def test_old_revisions_are_cleaned_up(cluster: Cluster) -> None:
    text = deployment(1).replace("  replicas: 1", "  replicas: 1\n  revisionHistoryLimit: 0")
    await cluster.apply(text)
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(1))
    await cluster.apply(text.replace("web:1", "web:2"))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(1))
    await cluster.wait_until(apps_v1.ReplicaSet, lambda sets: len(sets) == 1)


@covers("[sig-apps] Deployment Deployment should have a working scale subresource [Conformance]")
async def test_scaling_through_the_subresource(cluster: Cluster) -> None:
    await cluster.apply(deployment(1))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(1))
    path = cluster.client.kind(apps_v1.Deployment).path("default", "web", "scale")
    response = await cluster.client.raw("GET", path)
    scale = msgspec.json.decode(await response.read(), type=autoscaling_v1.Scale)
    assert (scale.spec.replicas, scale.status.replicas) == (1, 1)
    body = msgspec.json.encode({"spec": {"replicas": 4}})
    await cluster.client.raw("PATCH", path, None, body, {"content-type": "application/merge-patch+json"})
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(4))
    await cluster.wait_until(core_v1.Pod, lambda found: len(found) == 4)


@covers("[sig-apps] Deployment deployment should support proportional scaling [Conformance]")
async def test_scaling_while_a_rollout_is_stuck_is_proportional(cluster: Cluster) -> None:
    strategy = "{rollingUpdate: {maxSurge: 3, maxUnavailable: 2}}"
    await cluster.apply(deployment(10, strategy=strategy))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(10))
    stuck = {"pretend.sampan.dev/ready": "false"}
    await cluster.apply(deployment(10, "broken", strategy, **stuck))
    await cluster.wait_until(apps_v1.ReplicaSet, lambda sets: sorted(s.spec.replicas or 0 for s in sets) == [5, 8])
    await cluster.apply(deployment(30, "broken", strategy, **stuck))
    sets = await cluster.wait_until(apps_v1.ReplicaSet, lambda sets: sum(s.spec.replicas or 0 for s in sets) == 33)
    assert sorted(each.spec.replicas or 0 for each in sets) == [13, 20]


async def test_a_paused_deployment_does_not_roll(cluster: Cluster) -> None:
    await cluster.apply(deployment(2))
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(2))
    await cluster.client.patch(apps_v1.Deployment, "web", "default", body={"spec": {"paused": True}})
    await cluster.apply(deployment(2, image="web:2"))
    await cluster.wait_for(apps_v1.Deployment, "web", lambda d: d.status.observedGeneration == d.metadata.generation)
    assert await replica_sets(cluster) == {"web:1": 2}
    await cluster.client.patch(apps_v1.Deployment, "web", "default", body={"spec": {"paused": None}})
    await cluster.wait_for(apps_v1.Deployment, "web", is_complete(2))
    assert await replica_sets(cluster) == {"web:1": 0, "web:2": 2}


# --- replica sets


@covers(
    "[sig-apps] ReplicaSet should adopt matching pods on creation and release no longer matching pods [Conformance]"
)
async def test_replica_sets_adopt_and_release(cluster: Cluster) -> None:
    await cluster.apply(
        """
        apiVersion: v1
        kind: Pod
        metadata: {name: orphan, labels: {app: web}}
        spec: {containers: [{name: main, image: i}]}
        """
    )
    await cluster.apply(REPLICA_SET % 1)
    pod = await cluster.wait_for(core_v1.Pod, "orphan", lambda pod: pod.metadata.ownerReferences)
    assert pod.metadata.ownerReferences[0].name == "web"
    await cluster.wait_for(apps_v1.ReplicaSet, "web", lambda found: found.status.replicas == 1)
    assert len(await pods(cluster)) == 1
    await cluster.client.patch(core_v1.Pod, "orphan", "default", body={"metadata": {"labels": {"app": "debug"}}})
    await cluster.wait_for(core_v1.Pod, "orphan", lambda pod: not pod.metadata.ownerReferences)
    await cluster.wait_until(core_v1.Pod, lambda found: len(found) == 2)


@covers("[sig-apps] ReplicationController should adopt matching pods on creation [Conformance]")
async def test_replication_controllers_adopt(cluster: Cluster) -> None:
    await cluster.apply(
        "{apiVersion: v1, kind: Pod, metadata: {name: orphan, labels: {app: web}},"
        " spec: {containers: [{name: main, image: i}]}}"
    )
    await cluster.apply(CONTROLLER % 1)
    pod = await cluster.wait_for(core_v1.Pod, "orphan", lambda pod: pod.metadata.ownerReferences)
    assert pod.metadata.ownerReferences[0].kind == "ReplicationController"


@covers("[sig-apps] ReplicationController should release no longer matching pods [Conformance]")
async def test_replication_controllers_release(cluster: Cluster) -> None:
    await cluster.apply(CONTROLLER % 1)
    (pod,) = await cluster.wait_until(core_v1.Pod, lambda found: len(found) == 1)
    name = pod.metadata.name or ""
    await cluster.client.patch(core_v1.Pod, name, "default", body={"metadata": {"labels": {"app": "no-longer"}}})
    await cluster.wait_for(core_v1.Pod, name, lambda pod: not pod.metadata.ownerReferences)


# --- jobs

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: work}
spec:
  %s
  template:
    metadata: {annotations: {pretend.sampan.dev/exits: "%s"}}
    spec: {restartPolicy: %s, containers: [{name: main, image: i}]}
"""


async def test_a_job_runs_to_its_end(cluster: Cluster) -> None:
    await cluster.apply(JOB % ("{completions: 4, parallelism: 2}".strip("{}").replace(", ", "\n  "), "0", "Never"))
    done = await cluster.wait_for(batch_v1.Job, "work", lambda job: job.status.completionTime)
    assert (done.status.succeeded, done.status.failed, done.status.active) == (4, None, None)
    assert [each.type for each in done.status.conditions] == ["SuccessCriteriaMet", "Complete"]
    assert all(not pod.metadata.finalizers for pod in await pods(cluster))


@covers(
    "[sig-apps] Job should run a job to completion when tasks sometimes fail and are locally restarted [Conformance]"
)
async def test_containers_that_fail_are_restarted_in_place(cluster: Cluster) -> None:
    await cluster.apply(JOB % ("completions: 3\n  parallelism: 2", "1, 0", "OnFailure"))
    done = await cluster.wait_for(batch_v1.Job, "work", lambda job: job.status.completionTime)
    assert (done.status.succeeded, done.status.failed) == (3, None)
    assert {pod.status.containerStatuses[0].restartCount for pod in await pods(cluster)} == {1}


@covers(
    "[sig-apps] Job should create pods for an Indexed job with completion indexes and specified hostname [Conformance]"
)
async def test_an_indexed_job(cluster: Cluster) -> None:
    await cluster.apply(JOB % ("completions: 4\n  parallelism: 2\n  completionMode: Indexed", "0", "Never"))
    done = await cluster.wait_for(batch_v1.Job, "work", lambda job: job.status.completionTime)
    assert done.status.completedIndexes == "0-3"
    assert {pod.spec.hostname for pod in await pods(cluster)} == {f"work-{index}" for index in range(4)}


@covers("[sig-apps] Job should allow to use the pod failure policy on exit code to fail the job early [Conformance]")
async def test_a_job_that_fails_early(cluster: Cluster) -> None:
    policy = "podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [3]}}]}"
    await cluster.apply(JOB % (policy, "3", "Never"))
    done = await cluster.wait_for(
        batch_v1.Job, "work", lambda job: any(each.type == "Failed" for each in job.status.conditions)
    )
    failed = next(each for each in done.status.conditions if each.type == "Failed")
    assert failed.reason == "PodFailurePolicy"
    assert done.status.failed == 1


@covers("[sig-apps] Job should execute all indexes despite some failing when using backoffLimitPerIndex [Conformance]")
async def test_indexes_fail_one_by_one(cluster: Cluster) -> None:
    spec = "completions: 2\n  parallelism: 2\n  completionMode: Indexed\n  backoffLimitPerIndex: 0"
    await cluster.apply(JOB % (spec, "1", "Never"))
    done = await cluster.wait_for(
        batch_v1.Job, "work", lambda job: any(each.type == "Failed" for each in job.status.conditions)
    )
    assert done.status.failedIndexes == "0,1"
    assert [each.reason for each in done.status.conditions] == ["FailedIndexes", "FailedIndexes"]


@covers("[sig-apps] Job should delete a job [Conformance]")
async def test_deleting_a_job_deletes_its_pods(cluster: Cluster) -> None:
    await cluster.apply(JOB % ("parallelism: 2", "", "Never"))
    await cluster.wait_for(batch_v1.Job, "work", lambda job: job.status.ready == 2)
    await cluster.client.delete(batch_v1.Job, "work", "default", propagation="Foreground")
    await cluster.wait_gone(batch_v1.Job, "work")
    assert await pods(cluster) == []


@covers("[sig-apps] Job should adopt matching orphans and release non-matching pods [Conformance]")
async def test_jobs_adopt_and_release(cluster: Cluster) -> None:
    await cluster.apply(JOB % ("parallelism: 2\n  completions: 2", "", "Never"))
    await cluster.wait_for(batch_v1.Job, "work", lambda job: job.status.ready == 2)
    pod = (await pods(cluster))[0]
    name = pod.metadata.name or ""
    await cluster.client.patch(core_v1.Pod, name, "default", body={"metadata": {"ownerReferences": None}})
    await cluster.wait_for(core_v1.Pod, name, lambda pod: pod.metadata.ownerReferences)
    labels: dict[str, None] = dict.fromkeys(pod.metadata.labels)
    await cluster.client.patch(core_v1.Pod, name, "default", body={"metadata": {"labels": labels}})
    released = await cluster.wait_for(core_v1.Pod, name, lambda pod: not pod.metadata.ownerReferences)
    assert not released.metadata.finalizers


# --- churn


@pytest.mark.cluster(nodes=3)
async def test_many_changes_at_once_settle(cluster: Cluster) -> None:
    """Ten deployments, each scaled and rolled a few times without waiting, end up as last asked for."""
    text = deployment(2)

    async def churn(number: int) -> None:
        mine = text.replace("web", f"web{number}")
        for step in range(4):
            changed = mine.replace("replicas: 2", f"replicas: {step + 1}").replace(":1", f":{step}")
            await cluster.apply(changed)

    await asyncio.gather(*(churn(number) for number in range(10)))
    for number in range(10):
        done = await cluster.wait_for(apps_v1.Deployment, f"web{number}", is_complete(4))
        assert unix(done.metadata.creationTimestamp) > 0
    found = await cluster.wait_until(core_v1.Pod, lambda found: len(found) == 40)
    assert {pod.spec.containers[0].image for pod in found} == {f"web{number}:3" for number in range(10)}
    assert len({pod.status.podIP for pod in found}) == 40
