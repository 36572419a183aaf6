"""The whole chain in memory: what a client with a credential sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec

from sampan.api.user import User
from sampan.apiserver.server import Config, Server
from sampan.apiserver.tokens import keys
from sampan.http.types import Request, Response
from sampan.store.memory import MemoryStore
from tests.covers import covers

Call = Callable[..., Awaitable[tuple[int, Any]]]
POD = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
ACCOUNT = {"metadata": {"name": "default"}}
ACCOUNTS, PODS = "/api/v1/namespaces/default/serviceaccounts", "/api/v1/namespaces/default/pods"


@pytest_asyncio.fixture
async def call() -> AsyncIterator[Call]:
    users = {
        "root": User("root", groups=("system:masters",)),
        "jane": User("jane", groups=("devs",)),
        "node": User("system:node:n1", groups=("system:nodes",)),
    }
    signer = keys.signer(ec.generate_private_key(ec.SECP256R1()))
    store = MemoryStore()
    server = Server(store, Config(signer, tokens=users))
    await server.start()

    async def send(method: str, path: str, body: Any = None, token: str = "root", **headers: str) -> tuple[int, Any]:
        sent = {"content-type": "application/json", **headers}
        if token:
            sent["authorization"] = f"Bearer {token}"
        content = b"" if body is None else json.dumps(body).encode()
        answer = server.handler(Request(method, path, sent, content))
        response = answer if isinstance(answer, Response) else await answer
        return response.status, json.loads(await response.read())

    yield send
    await server.close()
    await store.close()


async def test_a_token_for_a_pod_lives_as_long_as_the_pod(call: Call) -> None:
    assert (await call("POST", ACCOUNTS, ACCOUNT))[0] == 201
    status, pod = await call("POST", PODS, POD)
    assert status == 201 and pod["spec"]["serviceAccountName"] == "default"
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod["metadata"]["uid"]}
    status, made = await call("POST", f"{ACCOUNTS}/default/token", {"spec": {"boundObjectRef": reference}})
    assert status == 201
    token = made["status"]["token"]
    status, review = await call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token)
    assert status == 201
    assert review["status"]["userInfo"]["extra"]["authentication.kubernetes.io/pod-name"] == ["web"]
    assert (await call("GET", PODS, token=token))[0] == 403
    assert (await call("DELETE", f"{PODS}/web?gracePeriodSeconds=0"))[0] == 200
    assert (await call("GET", PODS, token=token))[0] == 401


@covers(
    "[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer "
    "[Conformance]"
)
async def test_the_issuers_keys_verify_its_tokens(call: Call) -> None:
    await call("POST", ACCOUNTS, ACCOUNT)
    token = (await call("POST", f"{ACCOUNTS}/default/token", {}))[1]["status"]["token"]
    status, document = await call("GET", "/.well-known/openid-configuration", token=token)
    assert status == 200 and document["issuer"] == "https://kubernetes.default.svc.cluster.local"
    _, found = await call("GET", "/openid/v1/jwks", token=token)
    assert document["jwks_uri"].endswith("/openid/v1/jwks")
    key = found["keys"][0]
    x, y = (int.from_bytes(keys.unb64(key[c])) for c in "xy")
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    data, _, signature = token.rpartition(".")
    assert keys.verifier(public).verify(keys.unb64(signature), data.encode())


async def test_the_first_pod_waits_for_the_default_account(call: Call) -> None:
    waiting = asyncio.ensure_future(call("POST", PODS, POD))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    await call("POST", ACCOUNTS, ACCOUNT)
    assert (await waiting)[0] == 201
    status, refusal = await call("POST", PODS, {**POD, "spec": {**POD["spec"], "serviceAccountName": "gone"}})
    assert (status, refusal["message"]) == (
        403,
        'pods "web" is forbidden: error looking up service account default/gone: serviceaccount "gone" not found',
    )


async def test_what_one_may_not_one_may_not_hand_out(call: Call) -> None:
    admin = {
        "metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    }
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    assert (await call("GET", PODS, token="jane"))[0] == 403
    assert (await call("POST", f"{path}/rolebindings", admin))[0] == 201
    assert (await call("GET", PODS, token="jane"))[0] == 200
    role = {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}
    assert (await call("POST", f"{path}/roles", role, "jane"))[0] == 201
    role["metadata"]["name"] = "s"
    role["rules"][0]["resources"] = ["nodes"]
    status, refusal = await call("POST", f"{path}/roles", role, "jane")
    assert status == 403
    assert refusal["message"] == (
        'roles.rbac.authorization.k8s.io "s" is forbidden: user "jane" (groups=["devs" "system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}'
    )


async def test_impersonation_through_the_chain(call: Call) -> None:
    review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {"impersonate-user": "bob", "impersonate-group": "ops"}
    status, made = await call("POST", review, {}, **headers)
    assert (status, made["status"]["userInfo"]) == (
        201,
        {"username": "bob", "groups": ["ops", "system:authenticated"]},
    )
    assert (await call("POST", review, {}, "jane", **headers))[0] == 403


async def test_warnings_of_pod_security_reach_the_client(call: Call) -> None:
    await call("POST", ACCOUNTS, ACCOUNT)
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    patch = {"content-type": "application/merge-patch+json"}
    assert (await call("PATCH", "/api/v1/namespaces/default", labels, **patch))[0] == 200
    status, refusal = await call("POST", PODS, {**POD, "spec": {**POD["spec"], "hostNetwork": True}})
    assert (status, refusal["message"]) == (
        403,
        'pods "web" is forbidden: violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true)',
    )


async def test_a_wrong_token_is_refused_where_none_is_welcome(call: Call) -> None:
    assert (await call("GET", "/version", token=""))[0] == 200
    assert (await call("GET", "/version", token="wrong"))[0] == 401


@covers("[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]")
async def test_reviews_of_an_accounts_permissions(call: Call) -> None:
    group = "/apis/authorization.k8s.io/v1"
    attributes = {"verb": "list", "resource": "configmaps", "namespace": "kube-system", "version": "v1"}
    spec = {"user": "system:serviceaccount:kube-system:x", "resourceAttributes": attributes}
    for path in (f"{group}/subjectaccessreviews", f"{group}/namespaces/kube-system/localsubjectaccessreviews"):
        status, made = await call("POST", path, {"spec": spec})
        assert (status, made["status"]) == (201, {"allowed": False})
        allowed = {**spec, "groups": ["system:masters"]}
        assert (await call("POST", path, {"spec": allowed}))[1]["status"] == {"allowed": True}
        assert (await call("POST", path, {"spec": spec}, "jane"))[0] == 403
    status, mine = await call("POST", f"{group}/selfsubjectaccessreviews", {"spec": {"resourceAttributes": attributes}})
    assert (status, mine["status"]["allowed"]) == (201, True)


async def test_a_node_lives_within_its_limits(call: Call) -> None:
    node = "node"
    assert (await call("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}}, node))[0] == 201
    assert (await call("POST", "/api/v1/nodes", {"metadata": {"name": "n2"}}, node))[0] == 403
    assert (await call("GET", "/api/v1/nodes/n1", token=node))[1]["spec"]["taints"] == [
        {"effect": "NoSchedule", "key": "node.kubernetes.io/not-ready"}
    ]
    await call("POST", ACCOUNTS, ACCOUNT)
    secrets = "/api/v1/namespaces/default/secrets"
    for name in ("mine", "other"):
        await call("POST", secrets, {"metadata": {"name": name}})
    spec = {**POD["spec"], "nodeName": "n1", "imagePullSecrets": [{"name": "mine"}]}
    _, pod = await call("POST", PODS, {**POD, "spec": spec})
    assert (await call("GET", f"{secrets}/mine", token=node))[0] == 200
    assert (await call("GET", f"{secrets}?fieldSelector=metadata.name%3Dmine", token=node))[0] == 200
    status, refusal = await call("GET", f"{secrets}/other", token=node)
    assert (status, refusal["message"]) == (
        403,
        'secrets "other" is forbidden: User "system:node:n1" cannot get resource "secrets" in API group "" in the '
        "namespace \"default\": no relationship found between node 'n1' and this object",
    )
    assert (await call("GET", secrets, token=node))[0] == 403
    patch = {"content-type": "application/merge-patch+json"}
    running = {"status": {"phase": "Running"}}
    assert (await call("PATCH", f"{PODS}/web/status", running, node, **patch))[0] == 200
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod["metadata"]["uid"]}
    path = f"{ACCOUNTS}/default/token"
    assert (await call("POST", path, {"spec": {"boundObjectRef": reference}}, node))[0] == 201
    status, refusal = await call("POST", path, {"spec": {"boundObjectRef": reference, "audiences": ["bank"]}}, node)
    assert (status, refusal["message"]) == (
        403,
        'serviceaccounts "default" is forbidden: audience "bank" not found in pod spec volume',
    )
    assert (await call("POST", path, {"spec": {}}, node))[0] == 403
