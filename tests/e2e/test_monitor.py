"""What users see of load and failures: figures, autoscaling's input, traces, and updates that nobody notices."""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
import time
import urllib.request
from collections import Counter

import pytest

from tests.e2e.machine import Machine, eventually
from tests.e2e.manifests import deployment, pod, service

pytestmark = [pytest.mark.e2e]
TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"


def test_pods_and_nodes_tell_what_they_use(machine: Machine, namespace: str) -> None:
    busy = pod(
        "busy", command=["/bin/sh", "-c", "while :; do :; done"], container={"resources": {"limits": {"cpu": "200m"}}}
    )
    machine.apply(busy, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/busy", "--timeout=60s")

    def used() -> bool:
        said = machine.kubectl("-n", namespace, "top", "pods", "--containers", "--no-headers", check=False).stdout
        words = said.split()
        return words[:2] == ["busy", "c"] and 100 <= int(words[2].removesuffix("m")) <= 300

    eventually(used, "the busy pod's processor time")
    assert "CPU(cores)" in machine.kubectl("top", "nodes").stdout
    assert machine.sampan("top", "pods", "-n", namespace).stdout.split()[3] == "busy"


def test_a_span_from_the_node_is_told(machine: Machine, namespace: str) -> None:
    now = time.time_ns()
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "name": "GET /",
        "kind": 2,
        "startTimeUnixNano": str(now - 10**7),
        "endTimeUnixNano": str(now),
    }
    shop = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    body = json.dumps({"resourceSpans": [{"resource": shop, "scopeSpans": [{"spans": [span]}]}]}).encode()
    bridge = ipaddress.ip_network(machine.pod_cidr)[1]
    request = urllib.request.Request(f"http://{bridge}:4318/v1/traces", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200
    assert f"trace {TRACE}" in machine.sampan("trace", "shop", "-n", namespace).stdout
    assert "shop" in machine.sampan("trace", "--map").stdout


def test_figures_of_annotated_pods_are_read(machine: Machine, namespace: str) -> None:
    script = "mkdir /tmp/w; echo 'temperature{room=\"a\"} 21.5' > /tmp/w/metrics; exec httpd -f -p 9000 -h /tmp/w"
    shows = pod("shows", command=["/bin/sh", "-c", script])
    shows["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": "9000"}
    machine.apply(shows, namespace=namespace)

    def told() -> bool:
        return "21.5" in machine.sampan("metrics", 'temperature{room="a"}', "-n", namespace, check=False).stdout

    eventually(told, "the figure that the pod shows")


class Load:
    """Requests on new connections from threads, until `stop`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.said: Counter[str] = Counter()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(3)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                with socket.create_connection((self.address, 80), 10) as connection:
                    connection.sendall(b"GET /cgi-bin/hello HTTP/1.0\r\n\r\n")
                    answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
            except OSError as error:
                self.said[repr(error)] += 1
            else:
                self.said["ok" if " 200 " in answer.partition("\r\n")[0] else repr(answer[:60])] += 1

    def stop(self) -> Counter[str]:
        self._over.set()
        for thread in self._threads:
            thread.join()
        return self.said


def test_a_rolling_update_without_pre_stop_loses_no_request(machine: Machine, namespace: str) -> None:
    machine.apply(deployment("web", 3), service("web"), namespace=namespace)
    machine.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    load = Load(machine.get("-n", namespace, "service", "web")["spec"]["clusterIP"])
    try:
        for version in ("v2", "v1", "v2"):
            machine.kubectl("-n", namespace, "set", "image", "deployment/web", f"web=sampan.dev/hello:{version}")
            machine.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    finally:
        said = load.stop()
    assert said["ok"] > 100
    assert set(said) == {"ok"}, said
