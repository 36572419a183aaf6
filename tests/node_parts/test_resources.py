from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.api.types import core_v1
from sampan.node import resources
from sampan.node.contracts import Capacity
from tests.node_parts.pods import UID, pod

GIB = 1 << 30
CAPACITY = Capacity(cpu_milli=4000, memory=8 * GIB)


def asking(*wishes: str) -> core_v1.Pod:
    lines = "".join(f"- {{name: c{at}, image: i, resources: {wish}}}\n" for at, wish in enumerate(wishes))
    return pod(f"containers:\n{lines}")


@pytest.mark.parametrize(
    ("milli", "shares", "quota"),
    [(0, 2, 0), (1, 2, 1000), (9, 9, 1000), (250, 256, 25_000), (1000, 1024, 100_000), (2500, 2560, 250_000)],
)
def test_cpu_is_shares_and_quota(milli: int, shares: int, quota: int) -> None:
    assert (resources.cpu_shares(milli), resources.cpu_quota(milli)) == (shares, quota)


def test_shares_have_the_kernels_upper_bound() -> None:
    assert resources.cpu_shares(10**9) == 262_144


def test_a_container_gets_what_it_asks_for() -> None:
    one = asking("{requests: {cpu: 250m, memory: 64Mi}, limits: {cpu: 500m, memory: 128Mi}}")
    found = resources.resources(one, one.spec.containers[0], CAPACITY)
    assert (found.cpu_shares, found.cpu_quota, found.cpu_period) == (256, 50_000, 100_000)
    assert found.memory_limit == 128 << 20
    assert found.oom_score_adj == 1000 - 1000 * (64 << 20) // (8 * GIB)


def test_a_limit_alone_is_also_the_request() -> None:
    one = asking("{limits: {cpu: '2', memory: 1Gi}}")
    found = resources.resources(one, one.spec.containers[0], CAPACITY)
    assert (found.cpu_shares, found.oom_score_adj) == (2048, -997)


@pytest.mark.parametrize(
    ("wishes", "quality", "cgroup"),
    [
        (("{}",), "BestEffort", f"besteffort/pod{UID}"),
        (("{requests: {cpu: 100m}}",), "Burstable", f"burstable/pod{UID}"),
        (("{limits: {cpu: 1, memory: 1Gi}}",), "Guaranteed", f"pod{UID}"),
        (("{limits: {cpu: 1, memory: 1Gi}}", "{}"), "Burstable", f"burstable/pod{UID}"),
        (("{requests: {cpu: 500m, memory: 1Gi}, limits: {cpu: 1, memory: 1Gi}}",), "Burstable", f"burstable/pod{UID}"),
        (("{limits: {cpu: 1}}",), "Burstable", f"burstable/pod{UID}"),
        (("{requests: {ephemeral-storage: 1Gi}}",), "BestEffort", f"besteffort/pod{UID}"),
    ],
)
def test_quality_of_service_names_the_cgroup(wishes: tuple[str, ...], quality: str, cgroup: str) -> None:
    one = asking(*wishes)
    assert (resources.qos_class(one), resources.cgroup_path(one)) == (quality, cgroup)


def test_the_pods_cgroup_is_limited_only_when_every_container_is() -> None:
    both = asking("{limits: {cpu: 1, memory: 1Gi}}", "{limits: {cpu: 500m, memory: 1Gi}}")
    assert resources.resources(both, None, CAPACITY).cpu_quota == 150_000
    assert resources.resources(both, None, CAPACITY).memory_limit == 2 * GIB
    half = asking("{limits: {cpu: 1, memory: 1Gi}}", "{limits: {memory: 1Gi}}")
    found = resources.resources(half, None, CAPACITY)
    assert (found.cpu_quota, found.memory_limit, found.cpu_shares) == (0, 2 * GIB, 1024)


def test_best_effort_pods_have_the_least_shares() -> None:
    found = resources.resources(asking("{}"), None, CAPACITY)
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit) == (2, 0, 0)


def test_an_init_container_may_need_more_than_all_that_run_later() -> None:
    one = pod(
        """
        initContainers:
        - {name: side, image: i, restartPolicy: Always, resources: {requests: {cpu: 100m}}}
        - {name: setup, image: i, resources: {requests: {cpu: '2'}}}
        containers:
        - {name: a, image: i, resources: {requests: {cpu: 300m, memory: 1Gi}}}
        """
    )
    assert resources.pod_requests(one) == {"cpu": "2100m", "memory": "1Gi"}


def test_a_pods_own_figures_replace_the_sum() -> None:
    one = pod(
        """
        resources: {requests: {cpu: '1'}, limits: {cpu: '2', memory: 1Gi}}
        containers:
        - {name: a, image: i}
        - {name: b, image: i}
        """
    )
    found = resources.resources(one, None, CAPACITY)
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit) == (1024, 200_000, GIB)
    assert resources.qos_class(one) == "Burstable"


@pytest.mark.parametrize(
    ("wish", "score"),
    [
        ("{}", 1000),
        ("{requests: {memory: 4Gi}}", 500),
        ("{requests: {cpu: 1m}}", 999),
        ("{requests: {memory: 1Ti}}", 3),
    ],
)
def test_who_asks_for_much_memory_is_killed_late(wish: str, score: int) -> None:
    one = asking(wish)
    assert resources.oom_score_adj(one, one.spec.containers[0], 8 * GIB) == score


def test_critical_pods_are_killed_last() -> None:
    one = pod("priority: 2000000000\ncontainers: [{name: a, image: i}]")
    assert resources.oom_score_adj(one, one.spec.containers[0], 8 * GIB) == -997


def test_a_sidecar_is_not_killed_before_those_it_serves() -> None:
    one = pod(
        """
        initContainers: [{name: side, image: i, restartPolicy: Always, resources: {requests: {memory: 1Mi}}}]
        containers: [{name: a, image: i, resources: {requests: {memory: 4Gi}}}]
        """
    )
    assert resources.oom_score_adj(one, one.spec.initContainers[0], 8 * GIB) == 500


@given(st.integers(0, 1 << 45), st.integers(1, 1 << 45))
def test_scores_of_burstable_pods_stay_between_the_others(request: int, capacity: int) -> None:
    one = asking(f"{{requests: {{cpu: 1m, memory: '{request}'}}}}")
    assert 3 <= resources.oom_score_adj(one, one.spec.containers[0], capacity) <= 999
