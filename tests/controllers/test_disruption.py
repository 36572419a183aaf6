"""PodDisruptionBudgets: what is expected, what is healthy, and what may still go."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.types import apps_v1, core_v1, policy_v1
from sampan.controllers import disruption
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Emit, Requeue
from sampan.runtime.clock import rfc3339
from sampan.testing.cluster import Cluster
from sampan.testing.world import World
from tests.covers import covers

BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec:
  %s
  selector: %s
"""
SET = """
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, uid: rs, ownerReferences: [%s]}
spec: {replicas: %d, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata:
  name: %s
  labels: {app: web}
  ownerReferences: [%s]
spec: {containers: [{name: main, image: i}]}
status: {phase: Running, conditions: [{type: Ready, status: "%s"}]}
"""
BY_SET = "{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: rs, controller: true}"
BY_DEPLOYMENT = "{apiVersion: apps/v1, kind: Deployment, name: web, uid: dep, controller: true}"


def world(
    limit: str, *, ready: int = 4, broken: int = 0, size: int = 4, selector: str = "{matchLabels: {app: web}}"
) -> tuple[World, Any]:
    controller = disruption.declare(Settings())
    here = World(controller)
    here.load(BUDGET % (limit, selector))
    here.load(SET % ("", size))
    for number in range(ready + broken):
        here.load(POD % (f"web-{number}", BY_SET, number < ready))

    def plan() -> list[Action]:
        return here.plan(controller, "web")

    return here, plan


def numbers(here: World) -> tuple[int | None, int | None, int | None, int | None]:
    status = here.get(policy_v1.PodDisruptionBudget, "web").status
    return status.expectedPods, status.desiredHealthy, status.currentHealthy, status.disruptionsAllowed


@pytest.mark.parametrize(
    ("limit", "ready", "broken", "expected"),
    [
        ("minAvailable: 3", 4, 0, (4, 3, 4, 1)),
        ("minAvailable: 3", 3, 1, (4, 3, 3, 0)),
        ("minAvailable: 3", 2, 0, (2, 3, 2, 0)),
        ("minAvailable: 0", 4, 0, (4, 0, 4, 4)),
        ("minAvailable: 50%", 4, 0, (4, 2, 4, 2)),
        ("minAvailable: 60%", 4, 0, (4, 3, 4, 1)),
        ("maxUnavailable: 1", 4, 0, (4, 3, 4, 1)),
        ("maxUnavailable: 1", 3, 1, (4, 3, 3, 0)),
        ("maxUnavailable: 30%", 4, 0, (4, 2, 4, 2)),
        ("maxUnavailable: 100%", 4, 0, (4, 0, 4, 4)),
        ("maxUnavailable: 1", 0, 0, (0, 0, 0, 0)),
    ],
)
def test_budgets(limit: str, ready: int, broken: int, expected: tuple[int, int, int, int]) -> None:
    here, plan = world(limit, ready=ready, broken=broken)
    plan()
    assert numbers(here) == expected
    (condition,) = here.get(policy_v1.PodDisruptionBudget, "web").status.conditions
    assert condition.reason == ("SufficientPods" if expected[3] else "InsufficientPods")
    assert condition.status == ("True" if expected[3] else "False")
    assert plan() == []


def test_the_deployments_size_counts_once_for_all_its_replica_sets() -> None:
    here, plan = world("maxUnavailable: 1")
    here.load(SET % (BY_DEPLOYMENT, 2))
    here.load((SET % (BY_DEPLOYMENT, 3)).replace("web-1, uid: rs", "web-2, uid: rs2"))
    here.load(
        """
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: web, uid: dep}
        spec: {replicas: 4, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}}}
        """
    )
    here.load(POD % ("other", BY_SET.replace("web-1, uid: rs", "web-2, uid: rs2"), True))
    plan()
    assert numbers(here) == (4, 3, 5, 2)


def test_an_empty_selector_is_for_all_pods_and_none_for_no_pod() -> None:
    here, plan = world("minAvailable: 1", selector="{}")
    plan()
    assert numbers(here) == (4, 1, 4, 3)
    budget = here.get(policy_v1.PodDisruptionBudget, "web")
    here.add(replace(budget, spec=replace(budget.spec, selector=None)))
    plan()
    assert numbers(here) == (0, 1, 0, 0)


def test_an_evicted_pod_counts_as_gone_until_its_eviction_is_forgotten() -> None:
    here, plan = world("minAvailable: 3")
    plan()
    budget = here.get(policy_v1.PodDisruptionBudget, "web")
    noted = {"web-0": rfc3339(here.now), "long-gone": rfc3339(here.now)}
    here.add(replace(budget, status=replace(budget.status, disruptedPods=noted)))
    actions = plan()
    assert numbers(here) == (4, 3, 3, 0)
    assert [each.after for each in actions if isinstance(each, Requeue)] == [120.0]
    assert list(here.get(policy_v1.PodDisruptionBudget, "web").status.disruptedPods) == ["web-0"]
    here.now += 121
    plan()
    assert numbers(here) == (4, 3, 4, 1)


def test_a_pod_on_its_way_out_is_not_healthy() -> None:
    here, plan = world("minAvailable: 3")
    pod = here.get(core_v1.Pod, "web-0")
    here.add(replace(pod, metadata=replace(pod.metadata, deletionTimestamp=rfc3339(here.now))))
    plan()
    assert numbers(here) == (4, 3, 3, 0)


def test_what_cannot_be_told_allows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    here, plan = world("maxUnavailable: 1")
    here.load(POD % ("odd", "{apiVersion: example.org/v1, kind: Farm, name: f, uid: f, controller: true}", True))

    async def unknown(*_: Any) -> None:
        return None

    monkeypatch.setattr(disruption, "scale", unknown)
    actions = plan()
    assert [each.reason for each in actions if isinstance(each, Emit)] == ["CalculateExpectedPodCountFailed"]
    status = here.get(policy_v1.PodDisruptionBudget, "web").status
    assert (status.disruptionsAllowed, status.conditions[0].reason) == (0, "SyncFailed")


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: i}]}
"""


async def evict(cluster: Cluster, name: str) -> None:
    path = cluster.client.kind(core_v1.Pod).path("default", name, "eviction")
    metadata = replace(core_v1.Pod().metadata, name=name, namespace="default")
    await cluster.client.post(path, policy_v1.Eviction(apiVersion="policy/v1", kind="Eviction", metadata=metadata))


@covers("[sig-apps] DisruptionController should block an eviction until the PDB is updated to allow it [Conformance]")
async def test_an_eviction_waits_for_the_budget(cluster: Cluster) -> None:
    await cluster.apply(DEPLOYMENT)
    await cluster.wait_for(apps_v1.Deployment, "web", lambda each: each.status.readyReplicas == 3)
    await cluster.apply(BUDGET % ("minAvailable: 3", "{matchLabels: {app: web}}"))
    await cluster.wait_for(policy_v1.PodDisruptionBudget, "web", lambda each: each.status.currentHealthy == 3)
    victim = (await cluster.client.list(core_v1.Pod, "default")).items[0].metadata.name or ""
    with pytest.raises(StatusError) as refused:
        await evict(cluster, victim)
    assert refused.value.code == 429
    await cluster.client.patch(policy_v1.PodDisruptionBudget, "web", "default", body={"spec": {"minAvailable": 2}})
    await cluster.wait_for(policy_v1.PodDisruptionBudget, "web", lambda each: each.status.disruptionsAllowed == 1)
    await evict(cluster, victim)
    await cluster.wait_gone(core_v1.Pod, victim)
    await cluster.wait_for(policy_v1.PodDisruptionBudget, "web", lambda each: each.status.disruptionsAllowed == 1)


@covers("[sig-apps] DisruptionController should create a PodDisruptionBudget [Conformance]")
async def test_a_new_budget_is_calculated(cluster: Cluster) -> None:
    await cluster.apply(BUDGET % ("minAvailable: 1", "{matchLabels: {app: web}}"))
    made = await cluster.wait_for(policy_v1.PodDisruptionBudget, "web", lambda each: each.status.observedGeneration)
    assert (made.status.expectedPods, made.status.disruptionsAllowed) == (0, 0)
