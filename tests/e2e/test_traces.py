"""The call chain of a request, from the ingress through a Python program that knows nothing of traces to its SQL."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.machine import SAMPAN, Machine, eventually
from tests.e2e.manifests import pod

pytestmark = [pytest.mark.e2e]

ASKS = {"instrumentation.opentelemetry.io/inject-python": "true"}
IMAGE = "sampan.dev/flask:e2e"
PROGRAM = """
import sqlite3
from flask import Flask

app = Flask("shop")

@app.get("/items/<int:number>")
def item(number):
    cursor = sqlite3.connect(":memory:").cursor()
    cursor.execute("SELECT ? + 1", (number,))
    return {"next": cursor.fetchone()[0]}

@app.get("/bad")
def bad():
    raise ValueError("no such item")

@app.get("/healthz")
def healthz():
    return "ok"
"""


@pytest.fixture(scope="module")
def flask(machine: Machine) -> str:
    """An image with Python and Flask from the distribution's packages, and OpenTelemetry's beside it."""
    for words in (
        ("image", "base", "debian", *machine.where(), "--include", "python3,python3-flask", "-t", IMAGE),
        ("instrument", "python", *machine.where()[:4]),
    ):
        done = subprocess.run(
            [*SAMPAN, *words], env=machine.environ, capture_output=True, text=True, timeout=900, check=False
        )
        if done.returncode and any(each in done.stderr for each in ("could not", "fetched")):
            pytest.skip(f"packages cannot be fetched here: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
    return IMAGE


@pytest.fixture
def shop(machine: Machine, namespace: str, flask: str) -> Iterator[str]:
    """A shop, published; the fixture is its host."""
    host, labels = f"shop-{namespace}.localhost", {"app": "shop"}
    web = {
        "name": "web",
        "image": flask,
        "imagePullPolicy": "Never",
        "command": ["flask", "--app", "shop", "run", "--host", "0.0.0.0", "--port", "8000"],
        "workingDir": "/app",
        "securityContext": {"runAsUser": 1000, "readOnlyRootFilesystem": True},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8000}, "periodSeconds": 1},
        "volumeMounts": [{"name": "source", "mountPath": "/app"}],
    }
    machine.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop"}, "data": {"shop.py": PROGRAM}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "shop", "labels": labels, "annotations": ASKS},
            "spec": {
                "containers": [web],
                "volumes": [{"name": "source", "configMap": {"name": "shop"}}],
                "terminationGracePeriodSeconds": 1,
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "shop"},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
        },
        namespace=namespace,
    )
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/shop", "--timeout=100s")
    eventually(lambda: addresses(machine, namespace), "the service leads to the pod")
    # Published when it can answer: workers of before and after share the first moments of a reload.
    publish(machine, namespace, host)
    eventually(
        lambda: machine.get("-n", namespace, "ingress", "shop")["status"]["loadBalancer"].get("ingress"),
        "the shop is published",
    )
    yield host
    machine.kubectl("-n", namespace, "delete", "ingress/shop", "pod/shop")


def addresses(machine: Machine, namespace: str) -> list[str]:
    return [
        address
        for each in machine.get("-n", namespace, "endpointslices")["items"]
        for endpoint in each.get("endpoints") or ()
        if endpoint["conditions"]["ready"]
        for address in endpoint["addresses"]
    ]


def publish(machine: Machine, namespace: str, host: str) -> None:
    backend = {"service": {"name": "shop", "port": {"number": 80}}}
    rule = {"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    machine.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "shop"},
            "spec": {"rules": [rule]},
        },
        namespace=namespace,
    )


def ask(machine: Machine, host: str, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", machine.http_port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host, **headers})
        response = connection.getresponse()
        return response.status, response.read().decode()
    except ConnectionError:
        return 0, ""
    finally:
        connection.close()


def spans(machine: Machine, trace: str) -> list[dict[str, Any]]:
    """Of a trace, in the order of the call chain; none while it is not known."""
    (node,) = machine.get("nodes")["items"]
    path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/monitor/traces/{trace}"
    said = machine.kubectl("get", "--raw", path, check=False)
    return list(json.loads(said.stdout)["spans"]) if said.returncode == 0 else []


def test_one_request_is_one_chain_from_the_ingress_to_sql(machine: Machine, namespace: str, shop: str) -> None:
    trace = f"{int(namespace[1:]):032x}"
    status, body = ask(machine, shop, "/items/4?token=secret", traceparent=f"00-{trace}-{1:016x}-01")
    assert (status, json.loads(body)) == (200, {"next": 5})
    ingress, web, sql = eventually(lambda: whole(spans(machine, trace), 3), "three spans of one trace")
    assert (ingress["service"], ingress["name"]) == ("ingress", f"GET {shop}/items/4")
    assert ingress["attributes"]["peer.pod"] == "shop"
    assert (web["service"], web["namespace"], web["pod"]) == ("shop", namespace, "shop")
    assert (web["parent"], sql["parent"]) == (ingress["span"], web["span"])
    assert sql["attributes"]["db.statement"] == "SELECT ? + 1"
    assert ingress["start"] <= web["start"] and web["start"] + web["duration"] <= ingress["start"] + ingress["duration"]
    assert "secret" not in json.dumps(ingress)

    told = machine.sampan("trace", "--id", trace, "-n", namespace).stdout
    lines = [line.split("|")[0].rstrip() for line in told.splitlines() if "|" in line]
    assert lines[0].startswith(f"ingress  GET {shop}"), lines
    assert lines[1:] == ["  shop  GET /items/<int:number>", "    shop  SELECT ? + 1"]
    edges = [line.split()[:2] for line in machine.sampan("trace", "--map").stdout.splitlines()]
    assert ["ingress", "shop"] in edges and ["shop", "sqlite"] in edges


def whole(found: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return found if len(found) == count else []


def test_an_error_is_told_with_its_reason(machine: Machine, namespace: str, shop: str) -> None:
    assert ask(machine, shop, "/bad")[0] == 500

    def told() -> str:
        said = machine.sampan("trace", "shop", "-n", namespace, check=False).stdout
        return said if "ValueError" in said else ""

    said = eventually(told, "the trace of the failed request")
    assert "answered 500" in said and "ValueError: no such item" in said and "2 failed" in said


def test_probes_are_not_traced(machine: Machine, namespace: str, shop: str) -> None:
    """The node asks for /healthz each second."""
    ask(machine, shop, "/items/1")
    eventually(
        lambda: "/items/1" in machine.sampan("trace", "shop", "-n", namespace, "--list", check=False).stdout,
        "a request's trace",
    )
    listed = machine.sampan("trace", "shop", "-n", namespace, "--list").stdout
    assert "shop GET /healthz" not in listed


def test_the_packages_suit_every_python_from_3_9_on(machine: Machine, flask: str) -> None:
    (place,) = (machine.data_dir / "instrument").glob("python-*/packages")
    needs = {
        path.parent.name: re.findall(r"^Requires-Python: >=\s*3\.(\d+)", path.read_text(), re.MULTILINE)
        for path in place.glob("*.dist-info/METADATA")
    }
    assert len(needs) > 20
    assert {name: found for name, found in needs.items() if any(int(each) > 9 for each in found)} == {}
    assert list(place.rglob("*.so")) == [], "nothing is compiled"


def test_a_container_starts_without_packages_and_says_so(machine: Machine, namespace: str) -> None:
    place, away = machine.data_dir / "instrument", machine.data_dir / "instrument-away"
    if place.exists():
        place.rename(away)
    place.write_text("not a directory")
    try:
        alone = pod("alone", command=["/bin/sh", "-c", "env; sleep 3600"])
        alone["metadata"]["annotations"] = ASKS
        machine.apply(alone, namespace=namespace)
        machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/alone", "--timeout=100s")
        found = eventually(
            lambda: machine.get("-n", namespace, "events", "--field-selector", "reason=InstrumentationMissing")[
                "items"
            ],
            "an event",
        )
        assert found[0]["type"] == "Warning"
        assert found[0]["message"].startswith("Starts without: OpenTelemetry's packages cannot be kept")
        assert "OTEL" not in machine.kubectl("-n", namespace, "logs", "alone").stdout
    finally:
        place.unlink()
        if away.exists():
            away.rename(place)
