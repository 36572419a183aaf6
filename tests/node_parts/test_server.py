from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sampan import pki
from sampan.api.types import core_v1
from sampan.host.containers import Container, ContainerConfig, ExecResult, Resources, SandboxConfig, Stats
from sampan.http.client import HttpTransport
from sampan.http.server import Server
from sampan.http.tls import client_context, server_context
from sampan.http.types import Request, Response
from sampan.node.access import Access, subresource_of
from sampan.node.contracts import Places
from sampan.node.server import NodeServer
from sampan.node.stats import Collector
from sampan.runtime import tasks
from sampan.runtime.access import certificate_caller
from sampan.runtime.clock import settle
from tests.node_parts.conftest import NODE_NAME, Api
from tests.node_parts.pods import UID, pod
from tests.node_parts.runtimes import Table

LINE = "2026-01-02T03:04:05.000000001Z stdout F {}\n"
STATUS = """
containerStatuses:
- {name: waiting, ready: false, restartCount: 0, image: i, imageID: "", state: {waiting: {reason: ImagePullBackOff}}}
"""


class House:
    """A node with one pod: `c` runs for the second time, `waiting` has no image yet."""

    def __init__(self, root: Path) -> None:
        self.places = Places(root)
        containers = "[{name: c, image: i}, {name: waiting, image: j}, {name: new, image: i}]"
        self.pod = pod(f"containers: {containers}", status=STATUS)
        self.table = Table(self._command)
        self.directory = self.places.log_directory("default", "web", UID)
        config = SandboxConfig(
            UID, "web", "default", cgroup="burstable/podx", resources=Resources(memory_limit=1000),
            log_directory=str(self.directory),
        )  # fmt: skip
        labels = {"io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "default"}
        limits = Resources(512, 50_000, memory_limit=800)
        runs = [ContainerConfig("c", "img", attempt, labels=labels, resources=limits) for attempt in (0, 1)]
        self.table.put(config, *runs)
        self.table.end("web-c-0")
        for attempt in (0, 1):
            path = self.directory / Places.log_path("c", attempt)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(LINE.format(f"run {attempt}"))
        self.log = path

    async def _command(self, id: str, command: Sequence[str]) -> ExecResult:
        return ExecResult(0 if command[0] == "true" else 1, " ".join(command).encode(), b"!")

    # server.Pods

    def pods(self) -> Collection[core_v1.Pod]:
        return [self.pod]

    def pod_(self, namespace: str, name: str, uid: str = "") -> core_v1.Pod | None:
        return self.pod if (namespace, name) == ("default", "web") and uid in ("", UID) else None

    def container(self, pod: core_v1.Pod, name: str, *, previous: bool = False) -> Container | None:
        if name != "c":
            return None
        return self.table.table["web-c-0" if previous else "web-c-1"]

    def sandbox_id(self, pod: core_v1.Pod) -> str:
        return "s-web"


class View:
    """The house as server.Pods names it."""

    def __init__(self, house: House) -> None:
        self.pods, self.pod = house.pods, house.pod_
        self.container, self.sandbox_id = house.container, house.sandbox_id


class Bench:
    """The server behind TLS, and a client for each kind of caller."""

    def __init__(
        self, house: House, node: NodeServer, port: int, authority: pki.Authority, stack: AsyncExitStack
    ) -> None:
        self.house = house
        self.node = node
        self._port = port
        self._authority = authority
        self._stack = stack
        self._transports: dict[str, HttpTransport] = {}

    def caller(self, name: str, user: str = "", *groups: str) -> None:
        """Whom `ask` may speak as; without a user somebody without a certificate."""
        ca = self._authority.certificate_path
        context = client_context(ca_file=ca)
        if user:
            cert, key = self._authority.ensure(pki.Identity(name, user, groups))
            context = client_context(ca_file=ca, cert_file=cert, key_file=key)
        transport = HttpTransport(f"https://127.0.0.1:{self._port}", tls=context)
        self._transports[name] = transport
        self._stack.push_async_callback(transport.close)

    async def ask(self, target: str, method: str = "GET", *, caller: str = "apiserver", token: str = "") -> Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return await self._transports[caller].send(Request(method, target, headers))

    async def text(self, target: str, method: str = "GET", status: int = 200) -> str:
        response = await self.ask(target, method)
        body = (await response.read()).decode()
        assert response.status == status, body
        return body


@pytest.fixture
async def bench(api: Api, tmp_path: Path) -> AsyncIterator[Bench]:
    house = House(tmp_path / "node")
    authority = pki.Authority(tmp_path / "pki")
    cert, key = authority.ensure(pki.Identity("node", "system:node:n1", ("system:nodes",), ("127.0.0.1",)))
    runtime: Any = house.table
    collector = Collector(runtime, NODE_NAME, house.places)
    access = Access(api.node, NODE_NAME)
    node = NodeServer(View(house), runtime, collector, access, house.places, configuration={"port": 10250})
    front = Server(node.handle, tls=server_context(cert, key, authority.certificate_path))
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(tasks.Group("node"))
        running = group.start("server", node.run())
        stack.callback(running.cancel)
        stack.push_async_callback(front.close)
        made = Bench(house, node, await front.listen("127.0.0.1", 0), authority, stack)
        made.caller("apiserver", "kube-apiserver-kubelet-client")
        made.caller("admin", "kubernetes-admin", "system:masters")
        made.caller("other", "somebody", "people")
        made.caller("nobody")
        yield made


# --- who may ask ---


async def test_the_api_server_and_masters_may(bench: Bench) -> None:
    for caller in ("apiserver", "admin"):
        response = await bench.ask("/healthz", caller=caller)
        assert (response.status, await response.read()) == (200, b"ok")


async def test_others_may_not(bench: Bench) -> None:
    assert (await bench.ask("/pods", caller="nobody")).status == 401
    assert (await bench.ask("/pods", caller="nobody", token="wrong")).status == 401
    response = await bench.ask("/pods", caller="other")
    assert response.status == 403
    assert await response.read() == b"Forbidden (user=somebody, verb=get, resource=nodes, subresource(pods))\n"


ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: metrics}
rules: [{apiGroups: [""], resources: [nodes/metrics, nodes/stats], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: metrics}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: metrics}
subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: reader}]
"""


async def test_tokens_may_what_the_api_server_allows(bench: Bench, api: Api) -> None:
    await api.add(ROLE)
    for path, token, status in (
        ("/metrics/resource", "reader-token", 200),
        ("/stats/summary", "reader-token", 200),
        ("/pods", "reader-token", 403),
        ("/run/default/web/c?cmd=true", "reader-token", 403),
        ("/metrics", "nobody-token", 403),
    ):
        method = "POST" if path.startswith("/run") else "GET"
        assert (await bench.ask(path, method, caller="nobody", token=token)).status == status, path


@pytest.mark.parametrize(
    ("path", "subresource"),
    [
        ("/stats/summary", "stats"), ("/metrics", "metrics"), ("/metrics/cadvisor", "metrics"), ("/pods", "pods"),
        ("/podsX", "proxy"), ("/exec/a/b/c", "proxy"), ("/healthz/ping", "healthz"), ("/containerLogs/a/b/c", "proxy"),
    ],
)  # fmt: skip
def test_paths_are_subresources_of_the_node(path: str, subresource: str) -> None:
    assert subresource_of(path) == subresource


def test_a_certificate_says_who_it_is(tmp_path: Path) -> None:
    authority = pki.Authority(tmp_path)
    cert, _ = authority.ensure(pki.Identity("x", "user", ("a", "b")))
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    der = x509.load_pem_x509_certificate(cert.read_bytes()).public_bytes(Encoding.DER)
    assert certificate_caller(der) == ("user", ("a", "b"))


# --- what there is ---


async def test_pods(bench: Bench) -> None:
    for path in ("/pods", "/pods/"):
        document = json.loads(await bench.text(path))
        assert (document["kind"], document["items"][0]["metadata"]["name"]) == ("PodList", "web")
    running = json.loads(await bench.text("/runningpods/"))["items"]
    assert [each["metadata"]["uid"] for each in running] == [UID]
    assert [each["name"] for each in running[0]["spec"]["containers"]] == ["c"]


async def test_configuration_and_health(bench: Bench) -> None:
    assert json.loads(await bench.text("/configz")) == {"kubeletconfig": {"port": 10250}}
    assert await bench.text("/healthz/ping") == "ok"
    await bench.text("/healthz/none", status=404)


@pytest.mark.parametrize("path", ["/", "/none", "/exec", "/exec/default/web", "/containerLogs/default/web/c/d/e"])
async def test_paths_that_there_are_not(bench: Bench, path: str) -> None:
    assert "404 page not found" in await bench.text(path, status=404)


async def test_what_is_for_reading_only(bench: Bench) -> None:
    await bench.text("/pods", "POST", status=405)
    await bench.text("/run/default/web/c?cmd=true", "GET", status=405)


# --- logs ---


async def test_logs(bench: Bench) -> None:
    assert await bench.text("/containerLogs/default/web/c") == "run 1\n"
    assert await bench.text("/containerLogs/default/web/c?previous=true") == "run 0\n"
    assert await bench.text("/containerLogs/default/web/c?timestamps=true&tailLines=1") == (
        "2026-01-02T03:04:05.000000001Z run 1\n"
    )
    assert await bench.text("/containerLogs/default/web/c?limitBytes=3") == "run"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("default/none/c", 404, 'pod "none" does not exist on this node'),
        ("default/web/none", 404, 'container "none" not found in pod "web"'),
        (
            "default/web/waiting",
            400,
            'container "waiting" in pod "web" is waiting to start: trying and failing to pull image',
        ),
        ("default/web/new", 400, 'container "new" in pod "web" is waiting to start: ContainerCreating'),
        ("default/web/new?previous=true", 400, 'previous terminated container "new" in pod "web" not found'),
        ("default/web/c?tailLines=x", 400, "invalid tailLines 'x': must be a whole number, at least 0"),
    ],
)
async def test_logs_that_there_are_not(bench: Bench, path: str, status: int, message: str) -> None:
    assert await bench.text(f"/containerLogs/{path}", status=status) == message + "\n"


async def test_logs_are_followed_until_the_container_ends(bench: Bench) -> None:
    response = await bench.ask("/containerLogs/default/web/c?follow=true")
    body: Any = response.body
    async with asyncio.timeout(10):
        assert await anext(body) == b"run 1\n"
        with bench.house.log.open("a") as file:
            file.write(LINE.format("more"))
        assert await anext(body) == b"more\n"
        bench.house.table.end("web-c-1")
        assert [chunk async for chunk in body] == []
    assert bench.node._exits._waiting == {}


async def test_followers_that_leave_are_forgotten(bench: Bench) -> None:
    response = await bench.ask("/containerLogs/default/web/c?follow=true")
    body: Any = response.body
    assert await anext(body) == b"run 1\n"
    await body.aclose()
    with bench.house.log.open("a") as file:
        file.write(LINE.format("wake up"))
    async with asyncio.timeout(10):
        while bench.node._exits._waiting:
            await asyncio.sleep(0.005)


async def test_a_log_that_is_gone(bench: Bench) -> None:
    bench.house.log.unlink()
    assert await bench.text("/containerLogs/default/web/c") == "unable to retrieve container logs for web-c-1\n"


# --- sessions ---


async def test_a_command(bench: Bench) -> None:
    assert await bench.text("/run/default/web/c?cmd=true+x", "POST") == "true x!"
    assert await bench.text(f"/run/default/web/{UID}/c?cmd=false", "POST", status=500) == "false!"
    assert "cmd" in await bench.text("/run/default/web/c", "POST", status=400)
    assert "does not exist" in await bench.text("/run/default/web/other-uid/c?cmd=true", "POST", status=404)


async def test_sessions_need_an_upgrade_and_a_running_container(bench: Bench) -> None:
    for path in ("/exec/default/web/c?command=x&output=1", "/attach/default/web/c?output=1"):
        assert "upgrade" in await bench.text(path, "POST", status=400)
    assert "upgrade" in await bench.text("/portForward/default/web", "POST", status=400)
    bench.house.table.end("web-c-1")
    text = await bench.text("/exec/default/web/c?command=x&output=1", "POST", status=500)
    assert text == 'container not found ("c")\n'


# --- figures ---

FIGURES = Stats(1_800_000_010.5, 1_500_000_000, memory_usage=700, memory_working_set=600, memory_rss=500, pids=3)


async def test_the_summary(bench: Bench) -> None:
    bench.house.table.figures = {"web-c-1": FIGURES, "s-web": FIGURES}
    document = json.loads(await bench.text("/stats/summary"))
    node = document["node"]
    assert node["nodeName"] == NODE_NAME and node["memory"]["availableBytes"] > 0 and node["fs"]["capacityBytes"] > 0
    (found,) = document["pods"]
    assert found["podRef"] == {"name": "web", "namespace": "default", "uid": UID}
    assert found["memory"]["workingSetBytes"] == 600 and found["memory"]["availableBytes"] == 400
    (container,) = found["containers"]
    assert container["name"] == "c" and container["memory"]["availableBytes"] == 200
    assert container["cpu"] == {"time": "2027-01-15T08:00:10Z", "usageCoreNanoSeconds": 1_500_000_000}
    later = Stats(FIGURES.at + 10, FIGURES.cpu_usage + 5_000_000_000, 700, 600, 500, 3)
    bench.house.table.figures["web-c-1"] = later
    document = json.loads(await bench.text("/stats/summary"))
    assert document["pods"][0]["containers"][0]["cpu"]["usageNanoCores"] == 500_000_000


async def test_metrics_of_resources(bench: Bench) -> None:
    bench.house.table.figures = {"web-c-1": FIGURES, "s-web": FIGURES}
    text = await bench.text("/metrics/resource")
    labels = 'container="c",namespace="default",pod="web"'
    assert f"container_cpu_usage_seconds_total{{{labels}}} 1.5 1800000010500\n" in text
    assert f"container_memory_working_set_bytes{{{labels}}} 600 1800000010500\n" in text
    assert f"container_start_time_seconds{{{labels}}} 1800000001.0 1800000010500\n" in text
    assert 'pod_memory_working_set_bytes{namespace="default",pod="web"} 600 1800000010500\n' in text
    assert "# TYPE node_cpu_usage_seconds_total counter\n" in text and "resource_scrape_error 0\n" in text


async def test_metrics_of_containers(bench: Bench) -> None:
    bench.house.table.figures = {"web-c-1": FIGURES}
    text = await bench.text("/metrics/cadvisor")
    assert 'container_memory_rss{container="c",id="/burstable/podx/web-c-1",image="img",name="web-c-1",' in text
    assert "container_spec_cpu_quota{" in text and 'cpu="total"' in text


async def test_metrics_of_the_node(bench: Bench) -> None:
    await settle()
    text = await bench.text("/metrics")
    assert "kubelet_running_pods 1\n" in text
    assert 'kubelet_running_containers{container_state="exited"} 1\n' in text
    assert 'kubelet_running_containers{container_state="running"} 1\n' in text
