from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sampan.api.errors import StatusError
from sampan.api.user import User
from sampan.apiserver.authn import AccountTokens, Authenticators
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.reviews import access, identity
from sampan.apiserver.reviews.tokenrequest import TokenRequests
from sampan.apiserver.tokens import accounts, jwt, keys
from tests.apiserver_security.memory import Memory, bind, make, role, rule, who
from tests.covers import covers

NOW = 1_800_000_000.0
SIGNER = keys.signer(ec.generate_private_key(ec.SECP256R1()))
JANE = User("jane", "u-1", ("devs", "system:authenticated"), {"scope": ("a", "b")})


def authorization() -> Authorization:
    return Authorization(
        Memory(
            role("reader", rule("list get", "pods")),
            role("prober", {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}),
            bind("b", "reader", "Group devs", namespace="shop"),
            bind("p", "prober", "User jane"),
        )
    )


def review(kind: str, **spec: object) -> dict[str, object]:
    return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "metadata": {}, "spec": spec}


LIST = {"verb": "list", "resource": "pods", "namespace": "shop"}


def test_may_somebody() -> None:
    asked = review("SubjectAccessReview", user="bob", groups=["devs"], resourceAttributes=LIST)
    status = access.subject_access_review(asked, authorization())["status"]
    assert status == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "b/shop" of ClusterRole "reader" to Group "devs"',
    }
    other = review("SubjectAccessReview", user="bob", resourceAttributes=LIST)
    assert access.subject_access_review(other, authorization())["status"] == {"allowed": False}
    local = review("LocalSubjectAccessReview", groups=["devs"], resourceAttributes=LIST)
    assert access.local_subject_access_review(local, "shop", authorization())["status"]["allowed"]


def test_may_i() -> None:
    for attributes, allowed in (
        ({"resourceAttributes": LIST}, True),
        ({"resourceAttributes": {**LIST, "namespace": "other"}}, False),
        ({"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}, True),
        ({"nonResourceAttributes": {"path": "/logs", "verb": "get"}}, False),
    ):
        asked = review("SelfSubjectAccessReview", **attributes)
        status = access.self_subject_access_review(asked, JANE, authorization())["status"]
        assert status["allowed"] is allowed


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            review("SubjectAccessReview", resourceAttributes=LIST),
            'SubjectAccessReview.authorization.k8s.io "" is invalid: spec.user: Invalid value: "": at least one of '
            "user or group must be specified",
        ),
        (
            review("SubjectAccessReview", user="bob"),
            'SubjectAccessReview.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: null: '
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
    ],
)
def test_incomplete_questions_are_refused(document, message) -> None:
    with pytest.raises(StatusError) as error:
        access.subject_access_review(document, authorization())
    assert str(error.value) == message


def test_a_local_question_stays_in_its_namespace() -> None:
    asked = review("LocalSubjectAccessReview", user="bob", resourceAttributes=LIST)
    with pytest.raises(StatusError) as error:
        access.local_subject_access_review(asked, "other", authorization())
    assert str(error.value) == "spec.resourceAttributes.namespace must match namespace: other"


def test_what_may_i() -> None:
    asked = review("SelfSubjectRulesReview", namespace="shop")
    made = access.self_subject_rules_review(asked, JANE, authorization())
    assert made["spec"] == {}
    assert made["status"] == {
        "resourceRules": [{"verbs": ["list", "get"], "apiGroups": [""], "resources": ["pods"]}],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}],
        "incomplete": False,
    }
    node = who("system:node:n1", "system:nodes")
    status = access.self_subject_rules_review(asked, node, authorization())["status"]
    assert status["incomplete"] and status["evaluationError"] == "node authorizer does not support user rule resolution"
    with pytest.raises(StatusError, match="no namespace on request"):
        access.self_subject_rules_review(review("SelfSubjectRulesReview"), JANE, authorization())


def test_who_am_i() -> None:
    made = identity.self_subject_review({"kind": "SelfSubjectReview"}, JANE)
    assert made["status"]["userInfo"] == {
        "username": "jane",
        "uid": "u-1",
        "groups": ["devs", "system:authenticated"],
        "extra": {"scope": ["a", "b"]},
    }


# --- tokens


def cluster() -> Memory:
    spec = {"serviceAccountName": "builder", "nodeName": "n1", "containers": [{"name": "c", "image": "x"}]}
    return Memory(
        make("ServiceAccount", "builder", "shop"),
        make("ServiceAccount", "other", "shop"),
        make("Pod", "web", "shop", spec=spec),
        make("Secret", "key", "shop"),
        make("Node", "n1"),
    )


def request(view: Memory, name: str = "builder", **spec: object) -> dict[str, object]:
    requests = TokenRequests(view, SIGNER, clock=lambda: NOW)
    document: dict[str, object] = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {},
        "spec": spec,
    }
    account = requests.prepare(document, "shop", name)
    return requests.issue(document, account)


def authenticators(view: Memory) -> Authenticators:
    tokens = AccountTokens(view, (SIGNER.verifier,), clock=lambda: NOW)
    return Authenticators(tokens, static={"secret": User("root")})


@covers(
    "[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful TokenReview [Conformance]"
)
def test_a_token_is_issued_and_reviewed() -> None:
    view = cluster()
    made = request(view)
    assert made["spec"] == {"expirationSeconds": 3600, "audiences": [accounts.ISSUER]}
    assert made["metadata"] == {
        "name": "builder",
        "namespace": "shop",
        "creationTimestamp": accounts.rfc3339(NOW),
    }
    assert made["status"]["expirationTimestamp"] == accounts.rfc3339(NOW + 3600)
    asked = {"spec": {"token": made["status"]["token"]}}
    status = identity.token_review(asked, authenticators(view))["status"]
    assert status["authenticated"] is True
    assert status["audiences"] == [accounts.ISSUER]
    assert status["user"]["username"] == "system:serviceaccount:shop:builder"
    assert status["user"]["groups"] == [
        "system:serviceaccounts",
        "system:serviceaccounts:shop",
        "system:authenticated",
    ]


def test_a_token_for_a_pod_names_pod_and_node() -> None:
    made = request(cluster(), boundObjectRef={"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web"})
    claims = jwt.peek(made["status"]["token"])
    assert claims is not None
    assert claims["kubernetes.io"] == {
        "namespace": "shop",
        "node": {"name": "n1", "uid": "uid-n1"},
        "pod": {"name": "web", "uid": "uid-web"},
        "serviceaccount": {"name": "builder", "uid": "uid-builder"},
    }


@pytest.mark.parametrize(("kind", "name"), [("Secret", "key"), ("Node", "n1")])
def test_a_token_may_be_bound_to_a_secret_or_a_node(kind: str, name: str) -> None:
    made = request(cluster(), boundObjectRef={"apiVersion": "v1", "kind": kind, "name": name})
    claims = jwt.peek(made["status"]["token"])
    assert claims is not None
    assert claims["kubernetes.io"][kind.lower()] == {"name": name, "uid": f"uid-{name}"}


@pytest.mark.parametrize(
    ("name", "spec", "code", "message"),
    [
        ("gone", {}, 404, 'serviceaccounts "gone" not found'),
        (
            "builder",
            {"expirationSeconds": 10},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 10: '
            "may not specify a duration less than 10 minutes",
        ),
        (
            "builder",
            {"expirationSeconds": 2**33},
            422,
            'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 8589934592: '
            "may not specify a duration larger than 2^32 seconds",
        ),
        (
            "builder",
            {"boundObjectRef": {"apiVersion": "v1", "kind": "ConfigMap", "name": "x"}},
            400,
            "cannot bind token to object of type /v1, Kind=ConfigMap",
        ),
        ("builder", {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "x"}}, 404, 'pods "x" not found'),
        (
            "other",
            {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web"}},
            400,
            'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.',
        ),
        (
            "builder",
            {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "old"}},
            409,
            'Operation cannot be fulfilled on Pod "web": the UID in the bound object reference (old) does not match '
            "the UID in record. The object might have been deleted and then recreated",
        ),
    ],
)
def test_refused_token_requests(name, spec, code, message) -> None:
    with pytest.raises(StatusError) as error:
        request(cluster(), name, **spec)
    assert (error.value.code, str(error.value)) == (code, message)


def test_token_reviews_tell_what_is_wrong() -> None:
    view = cluster()
    decide = authenticators(view)
    assert identity.token_review({"spec": {"token": "junk"}}, decide)["status"] == {"error": "invalid bearer token"}
    pod = request(view, boundObjectRef={"apiVersion": "v1", "kind": "Pod", "name": "web"})["status"]["token"]
    view.put(make("Pod", "web", "shop", meta={"uid": "new"}))
    assert identity.token_review({"spec": {"token": pod}}, decide)["status"] == {
        "error": "[invalid bearer token, pod UID (new) does not match service account pod ref claim (uid-web)]"
    }
    with pytest.raises(StatusError, match="token is required for TokenReview in authentication"):
        identity.token_review({"spec": {}}, decide)


def test_token_reviews_ask_for_an_audience() -> None:
    view = cluster()
    decide = authenticators(view)
    token = request(view, audiences=["vault"])["status"]["token"]
    status = identity.token_review({"spec": {"token": token, "audiences": ["vault", "x"]}}, decide)["status"]
    assert status["authenticated"] and status["audiences"] == ["vault"]
    assert "error" in identity.token_review({"spec": {"token": token}}, decide)["status"]
    assert identity.token_review({"spec": {"token": "secret"}}, decide)["status"]["authenticated"]
