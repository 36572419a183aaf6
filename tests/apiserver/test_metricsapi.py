from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sampan.api.user import User
from sampan.apiserver import metricsapi
from sampan.apiserver.metricsapi import NODE, Figures, Point, Reading, read, usage
from sampan.apiserver.server import Config, Server
from sampan.apiserver.tokens.keys import signer
from sampan.http.types import Connection, Request, Response
from sampan.store.memory import MemoryStore
from tests.apiserver.conftest import Api

BASE = "/apis/metrics.k8s.io/v1beta1"
WEB = ("default", "web", "app")


def page(cpu: float, at: float, *, memory: int = 4 << 20, container: str = "app", started: float = 1000.0) -> str:
    labels = f'{{container="{container}",namespace="default",pod="web"}}'
    moment = int(at * 1000)
    return (
        f"# TYPE node_cpu_usage_seconds_total counter\n"
        f"node_cpu_usage_seconds_total {10 + cpu} {moment}\n"
        f"node_memory_working_set_bytes 1073741824 {moment}\n"
        f"container_cpu_usage_seconds_total{labels} {cpu} {moment}\n"
        f"container_memory_working_set_bytes{labels} {memory} {moment}\n"
        f"container_start_time_seconds{labels} {started} {moment}\n"
        f'pod_cpu_usage_seconds_total{{namespace="default",pod="web"}} 99 {moment}\n'
    )


class FakeNode:
    """Answers one page after the other; a page that is an error is raised."""

    def __init__(self, *pages: str | Exception) -> None:
        self.pages = list(pages)
        self.asked: list[tuple[str, int, str, bool]] = []

    async def send(
        self, address: str, port: int, request: Request, *, scheme: str = "https", node: bool = False
    ) -> Response:
        self.asked.append((address, port, request.target, node))
        page = self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]
        if isinstance(page, Exception):
            raise page
        return Response(200, page.encode())

    async def connect(self, *_: Any, **__: Any) -> tuple[Response, Connection]:
        raise OSError("not here")


def test_readings_are_of_containers_and_the_machine() -> None:
    found = read(page(1.5, 2000.0), 7.0)
    assert found.points == {NODE: Point(11.5, 1 << 30, 2000.0), WEB: Point(1.5, 4 << 20, 2000.0)}
    assert (found.started, found.taken) == ({WEB: 1000.0}, 7.0)


def test_usage_is_what_was_used_in_between() -> None:
    found = usage(read(page(1.0, 2000.0), 0.0), read(page(1.5, 2002.0), 2.0))
    assert found[WEB] == (0.25, 4 << 20, 2002.0, 2.0)
    assert found[NODE].cpu == 0.25


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(None, page(1.0, 2002.0, started=2000.0), 0.5, id="new since"),
        pytest.param(page(9.0, 2000.0), page(1.0, 2002.0, started=2000.0), 0.5, id="started anew"),
        pytest.param(None, page(1.0, 2000.2, started=2000.0), None, id="too young"),
        pytest.param(None, page(1.0, 2000.2, started=0.0), None, id="nothing to compare with"),
    ],
)
def test_usage_of_what_was_not_there_before(old: str | None, new: str, expected: float | None) -> None:
    found = usage(read(old, 0.0) if old else None, read(new, 1.0)).get(WEB)
    assert (found.cpu if found else None) == expected


class Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 2))
        self.now += seconds


async def test_a_node_is_asked_twice_at_first_and_then_seldom() -> None:
    time, count = Time(), 0

    async def fetch() -> str:
        nonlocal count
        count += 1
        return page(float(count), 1900.0 + time.now)

    figures = Figures(fetch, time.clock, time.sleep)
    first = await figures.usage()
    assert (count, time.slept, round(first[WEB].window, 2)) == (2, [1.05], 1.05)
    time.now += 4.0
    assert (await figures.usage(), count) == (first, 2)
    time.now += 11.0
    assert round((await figures.usage())[WEB].window, 2) == 15.0
    assert (count, time.slept) == (3, [1.05])
    time.now += 600.0
    assert round((await figures.usage())[WEB].window, 2) == 1.05, "what was long ago says nothing about now"
    assert count == 5


async def test_an_answer_that_is_none_is_an_error() -> None:
    async def fetch() -> str:
        return "<html>"

    with pytest.raises(ValueError, match="line 1"):
        await Figures(fetch, Time().clock, Time().sleep).usage()


# --- through the server ---


@pytest.fixture
async def node() -> FakeNode:
    return FakeNode(page(1.0, 2000.0), page(1.5, 2002.0, memory=5 << 20))


@pytest.fixture
async def api(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(metricsapi, "PAUSE", 0.0)
    store = MemoryStore()
    server = Server(store, Config(signer(ec.generate_private_key(ec.SECP256R1())), connector=node))
    await server.start()
    api = Api(server)
    document: dict[str, Any] = {"metadata": {"name": "n1", "labels": {"zone": "a"}}}
    await api.send("POST", "/api/v1/nodes", document)
    document["status"] = {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 12450}},
    }
    await api.send("PUT", "/api/v1/nodes/n1/status", document)
    await api.send("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    for name, labels in (("web", {"app": "web"}), ("late", {"app": "late"})):
        pod = {
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "app", "image": "x"}], "nodeName": "n1"},
        }
        assert (await api.send("POST", "/api/v1/namespaces/default/pods", pod)).status == 201
    yield api
    await server.close()
    await store.close()


async def test_pods_are_told_with_their_labels(api: Api, node: FakeNode) -> None:
    answer = await api.send("GET", f"{BASE}/namespaces/default/pods")
    assert (answer["kind"], answer["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    assert answer["items"] == [
        {
            "kind": "PodMetrics",
            "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {
                "name": "web",
                "namespace": "default",
                "creationTimestamp": "1970-01-01T00:33:22Z",
                "labels": {"app": "web"},
            },
            "timestamp": "1970-01-01T00:33:22Z",
            "window": "2.000s",
            "containers": [{"name": "app", "usage": {"cpu": "250000000n", "memory": "5120Ki"}}],
        }
    ]
    assert node.asked == [("192.0.2.7", 12450, "/metrics/resource", True)] * 2


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?labelSelector=app%3Dweb", ["web"]),
        ("?labelSelector=app%3Dlate", []),
        ("?fieldSelector=metadata.name%3Dweb", ["web"]),
        ("?fieldSelector=metadata.name%3Dother", []),
    ],
)
async def test_pods_are_selected(api: Api, query: str, names: list[str]) -> None:
    answer = await api.send("GET", f"{BASE}/pods{query}")
    assert [each["metadata"]["name"] for each in answer["items"]] == names


async def test_one_pod_and_one_node(api: Api) -> None:
    answer = await api.send("GET", f"{BASE}/namespaces/default/pods/web")
    assert (answer["kind"], answer["window"]) == ("PodMetrics", "2.000s")
    answer = await api.send("GET", f"{BASE}/nodes/n1")
    assert answer["usage"] == {"cpu": "250000000n", "memory": "1048576Ki"}
    answer = await api.send("GET", f"{BASE}/nodes?labelSelector=zone%3Da")
    assert [each["metadata"]["name"] for each in answer["items"]] == ["n1"]


async def test_what_has_no_figures_is_not_found(api: Api) -> None:
    answer = await api.send("GET", f"{BASE}/namespaces/default/pods/late")
    assert (answer.status, answer.message) == (404, 'podmetrics.metrics.k8s.io "default/late" not found')
    answer = await api.send("GET", f"{BASE}/nodes/n2")
    assert (answer.status, answer.message) == (404, 'nodemetrics.metrics.k8s.io "n2" not found')


async def test_a_table_shows_the_sum_of_the_containers(api: Api) -> None:
    answer = await api.send(
        "GET", f"{BASE}/namespaces/default/pods", accept="application/json;as=Table;g=meta.k8s.io;v=v1"
    )
    assert [row["cells"] for row in answer["rows"]] == [["web", "250m", "5Mi", "2.000s"]]


async def test_a_node_that_does_not_answer_is_said(api: Api, node: FakeNode) -> None:
    node.pages[:] = [ConnectionRefusedError("connection refused")]
    answer = await api.send("GET", f"{BASE}/nodes")
    assert (answer.status, answer.message) == (503, "node n1: connection refused")


async def test_metrics_are_only_read(api: Api) -> None:
    assert (await api.send("DELETE", f"{BASE}/nodes/n1")).status == 405
    assert (await api.send("GET", f"{BASE}/nodes?watch=1")).status == 405
    resources = (await api.send("GET", BASE))["resources"]
    assert [(each["name"], each["kind"], each["verbs"]) for each in resources] == [
        ("nodes", "NodeMetrics", ["get", "list"]),
        ("pods", "PodMetrics", ["get", "list"]),
    ]


async def test_who_may_view_may_see_figures(api: Api) -> None:
    mallory = User("mallory", groups=("system:authenticated",))
    assert (await api.send("GET", f"{BASE}/namespaces/default/pods", user=mallory)).status == 403
    binding = {
        "metadata": {"name": "viewers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "mallory"}],
    }
    where = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    assert (await api.send("POST", where, binding)).status == 201
    assert (await api.send("GET", f"{BASE}/namespaces/default/pods", user=mallory)).status == 200
    assert (await api.send("GET", f"{BASE}/nodes", user=mallory)).status == 403


def test_a_counter_that_fell_is_no_rate() -> None:
    old = Reading({WEB: Point(5.0, 1, 2000.0)}, {}, 0.0)
    assert usage(old, Reading({WEB: Point(1.0, 1, 2002.0)}, {}, 2.0)) == {}
