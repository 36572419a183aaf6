"""With the real API server, controllers and pretended nodes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from sampan.api.errors import StatusError
from sampan.api.types import apps_v1, core_v1, meta_v1, scheduling_v1
from sampan.testing.cluster import Cluster
from tests.covers import covers


def pod(name: str, cpu: str = "", **spec: object) -> core_v1.Pod:
    container = {"name": "c", "image": "app", "resources": {"requests": {"cpu": cpu}} if cpu else {}}
    container |= {"ports": spec.pop("ports")} if "ports" in spec else {}
    document = {"containers": [container], **spec}
    return core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name=name, namespace="default"), spec=msgspec.convert(document, core_v1.PodSpec)
    )


def on_a_node(found: core_v1.Pod) -> bool:
    return bool(found.spec.nodeName)


def refused(part: str) -> Callable[[core_v1.Pod], bool]:
    """Whether the pod's condition says that no node was found, and why."""

    def holds(found: core_v1.Pod) -> bool:
        return any(
            c.type == "PodScheduled"
            and c.status == "False"
            and c.reason == "Unschedulable"
            and part in (c.message or "")
            for c in found.status.conditions
        )

    return holds


async def test_a_pod_runs_on_some_node(cluster: Cluster) -> None:
    await cluster.client.create(pod("web"))
    found = await cluster.wait_for(core_v1.Pod, "web", lambda p: p.status.phase == "Running")
    assert found.spec.nodeName == "node-1"
    assert any(c.type == "PodScheduled" and c.status == "True" for c in found.status.conditions)


@covers(
    "[sig-scheduling] SchedulerPredicates validates resource limits of pods that are allowed to run "
    "[Conformance] [Serial]",
)
@pytest.mark.cluster(nodes=2, capacity={"cpu": "2", "memory": "4Gi", "pods": "10"})
async def test_no_more_than_fits(cluster: Cluster) -> None:
    for number in range(2):
        await cluster.client.create(pod(f"filler-{number}", cpu="1500m"))
        await cluster.wait_for(core_v1.Pod, f"filler-{number}", on_a_node)
    await cluster.client.create(pod("more", cpu="1"))
    await cluster.wait_for(core_v1.Pod, "more", refused("0/2 nodes are available: 2 Insufficient cpu."))
    await cluster.client.delete(core_v1.Pod, "filler-0", "default", grace=0)
    await cluster.wait_for(core_v1.Pod, "more", on_a_node)


@covers(
    "[sig-scheduling] SchedulerPredicates validates that NodeSelector is respected if matching [Conformance] [Serial]",
)
@pytest.mark.cluster(nodes=2)
async def test_a_node_selector_that_matches(cluster: Cluster) -> None:
    await cluster.client.patch(core_v1.Node, "node-2", body={"metadata": {"labels": {"disk": "fast"}}})
    await cluster.client.create(pod("picky", nodeSelector={"disk": "fast"}))
    found = await cluster.wait_for(core_v1.Pod, "picky", on_a_node)
    assert found.spec.nodeName == "node-2"


@covers(
    "[sig-scheduling] SchedulerPredicates validates that NodeSelector is respected if not matching "
    "[Conformance] [Serial]",
)
@pytest.mark.cluster(nodes=2)
async def test_a_node_selector_that_matches_no_node(cluster: Cluster) -> None:
    await cluster.client.create(pod("picky", nodeSelector={"disk": "none"}))
    await cluster.wait_for(core_v1.Pod, "picky", refused("2 node(s) didn't match Pod's node affinity/selector"))
    await cluster.client.patch(core_v1.Node, "node-1", body={"metadata": {"labels": {"disk": "none"}}})
    await cluster.wait_for(core_v1.Pod, "picky", on_a_node)


@covers(
    "[sig-scheduling] SchedulerPredicates validates that there exists conflict between pods with same hostPort and "
    "protocol but one using 0.0.0.0 hostIP [Conformance] [Serial]",
)
async def test_host_ports_conflict(cluster: Cluster) -> None:
    everywhere = {"containerPort": 80, "hostPort": 54322, "hostIP": "0.0.0.0"}
    await cluster.client.create(pod("first", ports=[everywhere]))
    await cluster.wait_for(core_v1.Pod, "first", on_a_node)
    await cluster.client.create(pod("second", ports=[everywhere | {"hostIP": "127.0.0.1"}]))
    await cluster.wait_for(core_v1.Pod, "second", refused("1 node(s) didn't have free ports"))
    await cluster.client.create(pod("udp", ports=[everywhere | {"protocol": "UDP"}]))
    await cluster.wait_for(core_v1.Pod, "udp", on_a_node)


async def priority(cluster: Cluster, name: str, value: int) -> None:
    await cluster.client.create(scheduling_v1.PriorityClass(metadata=meta_v1.ObjectMeta(name=name), value=value))


@covers(
    "[sig-scheduling] SchedulerPreemption validates basic preemption works [Conformance] [Serial]",
    "[sig-scheduling] SchedulerPreemption validates pod disruption condition is added to the preempted pod "
    "[Conformance] [Serial]",
)
@pytest.mark.cluster(nodes=2, capacity={"cpu": "2", "memory": "4Gi", "pods": "10"})
async def test_a_pod_of_higher_priority_takes_the_place_of_a_lower_one(cluster: Cluster) -> None:
    await priority(cluster, "low", 1)
    await priority(cluster, "medium", 100)
    await priority(cluster, "high", 1000)
    hold = meta_v1.ObjectMeta(name="victim", namespace="default", finalizers=("example.com/hold",))
    victim = pod("victim", cpu="1500m", priorityClassName="low")
    await cluster.client.create(msgspec.structs.replace(victim, metadata=hold))
    await cluster.wait_for(core_v1.Pod, "victim", on_a_node)
    await cluster.client.create(pod("other", cpu="1500m", priorityClassName="medium"))
    await cluster.wait_for(core_v1.Pod, "other", on_a_node)
    await cluster.client.create(pod("critical", cpu="1500m", priorityClassName="high"))
    leaving = await cluster.wait_for(core_v1.Pod, "victim", lambda p: bool(p.metadata.deletionTimestamp))
    condition = next(c for c in leaving.status.conditions if c.type == "DisruptionTarget")
    assert (condition.status, condition.reason) == ("True", "PreemptionByScheduler")
    nominated = await cluster.wait_for(core_v1.Pod, "critical", lambda p: bool(p.status.nominatedNodeName))
    assert nominated.status.nominatedNodeName == leaving.spec.nodeName
    await cluster.client.patch(core_v1.Pod, "victim", "default", body={"metadata": {"finalizers": None}})
    found = await cluster.wait_for(core_v1.Pod, "critical", on_a_node)
    assert found.spec.nodeName == leaving.spec.nodeName
    assert on_a_node(await cluster.client.get(core_v1.Pod, "other", "default"))
    with pytest.raises(StatusError, match="not found"):
        await cluster.client.get(core_v1.Pod, "victim", "default")


@covers(
    "[sig-scheduling] SchedulerPreemption validates lower priority pod preemption by critical pod "
    "[Conformance] [Serial]",
)
@pytest.mark.cluster(capacity={"cpu": "2", "memory": "4Gi", "pods": "10"})
async def test_a_critical_pod_takes_the_place_of_a_lower_one(cluster: Cluster) -> None:
    await cluster.client.create(pod("ordinary", cpu="1500m"))
    await cluster.wait_for(core_v1.Pod, "ordinary", on_a_node)
    critical = pod("critical", cpu="1500m", priorityClassName="system-cluster-critical")
    meta = meta_v1.ObjectMeta(name="critical", namespace="kube-system")
    await cluster.client.create(msgspec.structs.replace(critical, metadata=meta))
    await cluster.wait_for(core_v1.Pod, "critical", on_a_node, namespace="kube-system")
    with pytest.raises(StatusError, match="not found"):
        await cluster.client.get(core_v1.Pod, "ordinary", "default")


async def test_gates_hold_a_pod_back(cluster: Cluster) -> None:
    await cluster.client.create(pod("gated", schedulingGates=[{"name": "example.com/wait"}]))
    found = await cluster.wait_for(core_v1.Pod, "gated", lambda p: bool(p.status.conditions))
    assert (found.status.conditions[0].reason, found.spec.nodeName) == ("SchedulingGated", None)
    await cluster.client.patch(core_v1.Pod, "gated", "default", body={"spec": {"schedulingGates": None}})
    await cluster.wait_for(core_v1.Pod, "gated", on_a_node)


@pytest.mark.cluster(nodes=3)
async def test_pods_of_a_service_are_spread_over_nodes(cluster: Cluster) -> None:
    await cluster.apply(
        """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 9
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}
"""
    )
    await cluster.wait_for(apps_v1.Deployment, "web", lambda d: d.status.availableReplicas == 9)
    page = await cluster.client.list(core_v1.Pod, "default", labels="app=web")
    counts = sorted(sum(found.spec.nodeName == f"node-{number}" for found in page.items) for number in range(1, 4))
    assert counts == [3, 3, 3]


STORAGE = """
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: local}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec:
  capacity: {storage: 5Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: local
  local: {path: /mnt}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node-2]}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], storageClassName: local, resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  containers: [{name: c, image: i, volumeMounts: [{name: d, mountPath: /d}]}]
  volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]
"""


@pytest.mark.cluster(nodes=3)
async def test_a_claim_that_waits_is_bound_to_a_volume_its_pods_node_reaches(cluster: Cluster) -> None:
    await cluster.apply(STORAGE)
    found = await cluster.wait_for(core_v1.Pod, "user", on_a_node)
    assert found.spec.nodeName == "node-2"
    claim = await cluster.client.get(core_v1.PersistentVolumeClaim, "data", "default")
    assert (claim.spec.volumeName, claim.status.phase) == ("disk", "Bound")


SET = """
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{name: {name}}}
spec:
  replicas: {count}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      priorityClassName: {name}
      terminationGracePeriodSeconds: 0
      containers: [{{name: c, image: app, resources: {{requests: {{cpu: {cpu}}}}}}}]
"""


@covers(
    "[sig-scheduling] SchedulerPreemption PreemptionExecutionPath runs ReplicaSets to verify preemption running path "
    "[Conformance] [Serial]",
)
@pytest.mark.cluster(capacity={"cpu": "2", "memory": "4Gi", "pods": "20"})
async def test_sets_of_rising_priority_take_the_places_of_the_lowest(cluster: Cluster) -> None:
    async def placed(**wanted: int) -> None:
        def holds(pods: tuple[core_v1.Pod, ...]) -> bool:
            there = [p.metadata.labels["app"] for p in pods if on_a_node(p) and not p.metadata.deletionTimestamp]
            return {name: there.count(name) for name in wanted} == wanted

        await cluster.wait_until(core_v1.Pod, holds)

    for value, (name, count, cpu) in enumerate(
        (("p1", 2, "500m"), ("p2", 2, "500m"), ("p3", 1, "1000m"), ("p4", 1, "1000m")), start=1
    ):
        await priority(cluster, name, value)
        await cluster.apply(SET.format(name=name, count=count, cpu=cpu))
        await placed(**{name: count})
    await placed(p1=0, p2=0, p3=1, p4=1)
    # What was preempted is made again and waits.
    await cluster.wait_until(core_v1.Pod, lambda pods: len([p for p in pods if not p.metadata.deletionTimestamp]) == 6)
