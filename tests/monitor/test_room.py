from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sampan.api.types import core_v1
from sampan.http.types import Connection, Request, Response
from sampan.monitor import receiver, scrape
from sampan.monitor.exposed import Exposed, exposed, service_of
from sampan.monitor.room import Monitor
from sampan.runtime.clock import VirtualClock
from tests.monitor.test_otlp import TRACE, document, protobuf

NOW = 1_544_712_700.0
CUT = gzip.compress(b"{}", mtime=0)[:-4]
"""The same in every run, for it is in a test's name."""
JSON = {"content-type": "application/json"}


def pod(name: str = "web-1", ip: str = "10.244.0.7", phase: str = "Running", **meta: Any) -> core_v1.Pod:
    ports = meta.pop("ports", [{"containerPort": 9000}])
    found = {
        "metadata": {"name": name, "namespace": "default", **meta},
        "spec": {"containers": [{"name": "app", "ports": ports}]},
        "status": {"phase": phase, "podIP": ip},
    }
    return msgspec.convert(found, core_v1.Pod)


class Pods:
    """The node's pods, and what they answer: a status and a text, or an error."""

    def __init__(self) -> None:
        self.pods: list[core_v1.Pod] = []
        self.answers: dict[str, tuple[int, str] | Exception] = {}
        self.asked: list[str] = []

    def connect(self, base: str) -> Pods.Transport:
        return Pods.Transport(self, base)

    class Transport:
        def __init__(self, pods: Pods, base: str) -> None:
            self.pods, self.base = pods, base

        async def send(self, request: Request) -> Response:
            self.pods.asked.append(f"{self.base}{request.target}")
            answer = self.pods.answers[self.base]
            if isinstance(answer, Exception):
                raise answer
            return Response(answer[0], answer[1].encode())

        async def connect(self, request: Request) -> tuple[Response, Connection]:
            raise OSError("not here")

        async def close(self) -> None:
            self.pods.asked.append("closed")


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.fixture
async def monitor(tmp_path: Path, pods: Pods) -> AsyncIterator[Monitor]:
    made = Monitor(tmp_path, lambda: pods.pods, pods.connect, ("10.244.0.0/16",), clock=VirtualClock(NOW))
    yield made
    made.close()


async def send(monitor: Monitor, body: bytes, headers: dict[str, str], peer: str = "10.244.0.7:5000") -> Response:
    return await monitor.receiver.handle(Request("POST", "/v1/traces", headers, body, peer=peer))


async def ask(monitor: Monitor, target: str) -> Any:
    request = Request("GET", f"/monitor/{target}")
    response = await monitor.answer(request, request.path.split("/")[2:])
    assert response.status == 200, response.body
    return json.loads(await response.read())


def test_nothing_is_opened_before_it_is_used(tmp_path: Path, pods: Pods) -> None:
    Monitor(tmp_path / "monitor", lambda: pods.pods, pods.connect, ()).close()
    assert not (tmp_path / "monitor").exists()


# --- traces ---


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (document(), JSON),
        (protobuf(), {"content-type": "application/x-protobuf"}),
        (gzip.compress(document()), {**JSON, "content-encoding": "gzip"}),
        (zlib.compress(document()), {**JSON, "content-encoding": "deflate"}),
    ],
)
async def test_traces_are_taken_and_told(monitor: Monitor, body: bytes, headers: dict[str, str]) -> None:
    response = await send(monitor, body, headers)
    assert (response.status, dict(response.headers)["Content-Type"]) == (200, headers["content-type"])
    (told,) = (await ask(monitor, "traces?service=shop"))["traces"]
    assert (told["trace"], told["name"], told["errors"]) == (TRACE, "GET /", 1)
    (span,) = (await ask(monitor, f"traces/{TRACE[:8]}"))["spans"]
    assert (span["trace"], span["service"]) == (TRACE, "shop")
    assert (await ask(monitor, "map"))["edges"] == []
    assert (await ask(monitor, "services"))["services"] == [{"namespace": "", "service": "shop"}]


async def test_a_large_export_is_taken_as_well(monitor: Monitor) -> None:
    response = await send(monitor, protobuf() * 100, {"content-type": "application/x-protobuf"})
    assert (response.status, monitor.receiver.spans) == (200, 100)
    assert len((await ask(monitor, f"traces/{TRACE}"))["spans"]) == 1, "the same span a hundred times"


async def test_the_address_says_who_it_was(monitor: Monitor, pods: Pods) -> None:
    pods.pods = [pod(labels={"app": "cart"})]
    await send(monitor, document().replace(b"shop-1", b"liar").replace(b'"shop"', b'"unknown_service"'), JSON)
    (span,) = (await ask(monitor, f"traces/{TRACE}"))["spans"]
    assert (span["namespace"], span["pod"], span["service"]) == ("default", "web-1", "cart")
    assert (await ask(monitor, "traces?service=cart&namespace=default"))["traces"]
    assert (await ask(monitor, "traces?service=cart&namespace=other"))["traces"] == []


@pytest.mark.parametrize(
    ("method", "target", "body", "headers", "peer", "status", "message"),
    [
        ("POST", "/v1/logs", b"", JSON, "10.244.0.7:1", 404, "traces go to /v1/traces"),
        ("GET", "/v1/traces", b"", JSON, "10.244.0.7:1", 405, "by POST"),
        ("POST", "/v1/traces", b"{}", JSON, "192.0.2.1:1", 403, "this node's pods only"),
        ("POST", "/v1/traces", b"{}", JSON, "", 403, "this node's pods only"),
        ("POST", "/v1/traces", b"no", JSON, "[::1]:1", 400, "no ExportTraceServiceRequest"),
        ("POST", "/v1/traces", b"no", {**JSON, "content-encoding": "gzip"}, "127.0.0.1:1", 400, "this is no gzip"),
        ("POST", "/v1/traces", b"no", {**JSON, "content-encoding": "br"}, "127.0.0.1:1", 400, "send gzip"),
        ("POST", "/v1/traces", CUT, {**JSON, "content-encoding": "gzip"}, "127.0.0.1:1", 400,
         "does not end"),
        ("POST", "/v1/traces", gzip.compress(bytes(receiver.LIMIT + 1)), {**JSON, "content-encoding": "gzip"},
         "127.0.0.1:1", 413, "bytes at most"),
    ],
)  # fmt: skip
async def test_what_is_refused(
    monitor: Monitor,
    method: str,
    target: str,
    body: bytes,
    headers: dict[str, str],
    peer: str,
    status: int,
    message: str,
) -> None:
    response = await monitor.receiver.handle(Request(method, target, headers, body, peer=peer))
    assert response.status == status
    assert message in json.loads(await response.read())["message"]


async def test_refusals_in_protobuf(monitor: Monitor) -> None:
    response = await send(monitor, b"\xff", {"content-type": "application/x-protobuf"})
    body = await response.read()
    assert (response.status, body[0], body[1]) == (400, 0x12, len(body) - 2)


async def test_no_more_exports_than_can_be_worked_on(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver, "WAITING", 0)
    response = await send(monitor, document(), JSON)
    assert (response.status, dict(response.headers)["Retry-After"]) == (503, "2")


@pytest.mark.parametrize(
    ("target", "status", "message"),
    [
        ("traces/xyz!", 400, "is no trace"),
        (f"traces/{TRACE}", 404, "nothing is at"),
        ("nothing", 404, "nothing is at"),
        ("traces?limit=many", 400, "limit 'many' is no number"),
        ("traces?limit=100000", 400, "up to 500"),
        ("series?name=a&label=b", 400, "give KEY=VALUE"),
    ],
)
async def test_questions_that_have_no_answer(monitor: Monitor, target: str, status: int, message: str) -> None:
    request = Request("GET", f"/monitor/{target}")
    response = await monitor.answer(request, request.path.split("/")[2:])
    assert response.status == status
    assert message in (await response.read()).decode()
    assert (await monitor.answer(Request("POST", "/monitor/traces"), ["traces"])).status == 405


# --- figures ---

ASKS = {"prometheus.io/scrape": "true"}


async def test_figures_are_read_and_told(monitor: Monitor, pods: Pods) -> None:
    pods.pods = [pod(annotations=ASKS), pod("quiet", "10.244.0.8")]
    pods.answers = {"http://10.244.0.7:9000": (200, 'requests_total{code="200"} 5\n')}
    await monitor.scraper.round()
    assert pods.asked == ["http://10.244.0.7:9000/metrics", "closed"]
    (line,) = (await ask(monitor, "series?name=requests_total&label=code%3D200"))["series"]
    assert line["labels"] == {"code": "200", "namespace": "default", "pod": "web-1"}
    assert line["points"] == [[int(NOW * 1000), 5.0]]
    assert (await ask(monitor, "series"))["names"] == [
        {"name": "requests_total", "series": 1},
        {"name": "up", "series": 1},
    ]


@pytest.mark.parametrize("answer", [(500, "no"), (200, "<html>"), ConnectionRefusedError("no"), TimeoutError()])
async def test_a_pod_that_shows_nothing_is_down(
    monitor: Monitor, pods: Pods, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pods.pods = [pod(annotations=ASKS)]
    pods.answers = {"http://10.244.0.7:9000": answer}
    await monitor.scraper.round()
    await monitor.scraper.round()
    (line,) = (await ask(monitor, "series?name=up"))["series"]
    assert line["points"][-1][1] == 0.0
    assert len(caplog.records) == 1, "said once"


async def test_many_pods_are_read_in_one_round(monitor: Monitor, pods: Pods) -> None:
    pods.pods = [pod(f"p{number}", f"10.244.1.{number}", annotations=ASKS) for number in range(20)]
    pods.answers = {f"http://10.244.1.{number}:9000": (200, f"value {number}\n") for number in range(20)}
    await monitor.scraper.round()
    found = (await ask(monitor, "series?name=value"))["series"]
    assert {each["labels"]["pod"]: each["points"][0][1] for each in found} == {f"p{n}": float(n) for n in range(20)}


async def test_an_answer_that_is_too_large(
    monitor: Monitor, pods: Pods, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scrape, "LIMIT", 10_000)
    pods.pods = [pod("p", "10.244.1.1", annotations=ASKS)]
    pods.answers = {"http://10.244.1.1:9000": (200, "a 1\n" * 5000)}
    await monitor.scraper.round()
    assert "has more than 10000 bytes" in caplog.text
    (line,) = (await ask(monitor, "series?name=up"))["series"]
    assert line["points"][-1][1] == 0.0


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, None),
        ({"prometheus.io/scrape": "false"}, None),
        (ASKS, Exposed("default", "web-1", "http", "10.244.0.7", 9000, "/metrics")),
        (
            {**ASKS, "prometheus.io/port": "8080", "prometheus.io/path": "m", "prometheus.io/scheme": "https"},
            Exposed("default", "web-1", "https", "10.244.0.7", 8080, "/m"),
        ),
        ({**ASKS, "prometheus.io/port": "99999"}, None),
    ],
)
def test_where_figures_are(annotations: dict[str, str], expected: Exposed | None) -> None:
    assert exposed(pod(annotations=annotations)) == expected


def test_pods_without_an_address_or_a_port_show_nothing() -> None:
    assert exposed(pod(annotations=ASKS, phase="Pending")) is None
    assert exposed(pod(annotations=ASKS, ip="")) is None
    assert exposed(pod(annotations=ASKS, ports=[])) is None


def test_what_pods_belong_to() -> None:
    owner = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "uid": "u", "controller": True}]
    assert service_of(pod(labels={"app": "a", "app.kubernetes.io/name": "b"})) == "b"
    assert service_of(pod(labels={"pod-template-hash": "5d4f"}, ownerReferences=owner)) == "web"
    assert service_of(pod(ownerReferences=owner)) == "web-5d4f"
    assert service_of(pod()) == "web-1"
