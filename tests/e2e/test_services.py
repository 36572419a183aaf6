"""Services as their users see them: names, balancing, affinity, node ports, what happens without endpoints."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter

import pytest

from tests.covers import covers
from tests.e2e.machine import Machine, eventually
from tests.e2e.manifests import deployment, pod, service

pytestmark = [pytest.mark.e2e]
WAITS = ["/bin/sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done"]


@pytest.fixture
def web(machine: Machine, namespace: str) -> str:
    """Deployment `web` of three replicas, Service `web`, and a pod `shell` to ask from; the value is the namespace."""
    machine.apply(deployment("web", 3), service("web"), pod("shell", command=WAITS), namespace=namespace)
    machine.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/shell", "--timeout=60s")
    return namespace


def inside(machine: Machine, namespace: str, script: str) -> str:
    # The image's wget (Debian's busybox before 1.36.1-5) has no -T and crashes on it; its timeout holds stdout open.
    command = ("exec", "shell", "--", "sh", "-c", script)
    return machine.kubectl("-n", namespace, *command, check=False, timeout=20).stdout


def ask(address: str, port: int) -> str:
    """The pod that answered."""
    with socket.create_connection((address, port), 10) as connection:
        connection.sendall(b"GET /cgi-bin/hello HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
    found = re.search(r"pod (\S+)", answer)
    assert found, answer
    return found[1]


def cluster_ip(machine: Machine, namespace: str, name: str = "web") -> str:
    address: str = machine.get("-n", namespace, "service", name)["spec"]["clusterIP"]
    return address


@covers("[sig-network] Services should serve a basic endpoint from pods [Conformance]")
@covers("[sig-network] DNS should provide DNS for services [Conformance]")
@covers("[sig-network] DNS should resolve DNS of partial qualified names for services [LinuxOnly] [Conformance]")
def test_a_service_answers_by_every_form_of_its_name(machine: Machine, web: str) -> None:
    for name in ("web", f"web.{web}", f"web.{web}.svc", f"web.{web}.svc.cluster.local", cluster_ip(machine, web)):
        assert "hi, version v1" in inside(machine, web, f"wget -q -O - http://{name}/cgi-bin/hello"), name


def test_connections_spread_over_the_pods_from_the_host_too(machine: Machine, web: str) -> None:
    answered = Counter(ask(cluster_ip(machine, web), 80) for _ in range(60))
    assert len(answered) == 3
    assert min(answered.values()) >= 5


@covers("[sig-network] Services should be able to create a functioning NodePort service [Conformance]")
def test_a_node_port_answers_on_loopback_and_on_the_node(machine: Machine, web: str) -> None:
    machine.kubectl("-n", web, "patch", "service", "web", "-p", '{"spec": {"type": "NodePort"}}')
    port = machine.get("-n", web, "service", "web")["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767
    addresses = machine.get("nodes")["items"][0]["status"]["addresses"]
    node = next(a["address"] for a in addresses if a["type"] == "InternalIP")
    eventually(lambda: can_connect("127.0.0.1", port), "the node port")
    assert ask("127.0.0.1", port).startswith("web-")
    assert ask(node, port).startswith("web-")
    assert "hi" in inside(machine, web, f"wget -q -O - http://{node}:{port}/cgi-bin/hello")


def can_connect(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 2).close()
    except OSError:
        return False
    return True


@covers(
    "[sig-network] Services should have session affinity work for service with type clusterIP [LinuxOnly] [Conformance]"
)
@covers(
    "[sig-network] Services should be able to switch session affinity for service with type clusterIP [LinuxOnly] [Conformance]"
)
def test_session_affinity_holds_a_client_to_one_pod(machine: Machine, web: str) -> None:
    address = cluster_ip(machine, web)
    machine.kubectl("-n", web, "patch", "service", "web", "-p", '{"spec": {"sessionAffinity": "ClientIP"}}')
    eventually(lambda: len({ask(address, 80) for _ in range(15)}) == 1, "one pod for one client")
    machine.kubectl("-n", web, "patch", "service", "web", "-p", '{"spec": {"sessionAffinity": "None"}}')
    eventually(lambda: len({ask(address, 80) for _ in range(30)}) == 3, "all pods again")


def test_without_endpoints_a_connection_is_refused_at_once(machine: Machine, web: str) -> None:
    machine.kubectl("-n", web, "scale", "deployment/web", "--replicas=0")
    address = cluster_ip(machine, web)

    def refused() -> bool:
        started = time.monotonic()
        try:
            ask(address, 80)
        except ConnectionRefusedError:
            return time.monotonic() - started < 10
        except (OSError, AssertionError):
            return False  # a pod that ends while it answers
        return False

    eventually(refused, "a refusal")


@covers(
    "[sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service [Conformance]"
)
@covers("[sig-network] EndpointsController should create Endpoints for Pods matching a Service [Conformance]")
def test_endpoints_follow_the_pods(machine: Machine, web: str) -> None:
    ips = sorted(p["status"]["podIP"] for p in machine.get("-n", web, "pods", "-l", "app=web")["items"])
    endpoints = machine.get("-n", web, "endpoints", "web")["subsets"][0]["addresses"]
    assert sorted(e["ip"] for e in endpoints) == ips
    slices = machine.get("-n", web, "endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
    assert sorted(a for s in slices for e in s["endpoints"] for a in e["addresses"]) == ips


@covers("[sig-network] DNS should provide DNS for pods for Hostname [Conformance]")
@covers("[sig-network] DNS should provide DNS for pods for Subdomain [Conformance]")
@covers("[sig-network] DNS should provide DNS for ExternalName services [Conformance]")
def test_names_of_pods_and_of_external_services(machine: Machine, web: str) -> None:
    named = pod("member", command=WAITS, hostname="one", subdomain="crew")
    crew = service("crew", clusterIP="None", selector={"app": "member"})
    outside = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "outside"},
        "spec": {"type": "ExternalName", "externalName": f"web.{web}.svc.cluster.local"},
    }
    machine.apply(named, crew, outside, namespace=web)
    machine.kubectl("-n", web, "wait", "--for=condition=Ready", "pod/member", "--timeout=60s")
    ip = machine.get("-n", web, "pod", "member")["status"]["podIP"]
    for name in (f"one.crew.{web}.svc.cluster.local", f"crew.{web}.svc.cluster.local"):
        eventually(lambda name=name: ip in inside(machine, web, f"nslookup {name}"), name)
    eventually(lambda: cluster_ip(machine, web) in inside(machine, web, "nslookup outside"), "the alias")
    assert "can't find" in inside(machine, web, "nslookup nobody.nowhere.svc.cluster.local 2>&1")


@covers(
    "[sig-network] Networking Granular Checks: Pods should function for intra-pod communication: http [Conformance] [NodeConformance]"
)
@covers(
    "[sig-network] Networking Granular Checks: Pods should function for node-pod communication: http [LinuxOnly] [Conformance] [NodeConformance]"
)
def test_pods_reach_pods_and_the_node_reaches_them(machine: Machine, web: str) -> None:
    for p in machine.get("-n", web, "pods", "-l", "app=web")["items"]:
        ip, name = p["status"]["podIP"], p["metadata"]["name"]
        assert name in inside(machine, web, f"wget -q -O - http://{ip}:8080/cgi-bin/hello")
        assert ask(ip, 8080) == name


@covers("[sig-network] API Server should provide secure master service [Conformance]")
@covers("[sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server [Conformance]")
def test_a_pod_reaches_the_api_server_through_its_service(machine: Machine, web: str) -> None:
    assert machine.get("service", "kubernetes")["spec"]["ports"][0]["port"] == 443
    assert machine.get("endpoints", "kubernetes")["subsets"][0]["addresses"]
    script = "nc -w 5 kubernetes.default.svc 443 </dev/null && echo open"
    assert inside(machine, web, script) == "open\n"


def test_nothing_leaks_to_addresses_that_nobody_serves(machine: Machine, web: str) -> None:
    unused = cluster_ip(machine, web).rsplit(".", 2)[0] + ".250.250"
    with pytest.raises(OSError):
        socket.create_connection((unused, 80), 3)
