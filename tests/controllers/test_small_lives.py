"""Smaller behaviours that need controllers, the scheduler and a node together."""

from __future__ import annotations

import pytest

from sampan.api.errors import StatusError
from sampan.api.types import core_v1, node_v1
from sampan.testing.cluster import Cluster
from tests.covers import covers

RUNTIME = "[sig-node] RuntimeClass should"
SERVICE = "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {%s ports: [{port: 80}]}}"
POD = "{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {%s containers: [{name: c, image: 'i:1'}]}}"
CLASS = "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: r}, handler: runc%s}"
CONTROLLER = """
apiVersion: v1
kind: ReplicationController
metadata: {name: c}
spec:
  replicas: 3
  selector: {a: b}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: "i:1"}]}}
"""


@covers(
    "[sig-network] EndpointsController should create and delete Endpoints for a Service with a selector that matches "
    "no pods [Conformance]"
)
async def test_endpoints_of_a_service_that_selects_nobody(cluster: Cluster) -> None:
    await cluster.apply(SERVICE % "selector: {no: body},")
    made = await cluster.wait_for(core_v1.Endpoints, "s")
    assert made.subsets == ()
    await cluster.client.delete(core_v1.Service, "s", "default")
    await cluster.wait_gone(core_v1.Endpoints, "s")


@covers(
    "[sig-apps] ReplicationController should surface a failure condition on a common issue like exceeded quota "
    "[Conformance]"
)
async def test_a_controller_that_its_quota_holds_back(cluster: Cluster) -> None:
    await cluster.apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: q}, spec: {hard: {pods: '2'}}}")
    await cluster.wait_for(core_v1.ResourceQuota, "q", lambda each: each.status.used.get("pods") == "0")
    await cluster.apply(CONTROLLER)

    def failing(controller: core_v1.ReplicationController) -> bool:
        return any(each.type == "ReplicaFailure" and each.status == "True" for each in controller.status.conditions)

    found = await cluster.wait_for(core_v1.ReplicationController, "c", failing)
    (condition,) = found.status.conditions
    assert condition.reason == "FailedCreate" and "exceeded quota: q" in (condition.message or "")
    await cluster.client.patch(core_v1.ReplicationController, "c", "default", body={"spec": {"replicas": 2}})
    await cluster.wait_for(core_v1.ReplicationController, "c", lambda each: not failing(each))


@covers(
    f"{RUNTIME} reject a Pod requesting a non-existent RuntimeClass [Conformance] [NodeConformance]",
    f"{RUNTIME} reject a Pod requesting a deleted RuntimeClass [Conformance] [NodeConformance]",
)
async def test_a_runtime_class_that_is_not_there(cluster: Cluster) -> None:
    wanted = POD % ("p", "runtimeClassName: r,")
    with pytest.raises(StatusError, match='RuntimeClass "r" not found'):
        await cluster.apply(wanted)
    await cluster.apply(CLASS % "")
    await cluster.client.delete(node_v1.RuntimeClass, "r")
    await cluster.wait_gone(node_v1.RuntimeClass, "r")
    with pytest.raises(StatusError, match='RuntimeClass "r" not found'):
        await cluster.apply(wanted)


@covers(
    f"{RUNTIME} schedule a Pod requesting a RuntimeClass and initialize its Overhead [Conformance] [NodeConformance]",
    f"{RUNTIME} schedule a Pod requesting a RuntimeClass without PodOverhead [Conformance] [NodeConformance]",
)
@pytest.mark.parametrize("overhead", [{}, {"cpu": "10m", "memory": "1Mi"}])
async def test_pods_of_a_runtime_class(cluster: Cluster, overhead: dict[str, str]) -> None:
    fixed = f", overhead: {{podFixed: {{cpu: {overhead['cpu']}, memory: {overhead['memory']}}}}}" if overhead else ""
    await cluster.apply(CLASS % fixed)
    await cluster.apply(POD % ("p", "runtimeClassName: r,"))
    found = await cluster.wait_for(core_v1.Pod, "p", lambda each: each.spec.nodeName)
    assert found.spec.overhead == overhead


@covers(
    "[sig-node] Pods Extended (pod generation) Pod Generation issue 500 podspec updates and verify generation and "
    "observedGeneration eventually converge [MinimumKubeletVersion:1.34] [Conformance]"
)
async def test_the_node_follows_five_hundred_generations(cluster: Cluster) -> None:
    await cluster.apply(POD % ("p", ""))
    await cluster.wait_for(core_v1.Pod, "p", lambda each: each.status.phase == "Running")
    kept = (await cluster.client.get(core_v1.Pod, "p", "default")).spec.tolerations
    known = [{"key": each.key, "operator": each.operator, "effect": each.effect} for each in kept]
    known = [each | {"tolerationSeconds": kept[at].tolerationSeconds} for at, each in enumerate(known)]
    for number in range(499):
        known.append({"key": f"key-{number}", "operator": "Exists"})
        body = {"spec": {"tolerations": known}}
        await cluster.client.patch(core_v1.Pod, "p", "default", body=body)
    found = await cluster.wait_for(core_v1.Pod, "p", lambda each: each.status.observedGeneration == 500, timeout=30)
    assert found.metadata.generation == 500
