"""The stock kubectl against a cluster in memory: what upstream expects of every cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sampan.testing.thread import ServedCluster
from tests.apiserver.person import KUBECTL, Person
from tests.covers import covers

CONFORMANCE = "[sig-cli] Kubectl client"
pytestmark = [pytest.mark.e2e, pytest.mark.skipif(KUBECTL is None, reason="the stock kubectl is not installed")]
LABELS = {"app": "demo"}
CONTAINER = {"name": "c", "image": "app:1", "ports": [{"containerPort": 6379}]}


@pytest.fixture
def me(served_cluster: ServedCluster, tmp_path: Path) -> Person:
    return Person(served_cluster.kubeconfig, tmp_path)


def controller(replicas: int = 1) -> dict[str, Any]:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}}
    return {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": "demo"},
        "spec": {"replicas": replicas, "selector": LABELS, "template": template},
    }


def pod(name: str, **meta: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **meta}, "spec": {"containers": [CONTAINER]}}


def ready(me: Person, *what: str) -> None:
    me.types("wait", "--for=condition=Ready", *what, "--timeout=30s")


def running(me: Person, count: int) -> list[str]:
    me.types("wait", f"--for=jsonpath={{.status.readyReplicas}}={count}", "rc/demo", "--timeout=30s")
    return me.types("get", "pods", "-l", "app=demo", "-o", "name").split()


@covers(
    f"{CONFORMANCE} Kubectl api-versions should check if v1 is in available api versions [Conformance]",
    f"{CONFORMANCE} Kubectl cluster-info should check if Kubernetes control plane services is included in cluster-info "
    "[Conformance]",
    f"{CONFORMANCE} Kubectl version should check is all data is printed [Conformance]",
)
def test_what_the_cluster_is(me: Person) -> None:
    assert "v1" in me.types("api-versions").split()
    assert "Kubernetes control plane" in me.types("cluster-info")
    version = me.types("version")
    assert "Client Version: v" in version and "Server Version: v1.37.0" in version


@covers(
    f"{CONFORMANCE} Kubectl describe should check if kubectl describe prints relevant information for rc and pods "
    "[Conformance]",
    f"{CONFORMANCE} Kubectl expose should create services for rc [Conformance]",
    f"{CONFORMANCE} Kubectl patch should add annotations for pods in rc [Conformance]",
    f"{CONFORMANCE} Update Demo should scale a replication controller [Conformance]",
)
def test_a_replication_controller(me: Person) -> None:
    me.types("create", "-f", "-", given=controller())
    (name,) = running(me, 1)
    told = me.types("describe", "rc", "demo")
    assert "Replicas:     1 current / 1 desired" in told
    assert "Pods Status:  1 Running / 0 Waiting / 0 Succeeded / 0 Failed" in told
    assert "SuccessfulCreate" in told and "Created pod: demo-" in told
    told = me.types("describe", name)
    for line in ("Name:", "Namespace:", "Node:", "Labels:           app=demo", "Status:           Running"):
        assert line in told
    assert "Controlled By:  ReplicationController/demo" in told and "Image:          app:1" in told
    assert "Name:               node-1" in me.types("describe", "node", "node-1")
    assert "Status:       Active" in me.types("describe", "namespace", "default")

    me.types("expose", "rc", "demo", "--name=rm2", "--port=1234", "--target-port=6379")
    me.types("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
    assert "TargetPort:               6379/TCP" in me.types("describe", "service", "rm3")
    me.types("wait", "--for=jsonpath={.subsets[0].ports[0].port}=6379", "endpoints/rm3", "--timeout=30s")

    me.types("patch", name, "-p", json.dumps({"metadata": {"annotations": {"x": "y"}}}))
    assert me.types("get", name, "-o", "jsonpath={.metadata.annotations.x}") == "y"

    for replicas in (3, 1, 2):
        me.types("scale", "rc/demo", f"--replicas={replicas}", "--timeout=30s")
        me.types("wait", f"--for=jsonpath={{.status.replicas}}={replicas}", "rc/demo", "--timeout=30s")
    me.types("delete", "rc", "demo", "--grace-period=0", "--force", "--timeout=30s")
    me.types("wait", "--for=delete", "pods", "-l", "app=demo", "--timeout=30s")


@covers(
    f"{CONFORMANCE} Kubectl label should update the label on a resource [Conformance]",
    f"{CONFORMANCE} Kubectl replace should update a single-container pod's image [Conformance]",
    f"{CONFORMANCE} Kubectl run pod should create a pod from an image when restart is Never [Conformance]",
    f"{CONFORMANCE} Kubectl server-side dry-run should check if kubectl can dry-run update Pods [Conformance]",
)
def test_a_pod(me: Person) -> None:
    me.types("run", "p", "--image=app:1", "--restart=Never", "--labels=run=p")
    ready(me, "pod/p")
    assert me.types("get", "pod", "p", "-o", "jsonpath={.spec.restartPolicy}") == "Never"
    me.types("label", "pods", "p", "testing-label=testing-label-value")
    assert me.types("get", "pod", "p", "-L", "testing-label").split()[-1] == "testing-label-value"
    me.types("label", "pods", "p", "testing-label-")
    assert "testing-label-value" not in me.types("get", "pod", "p", "-L", "testing-label")

    image = {"spec": {"containers": [{"name": "p", "image": "app:2"}]}}
    me.types("patch", "pod", "p", "-p", json.dumps(image), "--dry-run=server")
    assert me.types("get", "pod", "p", "-o", "jsonpath={.spec.containers[0].image}") == "app:1"
    wanted = json.loads(me.types("get", "pod", "p", "-o", "json"))
    wanted["spec"]["containers"][0]["image"] = "app:3"
    assert me.types("replace", "-f", "-", given=wanted) == "pod/p replaced\n"
    assert me.types("get", "pod", "p", "-o", "jsonpath={.spec.containers[0].image}") == "app:3"


@covers(f"{CONFORMANCE} Kubectl diff should check if kubectl diff finds a difference for Deployments [Conformance]")
def test_a_difference(me: Person) -> None:
    made = me.types("create", "deployment", "web", "--image=app:1", "--dry-run=client", "-o", "json")
    wanted = json.loads(made)
    me.types("apply", "-f", "-", given=wanted)
    assert me.types("diff", "-f", "-", given=wanted) == ""
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"
    assert me.types("diff", "-f", "-", given=wanted, fails=True) == ""
    assert "web" in me.types("diff", "--server-side", "--force-conflicts", "-f", "-", given=wanted, prints=1)


def test_pruning_and_cascades(me: Person) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "labels": {"set": "x"}}}
    me.types("apply", "--prune", "-l", "set=x", "-f", "-", given=settings)
    settings["metadata"] = {"name": "two", "labels": {"set": "x"}}
    assert "configmap/one pruned" in me.types("apply", "--prune", "-l", "set=x", "-f", "-", given=settings)
    me.types("create", "-f", "-", given=controller(2))
    names = running(me, 2)
    me.types("delete", "rc", "demo", "--cascade=orphan")
    assert me.types("get", "pods", "-l", "app=demo", "-o", "name").split() == names
    me.types("create", "-f", "-", given=controller(2))
    assert running(me, 2) == names, "adopted"
    me.types("delete", "rc", "demo", "--cascade=foreground", "--timeout=30s")
    assert me.types("get", "pods", "-l", "app=demo", "-o", "name") == ""


def test_server_side_apply_and_its_conflicts(me: Person) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}}
    assert me.types("apply", "--server-side", "-f", "-", given=settings) == "configmap/one serverside-applied\n"
    settings["data"] = {"a": "2"}
    told = me.types("apply", "--server-side", "--field-manager=other", "-f", "-", given=settings, fails=True)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.a' in told
    me.types("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", given=settings)
    assert me.types("get", "cm", "one", "-o", "jsonpath={.data.a}") == "2"
