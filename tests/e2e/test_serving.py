"""Services by hand and by port names, replicas that answer one by one, tokens in pods, logs in parts."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.covers import covers
from tests.e2e.machine import Machine, eventually
from tests.e2e.manifests import IMAGE, pod, service
from tests.e2e.test_services import ask, can_connect, cluster_ip, web

pytestmark = [pytest.mark.e2e]
__all__ = ["web"]
SERVES = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]


def replicas(kind: str, name: str, count: int) -> dict[str, Any]:
    labels = {"app": name}
    main = {"name": "c", "image": IMAGE, "imagePullPolicy": "Never", "env": SERVES}
    template = {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [main]},
    }
    old = kind == "ReplicationController"
    return {
        "apiVersion": "v1" if old else "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"replicas": count, "selector": labels if old else {"matchLabels": labels}, "template": template},
    }


def endpoint_slice(name: str, owner: str, address: str, **ports: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": owner}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": port, "port": number, "protocol": "TCP"} for port, number in ports.items()],
    }


@covers("[sig-network] Services should have session affinity work for NodePort service [LinuxOnly] [Conformance]")
@covers(
    "[sig-network] Services should be able to switch session affinity for NodePort service [LinuxOnly] [Conformance]"
)
def test_session_affinity_of_a_node_port(machine: Machine, web: str) -> None:
    sticky = '{"spec": {"type": "NodePort", "sessionAffinity": "ClientIP"}}'
    machine.kubectl("-n", web, "patch", "service", "web", "-p", sticky)
    port = machine.get("-n", web, "service", "web")["spec"]["ports"][0]["nodePort"]
    addresses = machine.get("nodes")["items"][0]["status"]["addresses"]
    node = next(a["address"] for a in addresses if a["type"] == "InternalIP")
    eventually(lambda: can_connect(node, port), "the node port")
    eventually(lambda: len({ask(node, port) for _ in range(15)}) == 1, "one pod for one client")
    machine.kubectl("-n", web, "patch", "service", "web", "-p", '{"spec": {"sessionAffinity": "None"}}')
    eventually(lambda: len({ask(node, port) for _ in range(30)}) == 3, "all pods again")
    machine.kubectl("-n", web, "patch", "service", "web", "-p", '{"spec": {"sessionAffinity": "ClientIP"}}')
    eventually(lambda: len({ask(node, port) for _ in range(15)}) == 1, "one pod once more")


@covers(
    "[sig-network] EndpointSlice should support a Service with multiple endpoint IPs specified in multiple EndpointSlices [Conformance]"
)
@covers(
    "[sig-network] EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices [Conformance]"
)
def test_endpoint_slices_made_by_hand(machine: Machine, web: str) -> None:
    pods = machine.get("-n", web, "pods", "-l", "app=web")["items"]
    (one, first), (two, second) = [(p["metadata"]["name"], p["status"]["podIP"]) for p in pods[:2]]
    ports = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
    for name in ("ips", "ports"):
        made = service(name, ports=ports)
        del made["spec"]["selector"]
        machine.apply(made, namespace=web)
    machine.apply(
        endpoint_slice("ips-1", "ips", first, a=8080, b=8080),
        endpoint_slice("ips-2", "ips", second, a=8080, b=8080),
        endpoint_slice("ports-1", "ports", first, a=8080),
        endpoint_slice("ports-2", "ports", second, b=8080),
        namespace=web,
    )
    ips, by_port = cluster_ip(machine, web, "ips"), cluster_ip(machine, web, "ports")
    for address, port in ((ips, 80), (ips, 81), (by_port, 80), (by_port, 81)):
        eventually(lambda address=address, port=port: can_connect(address, port), f"port {port}")
    for port in (80, 81):
        eventually(lambda port=port: {ask(ips, port) for _ in range(20)} == {one, two}, f"both by port {port}")
    assert {ask(by_port, 80) for _ in range(10)} == {one}
    assert {ask(by_port, 81) for _ in range(10)} == {two}


@covers("[sig-network] Services should serve multiport endpoints from pods [Conformance]")
def test_ports_by_name_lead_to_the_pods_that_have_them(machine: Machine, namespace: str) -> None:
    ports = [{"name": "a", "port": 80, "targetPort": "one"}, {"name": "b", "port": 81, "targetPort": "two"}]
    machine.apply(service("many", selector={"set": "many"}, ports=ports), namespace=namespace)
    for port in ("one", "two"):
        made = pod(port, container={"env": SERVES, "ports": [{"name": port, "containerPort": 8080}]})
        made["metadata"]["labels"] = {"set": "many"}
        machine.apply(made, namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/one", "pod/two", "--timeout=60s")
    address = cluster_ip(machine, namespace, "many")
    for port, name in ((80, "one"), (81, "two")):
        eventually(lambda port=port: can_connect(address, port), f"port {port}")
        assert {ask(address, port) for _ in range(5)} == {name}

    def ports_served() -> set[str]:
        subsets = machine.get("-n", namespace, "endpoints", "many").get("subsets") or []
        return {p["name"] for s in subsets for p in s["ports"] if s.get("addresses")}

    assert ports_served() == {"a", "b"}
    machine.kubectl("-n", namespace, "delete", "pod", "one")
    eventually(lambda: ports_served() == {"b"}, "the endpoints of the pod that is left")
    machine.kubectl("-n", namespace, "delete", "pod", "two")
    eventually(lambda: ports_served() == set(), "no endpoints")


@covers("[sig-apps] ReplicaSet should serve a basic image on each replica with a public image [Conformance]")
@covers("[sig-apps] ReplicationController should serve a basic image on each replica with a public image [Conformance]")
@covers("[sig-cli] Kubectl client Update Demo should create and stop a replication controller [Conformance]")
def test_each_replica_answers_until_its_owner_goes(machine: Machine, namespace: str) -> None:
    machine.apply(replicas("ReplicaSet", "set", 2), replicas("ReplicationController", "old", 2), namespace=namespace)
    for owner in ("replicaset/set", "replicationcontroller/old"):
        name = owner.split("/")[1]
        machine.kubectl("-n", namespace, "wait", "--for=jsonpath={.status.readyReplicas}=2", owner, "--timeout=60s")
        pods = machine.get("-n", namespace, "pods", "-l", f"app={name}")["items"]
        assert len(pods) == 2
        for each in pods:
            ip = each["status"]["podIP"]
            eventually(lambda ip=ip: can_connect(ip, 8080), "its server")
            assert ask(ip, 8080) == each["metadata"]["name"]
        machine.kubectl("-n", namespace, "delete", owner, "--cascade=foreground", "--timeout=60s")
        assert machine.get("-n", namespace, "pods", "-l", f"app={name}")["items"] == []


@covers("[sig-auth] ServiceAccounts should mount an API token into pods [Conformance]")
@covers("[sig-auth] ServiceAccounts should mount projected service account token [Conformance]")
def test_the_tokens_of_a_pod_are_its_accounts(machine: Machine, namespace: str) -> None:
    projected = {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}]}
    machine.kubectl("-n", namespace, "create", "serviceaccount", "worker")
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    volumes = [{"name": "v", "projected": projected}]
    machine.apply(pod("holder", container=mount, volumes=volumes, serviceAccountName="worker"), namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/holder", "--timeout=60s")

    def read(path: str) -> str:
        return machine.kubectl("-n", namespace, "exec", "holder", "--", "cat", path).stdout

    place = "/var/run/secrets/kubernetes.io/serviceaccount"
    assert read(f"{place}/namespace") == namespace
    root = machine.get("-n", namespace, "configmap", "kube-root-ca.crt")["data"]["ca.crt"]
    assert read(f"{place}/ca.crt") == root
    for path in (f"{place}/token", "/v/token"):
        token = read(path)
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        said = machine.kubectl("create", "-o", "json", "-f", "-", given=json.dumps(review)).stdout
        status = json.loads(said)["status"]
        assert status["authenticated"] and status["user"]["username"] == f"system:serviceaccount:{namespace}:worker"
        assert f"system:serviceaccounts:{namespace}" in status["user"]["groups"]
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        assert claims["kubernetes.io"]["pod"]["name"] == "holder"


@covers("[sig-cli] Kubectl logs logs should be able to retrieve and filter logs [Conformance]")
def test_logs_in_parts(machine: Machine, namespace: str) -> None:
    script = "seq 1 20; trap 'exit 0' TERM; sleep 600 & wait $!"
    machine.apply(pod("talker", command=["/bin/sh", "-c", script]), namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/talker", "--timeout=60s")

    def logs(*options: str) -> list[str]:
        return machine.kubectl("-n", namespace, "logs", "talker", "c", *options).stdout.splitlines()

    eventually(lambda: len(logs()) == 20, "the whole log")
    assert logs("--tail=1") == ["20"]
    assert machine.kubectl("-n", namespace, "logs", "talker", "--limit-bytes=1").stdout == "1"
    (stamped,) = logs("--tail=1", "--timestamps")
    time, text = stamped.split(" ")
    assert time.startswith("20") and time.endswith("Z") and text == "20"
    assert logs("--since=24h") == logs()
    assert logs("--since-time=2100-01-01T00:00:00Z") == []
