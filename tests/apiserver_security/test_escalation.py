from __future__ import annotations

import copy

import pytest

from sampan.api.errors import StatusError
from sampan.api.types.rbac_v1 import PolicyRule
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.authz.covers import missing
from tests.apiserver_security.memory import Memory, bind, kind, role, rule, who

JANE = who("jane", "devs")
BUILDER = role("builder", rule("get list", "pods"), rule("*", "deployments", "apps"))


def authorization(*more: dict[str, object]) -> Authorization:
    return Authorization(Memory(BUILDER, bind("b", "builder", "User jane"), *more))


def check(document, old=None, user=JANE, *more) -> str:
    try:
        authorization(*more).escalation.check(user, kind(document["kind"]), document, old)
    except StatusError as error:
        return str(error)
    return ""


def test_one_hands_out_what_one_has() -> None:
    assert check(role("r", rule("get", "pods"), namespace="shop")) == ""
    assert check(role("r", rule("create delete", "deployments", "apps"))) == ""
    assert check(bind("x", "builder", "User bob", namespace="shop")) == ""


def test_a_role_with_more_is_refused_in_upstreams_words() -> None:
    assert check(role("r", rule("get", "pods"), rule("get list", "secrets"), rule("get", "nodes", names="n1"))) == (
        'clusterroles.rbac.authorization.k8s.io "r" is forbidden: user "jane" (groups=["devs"]) is attempting to grant '
        "RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["nodes"], ResourceNames:["n1"], Verbs:["get"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}'
    )


def test_a_path_is_something_to_hold_too() -> None:
    document = role("r", {"nonResourceURLs": ["/metrics"], "verbs": ["get"]})
    assert check(document).endswith('held:\n{NonResourceURLs:["/metrics"], Verbs:["get"]}')


def test_a_binding_needs_the_roles_rules() -> None:
    strong = role("strong", rule("get", "secrets"))
    assert '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}' in check(
        bind("x", "strong", "User bob"), None, JANE, strong
    )
    assert check(bind("x", "gone", "User bob")) == 'clusterrole.rbac.authorization.k8s.io "gone" not found'


@pytest.mark.parametrize(
    ("verb", "resource", "document"),
    [
        ("escalate", "clusterroles", role("r", rule("get", "secrets"))),
        ("bind", "clusterroles", bind("x", "strong", "User bob")),
    ],
)
def test_the_verbs_escalate_and_bind_lift_the_check(verb, resource, document) -> None:
    strong = role("strong", rule("get", "secrets"))
    allowed = role("lifter", rule(verb, resource, "rbac.authorization.k8s.io"))
    assert check(document, None, JANE, strong) != ""
    assert check(document, None, JANE, strong, allowed, bind("l", "lifter", "User jane")) == ""


def test_masters_are_free() -> None:
    assert check(role("r", rule("*", "*", "*")), None, who("root", "system:masters")) == ""


def test_a_change_is_judged_as_a_whole_but_housekeeping_is_not() -> None:
    old = role("r", rule("get", "secrets"))
    housekeeping = copy.deepcopy(old)
    housekeeping["metadata"] |= {"finalizers": ["x/y"], "resourceVersion": "7", "managedFields": [{}]}
    assert check(housekeeping, old) == ""
    labelled = copy.deepcopy(old)
    labelled["metadata"]["labels"] = {"rbac.authorization.k8s.io/aggregate-to-admin": "true"}
    assert "not currently held" in check(labelled, old)


def test_aggregation_is_for_cluster_administrators() -> None:
    document = role("r")
    document["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    assert check(document) == (
        'clusterroles.rbac.authorization.k8s.io "r" is forbidden: must have cluster-admin privileges to use the '
        "aggregationRule"
    )
    everything = role("all", rule("*", "*", "*"), {"nonResourceURLs": ["*"], "verbs": ["*"]})
    assert check(document, None, JANE, everything, bind("a", "all", "User jane")) == ""


def rules(**lists: str) -> PolicyRule:
    return PolicyRule(**{name: tuple(values.split(",")) for name, values in lists.items()})


@pytest.mark.parametrize(
    ("held", "wanted", "lacking"),
    [
        (rules(verbs="*", apiGroups="*", resources="*"), rules(verbs="get", apiGroups="x", resources="a/b"), 0),
        (
            rules(verbs="get", apiGroups="", resources="*/scale"),
            rules(verbs="get", apiGroups="", resources="a/scale"),
            0,
        ),
        (rules(verbs="get", apiGroups="", resources="*/scale"), rules(verbs="get", apiGroups="", resources="a"), 1),
        (rules(verbs="get", apiGroups="", resources="a"), rules(verbs="*", apiGroups="", resources="a"), 1),
        (
            rules(verbs="get", apiGroups="", resources="a", resourceNames="x"),
            rules(verbs="get", apiGroups="", resources="a"),
            1,
        ),
        (
            rules(verbs="get", apiGroups="", resources="a"),
            rules(verbs="get", apiGroups="", resources="a", resourceNames="x,y"),
            0,
        ),
        (rules(verbs="get", nonResourceURLs="/a/*"), rules(verbs="get", nonResourceURLs="/a/b"), 0),
        (rules(verbs="get", nonResourceURLs="/a/*"), rules(verbs="get", nonResourceURLs="/a/*"), 0),
        (rules(verbs="get", nonResourceURLs="/a"), rules(verbs="get", nonResourceURLs="/a/*"), 1),
        (rules(verbs="get", apiGroups="", resources="*"), rules(verbs="get", nonResourceURLs="/a"), 1),
    ],
)
def test_what_covers_what(held, wanted, lacking) -> None:
    assert len(missing([held], [wanted])) == lacking
