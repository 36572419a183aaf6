from __future__ import annotations

import pytest

from sampan.api.types import core_v1
from sampan.apiserver.authz.node import NodeAuthorizer
from tests.apiserver_security.memory import Memory, ask, make, who

NODE = who("system:node:n1", "system:nodes", "system:authenticated")


def pod(name: str, node: str = "n1", **spec: object) -> dict[str, object]:
    body = {"nodeName": node, "serviceAccountName": "builder", "containers": [{"name": "c", "image": "x"}], **spec}
    return make("Pod", name, "shop", spec=body)


RICH = pod(
    "rich",
    imagePullSecrets=[{"name": "pull"}],
    containers=[
        {
            "name": "c",
            "image": "x",
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "k"}}},
            ],
            "envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "from"}}],
        }
    ],
    initContainers=[{"name": "i", "image": "x", "envFrom": [{"secretRef": {"name": "init"}}]}],
    volumes=[
        {"name": "a", "secret": {"secretName": "volume"}},
        {"name": "b", "configMap": {"name": "volume"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "d", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {
            "name": "e",
            "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "projected"}}]},
        },
        {"name": "f", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi"}}},
        {"name": "g", "azureFile": {"secretName": "azure", "shareName": "s"}},
        {"name": "h", "rbd": {"monitors": ["m"], "image": "i", "secretRef": {"name": "rbd"}}},
    ],
)


def cluster() -> Memory:
    return Memory(
        RICH,
        pod("elsewhere", "n2", imagePullSecrets=[{"name": "foreign"}]),
        make(
            "PersistentVolume",
            "pv",
            spec={
                "claimRef": {"namespace": "shop", "name": "data"},
                "csi": {
                    "driver": "d",
                    "volumeHandle": "h",
                    "nodeStageSecretRef": {"namespace": "storage", "name": "stage"},
                },
            },
        ),
        make("PersistentVolume", "free"),
        make("VolumeAttachment", "va", api="storage.k8s.io/v1", spec={"nodeName": "n1", "attacher": "d", "source": {}}),
    )


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        *(("secrets", name) for name in ("pull", "env", "from", "init", "volume", "projected", "csi", "azure", "rbd")),
        *(("configmaps", name) for name in ("env", "from", "volume", "projected")),
        ("persistentvolumeclaims", "data"),
        ("persistentvolumeclaims", "rich-d"),
    ],
)
def test_a_node_reads_what_its_pods_refer_to(resource: str, name: str) -> None:
    decide = NodeAuthorizer(cluster())
    for _ in range(2):
        assert decide(ask(NODE, "get", resource, "shop", name)).allowed
    assert not decide(ask(NODE, "get", resource, "other", name)).allowed
    assert not decide(ask(who("system:node:n2", "system:nodes"), "get", resource, "shop", name)).allowed


def test_volumes_and_their_secrets_follow_the_claim() -> None:
    decide = NodeAuthorizer(cluster())
    assert decide(ask(NODE, "get", "persistentvolumes", name="pv")).allowed
    assert not decide(ask(NODE, "get", "persistentvolumes", name="free")).allowed
    assert decide(ask(NODE, "get", "secrets", "storage", "stage")).allowed
    assert decide(ask(NODE, "get", "volumeattachments", name="va", group="storage.k8s.io")).allowed


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "name", "group", "reason"),
    [
        ("get", "secrets", "shop", "foreign", "", "no relationship found between node 'n1' and this object"),
        ("update", "secrets", "shop", "pull", "", "can only read resources of this type"),
        ("list", "secrets", "shop", "", "", "No Object name found"),
        ("list", "secrets", "", "", "", "can only read namespaced object of this type"),
        ("list", "persistentvolumes", "", "", "", "can only get individual resources of this type"),
        ("create", "serviceaccounts/token", "shop", "", "", "can only create tokens for individual service accounts"),
        (
            "create",
            "serviceaccounts/token",
            "shop",
            "root",
            "",
            "no relationship found between node 'n1' and this object",
        ),
        (
            "update",
            "leases",
            "kube-node-lease",
            "n2",
            "coordination.k8s.io",
            "can only access node lease with the same name as the requesting node",
        ),
        (
            "get",
            "leases",
            "default",
            "n1",
            "coordination.k8s.io",
            'can only access leases in the "kube-node-lease" system namespace',
        ),
        (
            "list",
            "leases",
            "kube-node-lease",
            "",
            "coordination.k8s.io",
            "can only get, create, update, patch, or delete a node lease",
        ),
        (
            "get",
            "csinodes",
            "",
            "n2",
            "storage.k8s.io",
            "can only access CSINode with the same name as the requesting node",
        ),
        ("get", "nodes", "", "n2", "", "node 'n1' cannot read 'n2', only its own Node object"),
        ("list", "nodes", "", "", "", "node 'n1' cannot read all nodes, only its own Node object"),
        ("delete", "nodes", "", "n1", "", ""),
        ("get", "clusterroles", "", "x", "rbac.authorization.k8s.io", ""),
    ],
)
def test_refusals_say_why(verb, resource, namespace, name, group, reason) -> None:
    decision = NodeAuthorizer(cluster())(ask(NODE, verb, resource, namespace, name, group))
    assert not decision.allowed
    assert decision.reason == reason


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "name", "group"),
    [
        ("create", "serviceaccounts/token", "shop", "builder", ""),
        ("create", "nodes", "", "", ""),
        ("patch", "nodes/status", "", "n1", ""),
        ("watch", "nodes", "", "n1", ""),
        ("update", "leases", "kube-node-lease", "n1", "coordination.k8s.io"),
        ("create", "leases", "kube-node-lease", "", "coordination.k8s.io"),
        ("list", "pods", "", "", ""),
        ("patch", "pods/status", "shop", "rich", ""),
        ("create", "events", "shop", "", ""),
        ("list", "services", "", "", ""),
        ("list", "runtimeclasses", "", "", "node.k8s.io"),
        ("patch", "persistentvolumeclaims/status", "shop", "data", ""),
    ],
)
def test_what_a_node_needs_is_allowed(verb, resource, namespace, name, group) -> None:
    assert NodeAuthorizer(cluster())(ask(NODE, verb, resource, namespace, name, group)).allowed


def test_a_reference_ends_with_the_pod() -> None:
    view = cluster()
    decide = NodeAuthorizer(view)
    request = ask(NODE, "get", "secrets", "shop", "pull")
    assert decide(request).allowed
    view.put(pod("rich", "n2", imagePullSecrets=[{"name": "pull"}]))
    assert not decide(request).allowed
    view.put(pod("another", imagePullSecrets=[{"name": "pull"}]))
    assert decide(request).allowed
    view.remove(core_v1.Pod, "another", "shop")
    assert not decide(request).allowed


def test_a_mirror_pod_gives_its_node_nothing() -> None:
    mirror = pod("static", imagePullSecrets=[{"name": "x"}])
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "y"}
    assert not NodeAuthorizer(Memory(mirror))(ask(NODE, "get", "secrets", "shop", "x")).allowed


def test_nobody_else_is_a_node() -> None:
    decide = NodeAuthorizer(cluster())
    for user in (who("system:node:n1"), who("jane", "system:nodes"), who("jane")):
        assert not decide(ask(user, "get", "secrets", "shop", "pull")).allowed
    assert decide(ask(who("system:node:", "system:nodes"), "get", "pods")).reason == (
        'unknown node for user "system:node:"'
    )
