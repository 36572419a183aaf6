from __future__ import annotations

import copy
from typing import Any

import pytest

from sampan.apiserver.admission.noderestriction import NodeRestriction
from sampan.apiserver.authz.authorizer import Authorization
from tests.apiserver_security.memory import Memory, make, who
from tests.apiserver_security.writing import ask, pod, run

NODE = who("system:node:n1", "system:nodes", "system:authenticated")
MIRROR = {"annotations": {"kubernetes.io/config.mirror": "x"}}


def view() -> Memory:
    token = {"serviceAccountToken": {"path": "t", "audience": "vault"}}
    volume = {"name": "t", "projected": {"sources": [token]}}
    return Memory(make("Node", "n1"), pod("mine", nodeName="n1", volumes=[volume]), pod("other", nodeName="n2"))


def judge(asked: Any) -> str:
    memory = view()
    found = run(NodeRestriction(memory, Authorization(memory)), asked)
    return found.partition("is forbidden: ")[2] or found


def node(name: str = "n1", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return make("Node", name, meta={"labels": labels or {}}, spec=spec)


def as_node(document: dict[str, Any] | None, operation: str = "CREATE", **rest: Any) -> str:
    return judge(ask(document, operation, user=NODE, **rest))


def test_people_are_not_restricted() -> None:
    assert judge(ask(node("n2"), user=who("jane", "system:masters"))) == ""
    assert judge(ask(pod(), user=who("jane"))) == ""


def test_a_node_makes_and_changes_itself_only() -> None:
    assert as_node(node()) == ""
    assert as_node(node("n2")) == 'node "n1" is not allowed to modify node "n2"'
    assert as_node(node("n2"), "UPDATE", old=node("n2")) == 'node "n1" is not allowed to modify node "n2"'
    assert as_node(node(), "UPDATE", old=node(), sub="status") == ""
    assert judge(ask(node(), user=who("jane", "system:nodes"))) == 'could not determine node from user "jane"'


@pytest.mark.parametrize(
    ("labels", "forbidden"),
    [
        ({"kubernetes.io/hostname": "n1", "topology.kubernetes.io/zone": "a", "mine": "x", "example.com/y": "z"}, ""),
        ({"kubelet.kubernetes.io/a": "b", "x.node.kubernetes.io/c": "d"}, ""),
        ({"node-restriction.kubernetes.io/a": "b"}, "node-restriction.kubernetes.io/a"),
        (
            {"kubernetes.io/role": "x", "a.k8s.io/b": "c"},
            "a.k8s.io/b, kubernetes.io/role",
        ),
        ({"x.node-restriction.kubernetes.io/a": "b"}, "x.node-restriction.kubernetes.io/a"),
    ],
)
def test_a_node_labels_itself_within_limits(labels, forbidden) -> None:
    me = 'node "n1" is not allowed to'
    assert as_node(node(labels=labels)) == (forbidden and f"{me} set the following labels: {forbidden}")
    assert as_node(node(labels=labels), "UPDATE", old=node()) == (forbidden and f"{me} modify labels: {forbidden}")
    assert as_node(node(), "UPDATE", old=node(labels=labels)) == (forbidden and f"{me} modify labels: {forbidden}")


def test_a_node_does_not_touch_its_taints_and_owners() -> None:
    tainted = node(taints=[{"key": "k", "effect": "NoSchedule"}])
    assert as_node(node(), "UPDATE", old=tainted) == 'node "n1" is not allowed to modify taints'
    owned = copy.deepcopy(node())
    owned["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "y"}]
    assert as_node(owned, "UPDATE", old=node()) == 'node "n1" is not allowed to modify ownerReferences'
    assert as_node(owned) == 'node "n1" is not allowed to set ownerReferences'


OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "uid-n1", "controller": True}
MINE = {**MIRROR, "ownerReferences": [OWNER]}


def owned(**changed: Any) -> dict[str, Any]:
    return pod(meta={**MIRROR, "ownerReferences": [{**OWNER, **changed}]}, nodeName="n1")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (pod(meta=MINE, nodeName="n1"), ""),
        (
            pod(nodeName="n1"),
            'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods',
        ),
        (pod(meta=MINE, nodeName="n2"), 'node "n1" can only create pods with spec.nodeName set to itself'),
        (
            pod(meta=MINE, nodeName="n1", serviceAccountName="x"),
            'node "n1" can not create pods that reference a service account',
        ),
        (
            pod(meta=MINE, nodeName="n1", volumes=[{"name": "v", "secret": {"secretName": "x"}}]),
            'node "n1" can not create pods that reference secrets',
        ),
        (
            pod(meta=MINE, nodeName="n1", volumes=[{"name": "v", "configMap": {"name": "x"}}]),
            'node "n1" can not create pods that reference configmaps',
        ),
        (pod(meta=MIRROR, nodeName="n1"), 'node "n1" can only create pods with an owner reference set to itself'),
        (owned(name="n2"), 'node "n1" can only create pods with an owner reference set to itself'),
        (owned(controller=False), 'node "n1" can only create pods with a controller owner reference set to itself'),
        (owned(blockOwnerDeletion=True), 'node "n1" must not set blockOwnerDeletion on an owner reference'),
        (owned(uid="old"), "node n1 UID mismatch: expected old got uid-n1"),
    ],
)
def test_a_node_makes_mirror_pods_only(document, message) -> None:
    assert as_node(document) == message


def test_a_node_deletes_and_reports_its_own_pods_only() -> None:
    mine, other = pod("mine", nodeName="n1"), pod("other", nodeName="n2")
    assert as_node(None, "DELETE", old=mine) == ""
    assert as_node(None, "DELETE", old=other) == 'node "n1" can only delete pods with spec.nodeName set to itself'
    assert as_node(mine, "UPDATE", old=mine, sub="status") == ""
    assert as_node(other, "UPDATE", old=other, sub="status") == (
        'node "n1" can only update pod status for pods with spec.nodeName set to itself'
    )
    labelled = copy.deepcopy(mine)
    labelled["metadata"]["labels"] = {"a": "b"}
    assert as_node(labelled, "UPDATE", old=mine, sub="status") == 'node "n1" cannot update labels through pod status'
    assert as_node(mine, "UPDATE", old=mine, sub="exec") == (
        "unexpected pod subresource \"exec\", only 'status' and 'eviction' are allowed"
    )
    assert as_node(mine, "UPDATE", old=mine) == (
        'unexpected operation "UPDATE", node "n1" can only create and delete mirror pods'
    )


def test_a_node_evicts_its_own_pods_only() -> None:
    def evict(name: str) -> str:
        body = make("Eviction", name, "shop", api="policy/v1")
        return as_node(body, sub="eviction", of="Pod")

    assert evict("mine") == ""
    assert evict("other") == "node n1 can only evict pods with spec.nodeName set to itself"
    assert evict("gone") == 'pods "gone" not found'


def token(audiences: list[str] | None = None, **reference: Any) -> str:
    spec: dict[str, Any] = {"audiences": audiences or []}
    if reference:
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", **reference}
    body = make("TokenRequest", "default", "shop", api="authentication.k8s.io/v1", spec=spec)
    return as_node(body, sub="token", of="ServiceAccount")


def test_a_node_asks_for_tokens_of_its_own_pods_only() -> None:
    assert token() == "node requested token not bound to a pod"
    assert token(name="mine") == "node requested token with a pod binding without a uid"
    assert token(name="mine", uid="uid-mine") == ""
    assert token(name="other", uid="uid-other") == "node requested token bound to a pod scheduled on a different node"
    assert token(name="gone", uid="x") == 'pods "gone" not found'
    assert token(name="mine", uid="old") == (
        "the UID in the bound object reference (old) does not match the UID in record. "
        "The object might have been deleted and then recreated"
    )


def test_a_node_asks_for_audiences_that_the_pod_names() -> None:
    assert token(["vault"], name="mine", uid="uid-mine") == ""
    assert token(["bank"], name="mine", uid="uid-mine") == 'audience "bank" not found in pod spec volume'
    assert token(["a", "b"], name="mine", uid="uid-mine") == "node may only request 0 or 1 audiences"


def test_leases_and_claims() -> None:
    def lease(name: str, namespace: str = "kube-node-lease") -> dict[str, Any]:
        return make("Lease", name, namespace, api="coordination.k8s.io/v1", spec={})

    assert as_node(lease("n1")) == ""
    assert as_node(lease("n2")) == "can only access node lease with the same name as the requesting node"
    assert as_node(lease("n1", "shop")) == 'can only access leases in the "kube-node-lease" system namespace'
    claim = make("PersistentVolumeClaim", "data", "shop", spec={}, status={"phase": "Bound"})
    grown = {**claim, "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}}
    lost = {**claim, "status": {"phase": "Lost"}}
    assert as_node(grown, "UPDATE", old=claim, sub="status") == ""
    assert as_node(grown, "UPDATE", old=claim) == "may only update PVC status"
    assert as_node(lost, "UPDATE", old=claim, sub="status") == (
        'node "n1" is not allowed to update fields other than status.quantity and status.conditions'
    )
