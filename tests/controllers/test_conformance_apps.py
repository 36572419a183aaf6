"""Behaviours of the conformance suite's [sig-apps] that need no real containers, step by step as it takes them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from sampan.api.types import apps_v1, autoscaling_v1, batch_v1, core_v1, meta_v1, policy_v1
from sampan.testing.cluster import Cluster
from tests.covers import covers

STATEFUL = "[sig-apps] StatefulSet Basic StatefulSet functionality [StatefulSetBasic]"
WORKLOAD = """
apiVersion: %(version)s
kind: %(kind)s
metadata: {name: %(name)s, labels: {%(labels)s}}
spec:
  %(more)s
  selector: %(selector)s
  template:
    metadata: {labels: {app: web}, annotations: {%(annotations)s}}
    spec: {containers: [{name: main, image: "%(image)s"}]}
"""


def workload(kind: str, name: str = "web", **how: str) -> str:
    plain = kind == "ReplicationController"
    given = {
        "version": "v1" if plain else "apps/v1",
        "selector": "{app: web}" if plain else "{matchLabels: {app: web}}",
        "more": {"DaemonSet": "revisionHistoryLimit: 5", "StatefulSet": "serviceName: web"}.get(kind, "replicas: 2"),
        "labels": "app: web",
        "image": "web:1",
        "annotations": "",
    }
    return WORKLOAD % {"kind": kind, "name": name, **given, **how}


def ready(count: int) -> Any:
    def judge(found: Any) -> bool:
        status = found.status
        number = status.numberReady if isinstance(found, apps_v1.DaemonSet) else status.readyReplicas
        return number == count and (status.observedGeneration or 0) >= (found.metadata.generation or 0)

    return judge


async def put(cluster: Cluster, method: str, path: str, body: Any, media: str = "application/json") -> Any:
    response = await cluster.client.raw(method, path, None, msgspec.json.encode(body), {"content-type": media})
    return msgspec.json.decode(await response.read())


# --- status


@pytest.mark.parametrize(
    ("type", "count"),
    [
        pytest.param(
            apps_v1.Deployment,
            2,
            marks=covers("[sig-apps] Deployment should validate Deployment Status endpoints [Conformance]"),
        ),
        pytest.param(
            apps_v1.ReplicaSet,
            2,
            marks=covers("[sig-apps] ReplicaSet should validate Replicaset Status endpoints [Conformance]"),
        ),
        pytest.param(
            apps_v1.StatefulSet,
            1,
            marks=covers(f"{STATEFUL} should validate Statefulset Status endpoints [Conformance]"),
        ),
        pytest.param(
            apps_v1.DaemonSet,
            1,
            marks=covers("[sig-apps] Daemon set should verify changes to a daemon set status [Conformance] [Serial]"),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_status_belongs_to_its_own_endpoint(cluster: Cluster, type: Any, count: int) -> None:
    await cluster.apply(workload(type.__name__))
    await cluster.wait_for(type, "web", ready(count))
    path = cluster.client.kind(type).path("default", "web", "status")
    document = msgspec.json.decode(await (await cluster.client.raw("GET", path)).read())
    assert document["kind"] == type.__name__ and "status" in document
    told = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
    document["status"].setdefault("conditions", []).append(told)
    answer = await put(cluster, "PUT", path, document)
    assert told.items() <= answer["status"]["conditions"][-1].items()

    def has(condition: str) -> Any:
        return lambda found: any(each.type == condition and each.status == "True" for each in found.status.conditions)

    await cluster.wait_for(type, "web", has("StatusUpdate"))
    patched = {"status": {"conditions": [{"type": "StatusPatched", "status": "True"}]}}
    await put(cluster, "PATCH", path, patched, "application/merge-patch+json")
    await cluster.wait_for(type, "web", has("StatusPatched"))
    whole = await cluster.client.get(type, "web", "default")
    before = whole.status
    changed = await cluster.client.update(replace(whole, status=replace(before, conditions=())))
    assert has("StatusPatched")(changed), "a plain update leaves the status alone"


@covers("[sig-apps] Job should apply changes to a job status [Conformance]")
async def test_a_jobs_status(cluster: Cluster) -> None:
    await cluster.apply(job("parallelism: 2\n  completions: 4"))
    found = await cluster.wait_for(batch_v1.Job, "work", lambda each: each.status.ready == 2)
    path = cluster.client.kind(batch_v1.Job).path("default", "work", "status")
    start = "2020-01-01T00:00:00Z"
    patched = await put(
        cluster,
        "PATCH",
        path,
        {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"startTime": start}},
        "application/merge-patch+json",
    )
    assert patched["status"]["startTime"] == start
    assert patched["metadata"]["annotations"]["patchedstatus"] == "true"
    current = await cluster.client.get(batch_v1.Job, "work", "default")
    done = await cluster.client.update(
        replace(current, status=replace(current.status, startTime=found.status.startTime)), subresource="status"
    )
    assert done.status.startTime == found.status.startTime


@covers("[sig-apps] DisruptionController should update/patch PodDisruptionBudget status [Conformance]")
async def test_a_budgets_status(cluster: Cluster) -> None:
    budget = (
        "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: %s, labels: {of: %s}},"
        " spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}}"
    )
    await cluster.apply(budget % ("web", "test"))
    await cluster.wait_for(policy_v1.PodDisruptionBudget, "web", lambda each: each.status.observedGeneration)
    path = cluster.client.kind(policy_v1.PodDisruptionBudget).path("default", "web", "status")
    at = "2020-01-01T00:00:00Z"
    patched = await put(
        cluster, "PATCH", path, {"status": {"disruptedPods": {"gone": at}}}, "application/merge-patch+json"
    )
    assert patched["status"]["disruptedPods"] == {"gone": at}
    await cluster.wait_for(policy_v1.PodDisruptionBudget, "web", lambda each: not each.status.disruptedPods)


@covers("[sig-apps] DisruptionController should observe PodDisruptionBudget status updated [Conformance]")
async def test_a_budgets_status_follows_pods(cluster: Cluster) -> None:
    await cluster.apply(
        "{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web},"
        " spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}}"
    )
    await cluster.apply(workload("ReplicaSet", more="replicas: 3"))
    found = await cluster.wait_for(
        policy_v1.PodDisruptionBudget, "web", lambda each: each.status.disruptionsAllowed == 2
    )
    assert found.status.currentHealthy == 3


# --- collections


@pytest.mark.parametrize(
    "type",
    [
        pytest.param(
            apps_v1.ReplicaSet,
            marks=covers("[sig-apps] ReplicaSet should list and delete a collection of ReplicaSets [Conformance]"),
        ),
        pytest.param(
            apps_v1.StatefulSet,
            marks=covers(f"{STATEFUL} should list, patch and delete a collection of StatefulSets [Conformance]"),
        ),
        pytest.param(
            apps_v1.DaemonSet,
            marks=covers(
                "[sig-apps] Daemon set should list and delete a collection of DaemonSets [Conformance] [Serial]"
            ),
        ),
    ],
    ids=lambda value: value.__name__,
)
async def test_collections(cluster: Cluster, type: Any) -> None:
    text = workload(type.__name__, labels="app: web, e2e: collection", more="revisionHistoryLimit: 2")
    if type is apps_v1.ReplicaSet:
        text = workload(type.__name__, labels="app: web, e2e: collection")
    await cluster.apply(text)
    await cluster.wait_for(type, "web", lambda found: found.status.observedGeneration)
    listed = await cluster.client.list(type, labels="e2e=collection")
    assert [each.metadata.name for each in listed.items] == ["web"]
    patched = await cluster.client.patch(type, "web", "default", body={"metadata": {"labels": {"more": "yes"}}})
    assert patched.metadata.labels["more"] == "yes"
    await cluster.client.delete_collection(type, "default", labels="e2e=collection")
    await cluster.wait_gone(type, "web")
    await cluster.wait_until(core_v1.Pod, lambda found: not found)


@covers(
    "[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a"
    " collection of PodDisruptionBudgets [Conformance]"
)
async def test_budgets_of_all_namespaces(cluster: Cluster) -> None:
    await cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    for namespace, name in (("default", "one"), ("default", "two"), ("shop", "three")):
        await cluster.apply(
            f"{{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {{name: {name}, labels: {{of: test}}}},"
            " spec: {minAvailable: 1, selector: {}}}",
            namespace=namespace,
        )
    found = await cluster.client.list(policy_v1.PodDisruptionBudget, labels="of=test")
    assert {each.metadata.name for each in found.items} == {"one", "two", "three"}
    await cluster.client.delete_collection(policy_v1.PodDisruptionBudget, "default", labels="of=test")
    left = await cluster.client.list(policy_v1.PodDisruptionBudget, labels="of=test")
    assert [each.metadata.name for each in left.items] == ["three"]


# --- scale


@pytest.mark.parametrize(
    "type",
    [
        pytest.param(
            apps_v1.ReplicaSet,
            marks=covers("[sig-apps] ReplicaSet Replicaset should have a working scale subresource [Conformance]"),
        ),
        pytest.param(
            core_v1.ReplicationController,
            marks=covers(
                "[sig-apps] ReplicationController should get and update a ReplicationController scale [Conformance]"
            ),
        ),
        pytest.param(
            apps_v1.StatefulSet, marks=covers(f"{STATEFUL} should have a working scale subresource [Conformance]")
        ),
    ],
    ids=lambda value: value.__name__,
)
async def test_scale(cluster: Cluster, type: Any) -> None:
    more = "serviceName: web" if type is apps_v1.StatefulSet else "replicas: 1"
    await cluster.apply(workload(type.__name__, more=more))
    await cluster.wait_for(type, "web", ready(1))
    path = cluster.client.kind(type).path("default", "web", "scale")
    body = await (await cluster.client.raw("GET", path)).read()
    scale = msgspec.json.decode(body, type=autoscaling_v1.Scale)
    assert (scale.spec.replicas, scale.status.replicas, scale.status.selector) == (1, 1, "app=web")
    answer = await put(cluster, "PUT", path, replace(scale, spec=autoscaling_v1.ScaleSpec(replicas=2)))
    assert answer["spec"]["replicas"] == 2
    await cluster.wait_for(type, "web", ready(2))
    await put(cluster, "PATCH", path, {"spec": {"replicas": 4}}, "application/merge-patch+json")
    await cluster.wait_for(type, "web", ready(4))


# --- lives


@covers("[sig-apps] Deployment should run the lifecycle of a Deployment [Conformance]")
async def test_the_life_of_a_deployment(cluster: Cluster) -> None:
    text = workload("Deployment", labels="test-deployment-static: 'true'", more="replicas: 2")
    await cluster.apply(text)
    await cluster.wait_for(apps_v1.Deployment, "web", ready(2))
    body = {
        "metadata": {"labels": {"test-deployment": "patched"}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "main", "image": "pause:1"}]}}},
    }
    patched = await cluster.client.patch(apps_v1.Deployment, "web", "default", body=body, how="strategic")
    assert patched.spec.replicas == 1
    await cluster.wait_for(apps_v1.Deployment, "web", ready(1))
    (listed,) = (await cluster.client.list(apps_v1.Deployment, labels="test-deployment-static=true")).items
    assert listed.spec.template.spec is not None
    assert listed.spec.template.spec.containers[0].image == "pause:1"
    updated = replace(listed, metadata=replace(listed.metadata, labels={**listed.metadata.labels, "last": "update"}))
    await cluster.client.update(updated)
    await cluster.client.delete_collection(apps_v1.Deployment, "default", labels="test-deployment-static=true")
    await cluster.wait_gone(apps_v1.Deployment, "web")
    await cluster.wait_until(apps_v1.ReplicaSet, lambda found: not found)


@covers("[sig-apps] ReplicaSet Replace and Patch tests [Conformance]")
async def test_a_replica_set_is_replaced_and_patched(cluster: Cluster) -> None:
    await cluster.apply(workload("ReplicaSet", more="replicas: 1"))
    found = await cluster.wait_for(apps_v1.ReplicaSet, "web", ready(1))
    scaled = await cluster.client.update(replace(found, spec=replace(found.spec, replicas=2)))
    assert scaled.spec.replicas == 2
    await cluster.wait_for(apps_v1.ReplicaSet, "web", ready(2))
    body = {
        "metadata": {"labels": {"test-rs": "patched"}},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "main", "image": "pause:1"}]}}},
    }
    await cluster.client.patch(apps_v1.ReplicaSet, "web", "default", body=body, how="strategic")
    done = await cluster.wait_for(apps_v1.ReplicaSet, "web", ready(3))
    assert done.metadata.labels["test-rs"] == "patched"


@covers("[sig-apps] ReplicationController should test the lifecycle of a ReplicationController [Conformance]")
async def test_the_life_of_a_replication_controller(cluster: Cluster) -> None:
    type = core_v1.ReplicationController
    await cluster.apply(workload("ReplicationController", labels="test-rc-static: 'true'", more="replicas: 1"))
    await cluster.wait_for(type, "web", ready(1))
    patched = await cluster.client.patch(
        type, "web", "default", body={"metadata": {"labels": {"test-rc": "patched"}}}, how="strategic"
    )
    assert patched.metadata.labels["test-rc"] == "patched"
    status = await cluster.client.patch(
        type, "web", "default", body={"status": {"readyReplicas": 0, "availableReplicas": 0}}, subresource="status"
    )
    assert status.status.readyReplicas in (0, None)
    await cluster.wait_for(type, "web", lambda found: found.status.readyReplicas == 1)
    await cluster.client.patch(type, "web", "default", body={"spec": {"replicas": 2}}, subresource="")
    await cluster.wait_for(type, "web", ready(2))
    (listed,) = (await cluster.client.list(type, labels="test-rc-static=true")).items
    await cluster.client.update(
        replace(listed, metadata=replace(listed.metadata, labels={**listed.metadata.labels, "test-rc": "updated"}))
    )
    await cluster.client.delete_collection(type, "default", labels="test-rc-static=true")
    await cluster.wait_gone(type, "web")


@covers("[sig-apps] ControllerRevision should manage the lifecycle of a ControllerRevision [Conformance] [Serial]")
async def test_the_life_of_a_controller_revision(cluster: Cluster) -> None:
    type = apps_v1.ControllerRevision
    await cluster.apply(workload("DaemonSet"))
    await cluster.wait_for(apps_v1.DaemonSet, "web", ready(1))
    (initial,) = (await cluster.client.list(type, "default", labels="app=web")).items
    name = initial.metadata.name or ""
    patched = await cluster.client.patch(type, name, "default", body={"metadata": {"labels": {name: "patched"}}})
    assert patched.metadata.labels[name] == "patched"
    second = replace(
        initial,
        metadata=meta_v1.ObjectMeta(
            name="second",
            namespace="default",
            labels=initial.metadata.labels,
            ownerReferences=initial.metadata.ownerReferences,
        ),
        revision=(initial.revision or 0) + 1,
    )
    await cluster.client.create(second)
    assert len((await cluster.client.list(type, "default", labels="app=web")).items) == 2
    await cluster.client.delete(type, name, "default")
    await cluster.client.patch(
        apps_v1.DaemonSet, "web", "default", body={"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}
    )
    found = await cluster.wait_until(type, lambda found: any((each.revision or 0) >= 3 for each in found))
    await cluster.client.delete_collection(type, "default", labels="app=web")
    again = await cluster.wait_until(type, lambda now: len(now) == 1)
    assert {each.metadata.uid for each in again}.isdisjoint(each.metadata.uid for each in found)


@covers("[sig-apps] Daemon set should rollback without unnecessary restarts [Conformance] [Serial]")
@pytest.mark.cluster(nodes=3)
async def test_rolling_back_a_daemon_set_leaves_good_pods_alone(cluster: Cluster) -> None:
    await cluster.apply(workload("DaemonSet"))
    await cluster.wait_for(apps_v1.DaemonSet, "web", ready(3))
    first = {pod.metadata.uid for pod in (await cluster.client.list(core_v1.Pod, "default")).items}
    await cluster.apply(workload("DaemonSet", image="broken", annotations="pretend.sampan.dev/ready: 'false'"))
    await cluster.wait_until(
        core_v1.Pod,
        lambda found: any(p.spec.containers[0].image == "broken" and p.status.phase == "Running" for p in found),
    )
    now = (await cluster.client.list(core_v1.Pod, "default")).items
    good = {pod.metadata.uid for pod in now if pod.spec.containers[0].image == "web:1"}
    assert len(good) == 2 and good < first
    await cluster.apply(workload("DaemonSet", annotations="pretend.sampan.dev/ready: null"))
    await cluster.wait_for(apps_v1.DaemonSet, "web", ready(3))
    after = {pod.metadata.uid for pod in (await cluster.client.list(core_v1.Pod, "default")).items}
    assert good < after


@covers(f"{STATEFUL} Burst scaling should run to completion even with unhealthy pods [Conformance] [Slow]")
async def test_in_parallel_unhealthy_pods_hold_nobody_up(cluster: Cluster) -> None:
    await cluster.apply(workload("StatefulSet", more="serviceName: web\n  podManagementPolicy: Parallel"))
    await cluster.wait_for(apps_v1.StatefulSet, "web", ready(1))
    unready = {"metadata": {"annotations": {"pretend.sampan.dev/ready": "false"}}}
    await cluster.client.patch(core_v1.Pod, "web-0", "default", body=unready)
    await cluster.wait_for(apps_v1.StatefulSet, "web", lambda found: not found.status.readyReplicas)
    await cluster.client.patch(apps_v1.StatefulSet, "web", "default", body={"spec": {"replicas": 3}})
    await cluster.wait_until(core_v1.Pod, lambda found: len(found) == 3)
    await cluster.client.patch(apps_v1.StatefulSet, "web", "default", body={"spec": {"replicas": 0}})
    await cluster.wait_until(core_v1.Pod, lambda found: not found)


# --- jobs


def job(spec: str, exits: str = "", restart: str = "Never") -> str:
    return f"""
apiVersion: batch/v1
kind: Job
metadata: {{name: work, labels: {{e2e: work}}}}
spec:
  {spec}
  template:
    metadata: {{annotations: {{pretend.sampan.dev/exits: "{exits}"}}}}
    spec: {{restartPolicy: {restart}, containers: [{{name: main, image: i}}]}}
"""


def has(condition: str, reason: str = "") -> Any:
    return lambda found: any(
        each.type == condition and each.status == "True" and reason in (each.reason or "")
        for each in found.status.conditions
    )


async def pods_by_index(cluster: Cluster) -> dict[int, core_v1.Pod]:
    found = (await cluster.client.list(core_v1.Pod, "default")).items
    return {int(pod.metadata.annotations["batch.kubernetes.io/job-completion-index"]): pod for pod in found}


async def exit_with(cluster: Cluster, pod: core_v1.Pod, code: int) -> None:
    body = {"metadata": {"annotations": {"pretend.sampan.dev/exits": str(code)}}}
    await cluster.client.patch(core_v1.Pod, pod.metadata.name or "", "default", body=body)


@covers("[sig-apps] Job should manage the lifecycle of a job [Conformance]")
async def test_the_life_of_a_job(cluster: Cluster) -> None:
    await cluster.apply(job("suspend: true\n  completions: 2\n  parallelism: 2"))
    await cluster.wait_for(batch_v1.Job, "work", has("Suspended"))
    await cluster.client.patch(batch_v1.Job, "work", "default", body={"metadata": {"labels": {"work": "patched"}}})
    current = await cluster.client.get(batch_v1.Job, "work", "default")
    await cluster.client.update(
        replace(
            current,
            metadata=replace(current.metadata, annotations={"updated": "true"}),
            spec=replace(current.spec, suspend=False),
        )
    )
    await cluster.wait_for(batch_v1.Job, "work", lambda found: found.status.ready == 2)
    for pod in (await cluster.client.list(core_v1.Pod, "default")).items:
        await exit_with(cluster, pod, 0)
    await cluster.wait_for(batch_v1.Job, "work", has("Complete"))
    assert len((await cluster.client.list(batch_v1.Job, labels="work=patched")).items) == 1
    await cluster.client.delete_collection(batch_v1.Job, "default", labels="work=patched", propagation="Foreground")
    await cluster.wait_gone(batch_v1.Job, "work")
    await cluster.wait_until(core_v1.Pod, lambda found: not found)


@covers(
    "[sig-apps] Job should allow to use a pod failure policy to ignore failure matching on DisruptionTarget condition"
    " [Conformance]"
)
async def test_an_evicted_pod_does_not_count(cluster: Cluster) -> None:
    policy = "podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}"
    await cluster.apply(job(f"backoffLimit: 0\n  {policy}"))
    await cluster.wait_for(batch_v1.Job, "work", lambda found: found.status.ready == 1)
    (first,) = (await cluster.client.list(core_v1.Pod, "default")).items
    condition = core_v1.PodCondition(type="DisruptionTarget", status="True", reason="EvictionByEvictionAPI")
    evicted = replace(first.status, conditions=(*first.status.conditions, condition))
    await cluster.client.update(replace(first, status=evicted), subresource="status")
    await exit_with(cluster, first, 137)
    await cluster.wait_for(core_v1.Pod, first.metadata.name or "", lambda pod: not pod.metadata.finalizers)
    current = await cluster.wait_for(batch_v1.Job, "work", lambda found: not found.status.active)
    assert (current.status.failed, current.status.conditions) == (None, ())


@covers(
    "[sig-apps] Job should mark indexes as failed when the FailIndex action is matched in podFailurePolicy"
    " [Conformance]"
)
async def test_an_index_that_fails_at_once(cluster: Cluster) -> None:
    spec = (
        "completions: 2\n  parallelism: 2\n  completionMode: Indexed\n  backoffLimitPerIndex: 5\n"
        "  podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: {operator: In, values: [3]}}]}"
    )
    await cluster.apply(job(spec))
    await cluster.wait_for(batch_v1.Job, "work", lambda found: found.status.ready == 2)
    pods = await pods_by_index(cluster)
    await exit_with(cluster, pods[0], 3)
    await cluster.wait_for(batch_v1.Job, "work", lambda found: found.status.failedIndexes == "0")
    await exit_with(cluster, pods[1], 0)
    done = await cluster.wait_for(batch_v1.Job, "work", has("Failed", "FailedIndexes"))
    assert (done.status.completedIndexes, done.status.failedIndexes) == ("1", "0")


@covers(
    "[sig-apps] Job should terminate job execution when the number of failed indexes exceeds maxFailedIndexes"
    " [Conformance]"
)
async def test_more_failed_indexes_than_allowed(cluster: Cluster) -> None:
    spec = (
        "completions: 4\n  parallelism: 4\n  completionMode: Indexed\n  backoffLimitPerIndex: 0\n  maxFailedIndexes: 1"
    )
    await cluster.apply(job(spec))
    await cluster.wait_for(batch_v1.Job, "work", lambda found: found.status.ready == 4)
    pods = await pods_by_index(cluster)
    await exit_with(cluster, pods[1], 1)
    await cluster.wait_for(batch_v1.Job, "work", lambda found: found.status.failedIndexes == "1")
    await exit_with(cluster, pods[3], 1)
    done = await cluster.wait_for(batch_v1.Job, "work", has("Failed", "MaxFailedIndexesExceeded"))
    assert done.status.failedIndexes == "1,3"
    assert not done.status.active


@pytest.mark.parametrize(
    ("rule", "succeeding"),
    [
        pytest.param(
            "{succeededIndexes: 0-2}",
            (0, 1, 2),
            marks=covers("[sig-apps] Job with successPolicy should succeeded when all indexes succeeded [Conformance]"),
        ),
        pytest.param(
            "{succeededIndexes: '0'}",
            (0,),
            marks=covers(
                "[sig-apps] Job with successPolicy succeededIndexes rule should succeeded even when some indexes"
                " remain pending [Conformance]"
            ),
        ),
        pytest.param(
            "{succeededCount: 1}",
            (2,),
            marks=covers(
                "[sig-apps] Job with successPolicy succeededCount rule should succeeded even when some indexes remain"
                " pending [Conformance]"
            ),
        ),
    ],
)
async def test_enough_is_enough(cluster: Cluster, rule: str, succeeding: tuple[int, ...]) -> None:
    spec = "completions: 3\n  parallelism: 3\n  completionMode: Indexed\n  successPolicy: {rules: [%s]}" % rule  # noqa: UP031
    await cluster.apply(job(spec))
    await cluster.wait_for(batch_v1.Job, "work", lambda found: found.status.ready == 3)
    pods = await pods_by_index(cluster)
    for index in succeeding:
        await exit_with(cluster, pods[index], 0)
    done = await cluster.wait_for(batch_v1.Job, "work", has("Complete"))
    assert has("SuccessCriteriaMet")(done)
    assert not done.status.active
