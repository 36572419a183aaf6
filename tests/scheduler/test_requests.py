from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from sampan.api.types import core_v1
from sampan.scheduler import requests
from tests.scheduler.lab import pod

MI = 1024 * 1024


def container(cpu: str = "", memory: str = "", *, sidecar: bool = False) -> dict[str, object]:
    wanted = {**({"cpu": cpu} if cpu else {}), **({"memory": memory} if memory else {})}
    return {"name": "x", "resources": {"requests": wanted}, **({"restartPolicy": "Always"} if sidecar else {})}


def demand(containers: list[object], inits: Sequence[object] = (), **spec: object) -> requests.Demand:
    made = pod(**spec)  # type: ignore[arg-type]
    document = {"containers": containers, "initContainers": inits, **spec}
    return requests.of_pod(msgspec.structs.replace(made, spec=msgspec.convert(document, core_v1.PodSpec)))


def test_containers_add_up() -> None:
    found = demand([container("100m", "64Mi"), container("250m")])
    assert found.exact == {"cpu": 350, "memory": 64 * MI}


def test_the_largest_init_container_counts_if_it_is_more() -> None:
    assert demand([container("100m")], [container("50m"), container("300m")]).exact == {"cpu": 300}
    assert demand([container("400m")], [container("300m")]).exact == {"cpu": 400}


def test_sidecars_add_to_containers_and_to_later_init_containers() -> None:
    inits = [container("200m"), container("50m", sidecar=True), container("300m")]
    assert demand([container("100m")], inits).exact == {"cpu": 350}
    assert demand([container("400m")], inits).exact == {"cpu": 450}


def test_overhead_comes_on_top() -> None:
    assert demand([container("100m")], overhead={"cpu": "50m", "memory": "10Mi"}).exact == {
        "cpu": 150,
        "memory": 10 * MI,
    }


def test_pod_level_requests_replace_the_sum() -> None:
    found = demand([container("100m", "64Mi")], resources={"requests": {"cpu": "1"}})
    assert found.exact == {"cpu": 1000, "memory": 64 * MI}
    assert found.cpu == 1000


def test_scores_assume_something_for_containers_that_ask_for_nothing() -> None:
    found = demand([container(), container("50m", "10Mi")])
    assert found.exact == {"cpu": 50, "memory": 10 * MI}
    assert (found.cpu, found.memory) == (150, 210 * MI)


def test_a_resize_counts_with_the_most_of_asked_allocated_and_actual() -> None:
    made = pod(cpu="100m")
    status = core_v1.ContainerStatus(
        name="c",
        allocatedResources={"cpu": "300m"},
        resources=core_v1.ResourceRequirements(requests={"cpu": "200m"}),
    )
    resized = msgspec.structs.replace(made, status=core_v1.PodStatus(containerStatuses=(status,)))
    assert requests.of_pod(resized).exact == {"cpu": 300}


@pytest.mark.parametrize(
    ("network", "port", "expected"),
    [
        (None, {"containerPort": 80, "hostPort": 8080}, requests.Port("TCP", 8080, "")),
        (True, {"containerPort": 80}, requests.Port("TCP", 80, "")),
        (
            None,
            {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "127.0.0.1"},
            ("UDP", 53, "127.0.0.1"),
        ),
        (None, {"containerPort": 1, "hostPort": 1, "hostIP": "0.0.0.0"}, ("TCP", 1, "")),
    ],
)
def test_host_ports(network: bool | None, port: dict[str, object], expected: tuple[object, ...]) -> None:
    spec = {"containers": [{"name": "c", "ports": [port]}], "hostNetwork": network}
    made = msgspec.structs.replace(pod(), spec=msgspec.convert(spec, core_v1.PodSpec))
    assert requests.host_ports(made) == (expected,)


def test_container_ports_alone_take_nothing_of_the_node() -> None:
    spec = {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}
    made = msgspec.structs.replace(pod(), spec=msgspec.convert(spec, core_v1.PodSpec))
    assert requests.host_ports(made) == ()
