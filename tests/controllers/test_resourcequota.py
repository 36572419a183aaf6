"""ResourceQuotas: what objects use, which objects a scope is about, and that the count follows them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api import quota
from sampan.api.types import core_v1
from sampan.controllers import resourcequota
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Requeue
from sampan.testing.cluster import Cluster
from sampan.testing.objects import one
from sampan.testing.world import World
from tests.covers import covers

QUOTA = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: q}, spec: {hard: %s, scopes: %s}}"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  %s
  containers: [{name: main, image: i, resources: %s}]
status: {phase: %s}
"""
REQUESTS = "{requests: {cpu: 500m, memory: 256Mi}, limits: {cpu: '1', memory: 512Mi}}"


def pod(name: str = "a", resources: str = "{}", phase: str = "Running", spec: str = "restartPolicy: Always") -> str:
    return POD % (name, spec, resources, phase)


def world(hard: str, scopes: str = "[]") -> tuple[World, Any]:
    controller = resourcequota.declare(Settings())
    here = World(controller)
    here.load(QUOTA % (hard, scopes))
    return here, lambda: here.plan(controller, "q")


def used(here: World) -> dict[str, str]:
    return dict(here.get(core_v1.ResourceQuota, "q").status.used)


# --- usage


def test_pods_use_requests_and_limits() -> None:
    here, plan = world(
        "{pods: '5', requests.cpu: '2', cpu: '2', memory: 1Gi, limits.cpu: '4', limits.memory: 2Gi, count/pods: '9'}"
    )
    here.load(pod("a", REQUESTS) + "---" + pod("b", REQUESTS) + "---" + pod("done", REQUESTS, "Succeeded"))
    plan()
    assert used(here) == {
        "pods": "2",
        "requests.cpu": "1",
        "cpu": "1",
        "memory": "512Mi",
        "limits.cpu": "2",
        "limits.memory": "1Gi",
        "count/pods": "3",
    }
    assert here.get(core_v1.ResourceQuota, "q").status.hard["pods"] == "5"
    assert plan() == []


def test_the_largest_init_container_counts_and_sidecars_add_up() -> None:
    spec = """initContainers:
  - {name: side, image: i, restartPolicy: Always, resources: {requests: {cpu: 100m}}}
  - {name: big, image: i, resources: {requests: {cpu: 900m}}}
  overhead: {cpu: 50m}"""
    text = pod("a", "{requests: {cpu: 200m}}", spec=spec)
    amounts = quota.usage("pods", one(text))
    assert amounts["requests.cpu"] == int(1.05 * 10**9)


def test_extended_resources_are_requests_only() -> None:
    amounts = quota.usage("pods", one(pod("a", "{requests: {example.org/gpu: 2}, limits: {example.org/gpu: 2}}")))
    assert amounts["requests.example.org/gpu"] == 2 * 10**9
    assert "example.org/gpu" not in amounts


@pytest.mark.parametrize(
    ("type", "balancers", "ports"),
    [("ClusterIP", 0, 0), ("NodePort", 0, 2), ("LoadBalancer", 1, 2)],
)
def test_services(type: str, balancers: int, ports: int) -> None:
    service = one(
        f"{{apiVersion: v1, kind: Service, metadata: {{name: s}},"
        f" spec: {{type: {type}, ports: [{{name: a, port: 80}}, {{name: b, port: 81}}]}}}}"
    )
    amounts = quota.usage("services", service)
    assert (amounts["services.loadbalancers"], amounts["services.nodeports"]) == (
        balancers * quota.ONE,
        ports * quota.ONE,
    )


def test_claims_by_class() -> None:
    here, plan = world(
        "{requests.storage: 10Gi, persistentvolumeclaims: '3',"
        " fast.storageclass.storage.k8s.io/requests.storage: 5Gi,"
        " slow.storageclass.storage.k8s.io/persistentvolumeclaims: '1'}"
    )
    here.load(
        """
        apiVersion: v1
        kind: PersistentVolumeClaim
        metadata: {name: c}
        spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}
        """
    )
    plan()
    assert used(here) == {
        "requests.storage": "2Gi",
        "persistentvolumeclaims": "1",
        "fast.storageclass.storage.k8s.io/requests.storage": "2Gi",
        "slow.storageclass.storage.k8s.io/persistentvolumeclaims": "0",
    }


def test_counts_of_anything() -> None:
    here, plan = world("{configmaps: '3', count/configmaps: '3', count/deployments.apps: '1', count/roses.shop: '1'}")
    here.load("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")
    here.load("{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: other}}")

    async def none(*_: Any) -> tuple[()]:
        return ()

    resourcequota_listed = resourcequota.listed
    resourcequota.listed = none  # type: ignore[assignment]
    try:
        actions = plan()
    finally:
        resourcequota.listed = resourcequota_listed
    assert used(here) == {
        "configmaps": "1",
        "count/configmaps": "1",
        "count/deployments.apps": "0",
        "count/roses.shop": "0",
    }
    assert [each for each in actions if isinstance(each, Requeue)] == [Requeue(60.0)]


# --- scopes


@pytest.mark.parametrize(
    ("scope", "resources", "spec", "counted"),
    [
        ("BestEffort", "{}", "restartPolicy: Always", True),
        ("BestEffort", REQUESTS, "restartPolicy: Always", False),
        ("NotBestEffort", REQUESTS, "restartPolicy: Always", True),
        ("Terminating", "{}", "activeDeadlineSeconds: 9", True),
        ("Terminating", "{}", "restartPolicy: Always", False),
        ("NotTerminating", "{}", "restartPolicy: Always", True),
        ("PriorityClass", "{}", "priorityClassName: high", True),
        ("PriorityClass", "{}", "restartPolicy: Always", False),
    ],
)
def test_scopes(scope: str, resources: str, spec: str, counted: bool) -> None:
    here, plan = world("{pods: '5'}", f"[{scope}]")
    here.load(pod("a", resources, spec=spec))
    plan()
    assert used(here) == {"pods": "1" if counted else "0"}


@pytest.mark.parametrize(
    ("operator", "values", "counted"),
    [("In", "[high]", True), ("In", "[low]", False), ("NotIn", "[low]", True), ("DoesNotExist", "[]", False)],
)
def test_scope_selectors(operator: str, values: str, counted: bool) -> None:
    spec = one(
        "{apiVersion: v1, kind: ResourceQuota, metadata: {name: q}, spec: {hard: {pods: '1'}, scopeSelector:"
        f" {{matchExpressions: [{{scopeName: PriorityClass, operator: {operator}, values: {values}}}]}}}}}}"
    ).spec
    assert quota.covers(spec, "pods", one(pod(spec="priorityClassName: high"))) is counted
    assert not quota.covers(spec, "services", None)


def test_which_resources_a_quota_is_about() -> None:
    spec = core_v1.ResourceQuotaSpec(
        hard=dict.fromkeys(
            ("count/jobs.batch", "services.nodeports", "requests.storage", "limits.cpu", "secrets", "hugepages-2Mi"),
            "1",
        )
    )
    assert quota.resources_of(spec) == {"jobs.batch", "services", "persistentvolumeclaims", "pods", "secrets"}


# --- on a whole cluster


def uses(**expected: str) -> Any:
    return lambda object: expected.items() <= dict(object.status.used).items()


@covers(
    "[sig-api-machinery] ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated."
    " [Conformance]"
)
async def test_a_new_quota_is_counted(cluster: Cluster) -> None:
    await cluster.apply(QUOTA % ("{pods: '5', secrets: '3', services: '2'}", "[]"))
    found = await cluster.wait_for(core_v1.ResourceQuota, "q", lambda each: each.status.used)
    assert dict(found.status.used) == {"pods": "0", "secrets": "0", "services": "0"}


async def test_the_count_follows(cluster: Cluster) -> None:
    await cluster.apply(QUOTA % ("{pods: '5', secrets: '3', configmaps: '9', count/jobs.batch: '2'}", "[]"))
    await cluster.wait_for(core_v1.ResourceQuota, "q", uses(pods="0", secrets="0"))
    await cluster.apply(pod("a"))
    await cluster.apply("{apiVersion: v1, kind: Secret, metadata: {name: s}}")
    await cluster.wait_for(core_v1.ResourceQuota, "q", uses(pods="1", secrets="1"))
    await cluster.client.delete(core_v1.Pod, "a", "default")
    await cluster.client.delete(core_v1.Secret, "s", "default")
    await cluster.wait_for(core_v1.ResourceQuota, "q", uses(pods="0", secrets="0"))


# --- what admission asks


def limited(hard: dict[str, str], used: dict[str, str]) -> core_v1.ResourceQuota:
    made = one("{apiVersion: v1, kind: ResourceQuota, metadata: {name: q}}")
    return replace(
        made,
        spec=core_v1.ResourceQuotaSpec(hard=hard),
        status=core_v1.ResourceQuotaStatus(hard=hard, used=used),
    )


def test_a_write_within_the_quota_adds_to_it() -> None:
    object = limited({"pods": "2", "requests.memory": "1Gi"}, {"pods": "1", "requests.memory": "256Mi"})
    charge = quota.charge(object, "pods", one(pod("a", REQUESTS)))
    assert charge == quota.Charge({"pods": "2", "requests.memory": "512Mi"})


def test_a_write_beyond_the_quota_is_explained() -> None:
    object = limited({"pods": "2", "requests.cpu": "1"}, {"pods": "2", "requests.cpu": "800m"})
    charge = quota.charge(object, "pods", one(pod("a", REQUESTS)))
    assert charge.problem == (
        "exceeded quota: q, requested: pods=1,requests.cpu=500m, used: pods=2,requests.cpu=800m,"
        " limited: pods=2,requests.cpu=1"
    )


def test_what_is_limited_must_be_said() -> None:
    object = limited({"limits.cpu": "2", "memory": "1Gi"}, {})
    charge = quota.charge(object, "pods", one(pod("a", "{requests: {memory: 1Mi}}")))
    assert charge.problem == "failed quota: q: must specify limits.cpu for: main"


def test_a_change_costs_the_difference() -> None:
    text = "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: %s, ports: [{port: 80}]}}"
    cluster_ip, node_port = one(text % "ClusterIP"), one(text % "NodePort")
    object = limited({"services": "1", "services.nodeports": "1"}, {"services": "1", "services.nodeports": "0"})
    assert quota.charge(object, "services", node_port, cluster_ip) == quota.Charge(
        {"services": "1", "services.nodeports": "1"}
    )
    assert quota.charge(object, "services", cluster_ip, cluster_ip) == quota.Charge(None)
    assert (
        quota.charge(object, "configmaps", one("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")).used is None
    )
