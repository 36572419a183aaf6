"""Services and nodes on a whole cluster: endpoints follow pods; pods leave nodes that are lost or tainted."""

from __future__ import annotations

from typing import Any

import pytest

from sampan.api.types import apps_v1, core_v1, discovery_v1
from sampan.controllers.settings import Settings
from sampan.testing.cluster import Cluster
from tests.covers import covers

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations: %s
      containers: [{name: main, image: "web:1"}]
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app: web}, annotations: {pretend.sampan.dev/ready: "%s"}}
spec:
  nodeName: %s
  tolerations: %s
  containers: [{name: main, image: "web:1"}]
"""


def addresses(slices: Any) -> set[str]:
    return {address for each in slices for endpoint in each.endpoints for address in endpoint.addresses}


def ready(slices: Any) -> set[str]:
    return {
        endpoint.addresses[0]
        for each in slices
        for endpoint in each.endpoints
        if endpoint.conditions is not None and endpoint.conditions.ready
    }


# --- endpoints


@covers(
    "[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service [Conformance]"
)
async def test_endpoints_follow_pods(cluster: Cluster) -> None:
    await cluster.apply(SERVICE)
    await cluster.apply(DEPLOYMENT % (3, "[]"))
    slices = await cluster.wait_until(discovery_v1.EndpointSlice, lambda found: len(ready(found)) == 3)
    pods = (await cluster.client.list(core_v1.Pod, "default")).items
    assert addresses(slices) == {pod.status.podIP for pod in pods}
    endpoints = await cluster.wait_for(
        core_v1.Endpoints, "web", lambda each: each.subsets and len(each.subsets[0].addresses) == 3
    )
    assert {each.ip for each in endpoints.subsets[0].addresses} == addresses(slices)
    assert [(port.name, port.port) for port in endpoints.subsets[0].ports] == [("http", 8080)]
    await cluster.client.patch(apps_v1.Deployment, "web", "default", body={"spec": {"replicas": 1}})
    await cluster.wait_until(discovery_v1.EndpointSlice, lambda found: len(addresses(found)) == 1)


@covers(
    "[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no"
    " pods [Conformance]"
)
async def test_slices_come_and_go_with_their_service(cluster: Cluster) -> None:
    await cluster.apply(SERVICE)
    mine = {"kubernetes.io/service-name": "web"}.items()

    def those(found: Any) -> list[Any]:
        return [each for each in found if mine <= each.metadata.labels.items()]

    await cluster.wait_until(discovery_v1.EndpointSlice, lambda found: len(those(found)) == 1)
    await cluster.wait_for(core_v1.Endpoints, "web")
    await cluster.client.delete(core_v1.Service, "web", "default")
    await cluster.wait_until(discovery_v1.EndpointSlice, lambda found: not those(found))
    await cluster.wait_gone(core_v1.Endpoints, "web")


async def test_only_ready_pods_serve(cluster: Cluster) -> None:
    await cluster.apply(SERVICE)
    await cluster.apply(POD % ("a", "true", "node-1", "[]") + "---" + POD % ("b", "false", "node-1", "[]"))
    slices = await cluster.wait_until(discovery_v1.EndpointSlice, lambda found: len(addresses(found)) == 2)
    b = await cluster.client.get(core_v1.Pod, "b", "default")
    assert b.status.podIP not in ready(slices)
    body = {"metadata": {"annotations": {"pretend.sampan.dev/ready": "true"}}}
    await cluster.client.patch(core_v1.Pod, "b", "default", body=body)
    await cluster.wait_until(discovery_v1.EndpointSlice, lambda found: len(ready(found)) == 2)


async def test_a_pod_on_its_way_out_serves_without_being_ready(cluster: Cluster) -> None:
    await cluster.apply(SERVICE)
    lingering = POD.replace('"%s"}', '"%s", pretend.sampan.dev/lingers: "30"}')
    await cluster.apply(lingering % ("a", "true", "node-1", "[]"))
    await cluster.wait_until(discovery_v1.EndpointSlice, lambda found: len(ready(found)) == 1)
    await cluster.client.delete(core_v1.Pod, "a", "default", grace=30)
    slices = await cluster.wait_until(
        discovery_v1.EndpointSlice, lambda found: len(addresses(found)) == 1 and not ready(found)
    )
    (endpoint,) = [endpoint for each in slices for endpoint in each.endpoints]
    assert endpoint.conditions is not None
    assert (endpoint.conditions.serving, endpoint.conditions.terminating) == (True, True)
    await cluster.client.delete(core_v1.Pod, "a", "default", grace=0)
    await cluster.wait_until(discovery_v1.EndpointSlice, lambda found: not addresses(found))


@covers(
    "[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete"
    " [Conformance]"
)
async def test_endpoints_by_hand_are_mirrored(cluster: Cluster) -> None:
    await cluster.apply("{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {ports: [{port: 80}]}}")
    by_hand = (
        "{apiVersion: v1, kind: Endpoints, metadata: {name: db},"
        " subsets: [{addresses: [{ip: 192.0.2.%d}], ports: [{port: 80}]}]}"
    )
    await cluster.apply(by_hand % 1)
    await cluster.wait_until(discovery_v1.EndpointSlice, lambda found: "192.0.2.1" in addresses(found))
    await cluster.apply(by_hand % 2)
    await cluster.wait_until(
        discovery_v1.EndpointSlice, lambda found: {"192.0.2.2"} == addresses(found) & {"192.0.2.1", "192.0.2.2"}
    )
    await cluster.client.delete(core_v1.Endpoints, "db", "default")
    await cluster.wait_until(discovery_v1.EndpointSlice, lambda found: "192.0.2.2" not in addresses(found))


# --- nodes

QUICK = Settings(root_ca="x", node_monitor_grace_period=0.5, node_startup_grace_period=0.5)


def is_unreachable(node: core_v1.Node) -> bool:
    return {(each.key, each.effect) for each in node.spec.taints} >= {
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    }


@pytest.mark.cluster(nodes=2)
async def test_a_tainted_nodes_pods_move(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENT % (4, "[]"))
    await cluster.wait_for(apps_v1.Deployment, "web", lambda d: d.status.readyReplicas == 4)
    taint = {"spec": {"taints": [{"key": "broken", "effect": "NoExecute"}]}}
    await cluster.client.patch(core_v1.Node, "node-1", body=taint)

    def moved(found: Any) -> bool:
        return len(found) == 4 and {pod.spec.nodeName for pod in found} == {"node-2"}

    await cluster.wait_until(core_v1.Pod, moved)
    await cluster.wait_for(apps_v1.Deployment, "web", lambda d: d.status.readyReplicas == 4)


@pytest.mark.cluster(nodes=2, settings=QUICK)
async def test_a_silent_node_is_tainted_and_its_pods_are_replaced_elsewhere(cluster: Cluster) -> None:
    """Lease not renewed -> Ready Unknown -> taints -> eviction; with the machine gone the pod hangs until forced."""
    tolerations = (
        "[{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 0},"
        " {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 0}]"
    )
    await cluster.apply(SERVICE)
    await cluster.apply(DEPLOYMENT % (2, tolerations))
    await cluster.wait_for(apps_v1.Deployment, "web", lambda d: d.status.readyReplicas == 2)
    pods = (await cluster.client.list(core_v1.Pod, "default")).items
    lost = {pod.metadata.name for pod in pods if pod.spec.nodeName == "node-1"}
    assert lost, "pods spread over both nodes"
    cluster.silence("node-1")
    node = await cluster.wait_for(core_v1.Node, "node-1", is_unreachable)
    assert next(each for each in node.status.conditions if each.type == "Ready").status == "Unknown"
    terminating = await cluster.wait_until(
        core_v1.Pod, lambda found: lost == {pod.metadata.name for pod in found if pod.metadata.deletionTimestamp}
    )
    reasons = {
        condition.reason
        for pod in terminating
        for condition in pod.status.conditions
        if condition.type == "DisruptionTarget"
    }
    assert reasons == {"DeletionByTaintManager"}
    await cluster.wait_until(
        discovery_v1.EndpointSlice, lambda found: len(ready(found)) == 2 and len(addresses(found)) >= 2
    )
    await cluster.wake("node-1")
    await cluster.wait_for(core_v1.Node, "node-1", lambda node: not node.spec.taints)
    await cluster.wait_until(core_v1.Pod, lambda found: len(found) == 2)


@pytest.mark.cluster(nodes=2)
async def test_pods_of_a_deleted_node_are_collected(cluster: Cluster) -> None:
    await cluster.apply(POD % ("a", "true", "node-2", "[]"))
    await cluster.wait_for(core_v1.Pod, "a", lambda pod: pod.status.phase == "Running")
    cluster.silence("node-2")
    await cluster.client.delete(core_v1.Node, "node-2")
    await cluster.client.delete(core_v1.Pod, "a", "default", grace=0)
    await cluster.wait_gone(core_v1.Pod, "a")


async def test_every_node_has_a_range(cluster: Cluster) -> None:
    for number in range(2, 6):
        await cluster.add_node(f"node-{number}")
    nodes = await cluster.wait_until(
        core_v1.Node, lambda found: len(found) == 5 and all(node.spec.podCIDR for node in found), namespace=""
    )
    assert {node.spec.podCIDR for node in nodes} == {f"10.244.{number}.0/24" for number in range(5)}
