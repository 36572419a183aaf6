from __future__ import annotations

import pytest

from sampan.api.types import rbac_v1
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.authz.messages import forbidden, message
from sampan.apiserver.authz.rbac import Rbac
from sampan.apiserver.authz.rules import path_matches
from tests.apiserver_security.memory import Memory, ask, bind, role, rule, who


def rbac(*documents: dict[str, object]) -> Rbac:
    return Rbac(Memory(*documents))


JANE = who("jane", "devs", "system:authenticated")


@pytest.mark.parametrize(
    ("given", "request_", "allowed"),
    [
        (rule("get", "pods"), ("get", "pods", "default"), True),
        (rule("get", "pods"), ("list", "pods", "default"), False),
        (rule("*", "pods"), ("deletecollection", "pods", "default"), True),
        (rule("get", "*"), ("get", "secrets", "default"), True),
        (rule("get", "*"), ("get", "pods/log", "default"), True),
        (rule("get", "pods"), ("get", "pods/log", "default"), False),
        (rule("get", "pods/log"), ("get", "pods/log", "default"), True),
        (rule("get", "pods/log"), ("get", "pods", "default"), False),
        (rule("get", "*/scale", "apps"), ("get", "deployments/scale", "default", "", "apps"), True),
        (rule("get", "*/scale", "apps"), ("get", "deployments/status", "default", "", "apps"), False),
        (rule("get", "*/scale", "apps"), ("get", "deployments", "default", "", "apps"), False),
        (rule("get", "pods", "apps"), ("get", "pods", "default"), False),
        (rule("get", "pods", "*"), ("get", "pods", "default", "", "metrics.k8s.io"), True),
        (rule("get", "pods", names="a b"), ("get", "pods", "default", "b"), True),
        (rule("get", "pods", names="a b"), ("get", "pods", "default", "c"), False),
        (rule("list", "pods", names="a b"), ("list", "pods", "default"), False),
    ],
)
def test_rules_meet_requests(given, request_, allowed) -> None:
    decide = rbac(role("r", given), bind("b", "r", "User jane"))
    assert decide(ask(JANE, *request_)).allowed is allowed
    assert decide(ask(JANE, *request_)).allowed is allowed, "the warm answer is the same"


@pytest.mark.parametrize(
    ("patterns", "path", "matches"),
    [
        (("/healthz",), "/healthz", True),
        (("/healthz",), "/healthz/etcd", False),
        (("/healthz/*",), "/healthz/etcd", True),
        (("/healthz*",), "/healthzz", True),
        (("*",), "/anything", True),
        (("/a/*/c",), "/a/b/c", False),
        ((), "/", False),
    ],
)
def test_paths_match_exactly_or_by_a_trailing_star(patterns, path, matches) -> None:
    assert path_matches(patterns, path) is matches


def test_a_role_binding_gives_a_cluster_role_in_its_namespace_only() -> None:
    decide = rbac(role("r", rule("list", "pods")), bind("b", "r", "Group devs", namespace="shop"))
    assert decide(ask(JANE, "list", "pods", "shop")).allowed
    assert not decide(ask(JANE, "list", "pods", "other")).allowed
    assert not decide(ask(JANE, "list", "pods")).allowed


def test_accounts_are_subjects_with_and_without_a_namespace() -> None:
    decide = rbac(
        role("r", rule("list", "pods"), namespace="shop"),
        bind("b", "r", "ServiceAccount builder", "ServiceAccount other/tester", namespace="shop", cluster=False),
    )
    assert decide(ask(who("system:serviceaccount:shop:builder"), "list", "pods", "shop")).allowed
    assert decide(ask(who("system:serviceaccount:other:tester"), "list", "pods", "shop")).allowed
    assert not decide(ask(who("system:serviceaccount:other:builder"), "list", "pods", "shop")).allowed


def test_reasons_name_binding_role_and_subject() -> None:
    decide = rbac(
        role("r", rule("list", "pods")),
        role("s", rule("list", "secrets"), namespace="shop"),
        bind("all", "r", "Group devs"),
        bind("some", "s", "ServiceAccount shop/builder", namespace="shop", cluster=False),
    )
    assert (
        decide(ask(JANE, "list", "pods")).reason
        == 'RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "r" to Group "devs"'
    )
    assert (
        decide(ask(who("system:serviceaccount:shop:builder"), "list", "secrets", "shop")).reason
        == 'RBAC: allowed by RoleBinding "some/shop" of Role "s" to ServiceAccount "builder/shop"'
    )


def test_a_missing_role_is_told_when_nothing_else_allows() -> None:
    decide = rbac(bind("b", "gone", "User jane"), bind("c", "lost", "User jane", namespace="shop", cluster=False))
    assert decide(ask(JANE, "list", "pods")).reason == ('RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found')
    assert decide(ask(JANE, "list", "pods", "shop")).reason == (
        'RBAC: [clusterrole.rbac.authorization.k8s.io "gone" not found, '
        'role.rbac.authorization.k8s.io "lost" not found]'
    )


def test_changes_of_roles_and_bindings_count_at_once() -> None:
    view = Memory(role("r", rule("list", "pods")))
    decide = Rbac(view)
    request = ask(JANE, "list", "pods")
    assert not decide(request).allowed
    view.put(bind("b", "r", "User jane"))
    assert decide(request).allowed
    view.put(role("r", rule("list", "services")))
    assert not decide(request).allowed
    assert decide(ask(JANE, "list", "services")).allowed
    view.remove(rbac_v1.ClusterRoleBinding, "b")
    assert not decide(ask(JANE, "list", "services")).allowed


def test_a_rule_with_names_does_not_hide_a_later_one_without() -> None:
    decide = rbac(
        role("a", rule("get", "secrets", names="one")),
        role("b", rule("get", "secrets")),
        bind("a", "a", "User jane"),
        bind("b", "b", "User jane"),
    )
    assert '"a"' in decide(ask(JANE, "get", "secrets", "shop", "one")).reason
    assert '"b"' in decide(ask(JANE, "get", "secrets", "shop", "two")).reason


def test_masters_may_do_everything_without_any_role() -> None:
    decide = Authorization(Memory())
    root = who("root", "system:masters")
    assert decide(ask(root, "delete", "nodes", name="n")).allowed
    assert decide(ask(root, "post", "/anything")).allowed


def test_messages_are_upstreams() -> None:
    user = who("x")
    assert message(ask(user, "list", "pods", "default")) == (
        'User "x" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    assert message(ask(user, "get", "deployments/scale", group="apps")) == (
        'User "x" cannot get resource "deployments/scale" in API group "apps" at the cluster scope'
    )
    assert message(ask(user, "get", "/foo")) == 'User "x" cannot get path "/foo"'


def test_refusals_are_upstreams_status() -> None:
    error = forbidden(ask(who("x"), "get", "pods", "default", "web"))
    assert (error.code, error.reason) == (403, "Forbidden")
    assert error.status.message == (
        'pods "web" is forbidden: User "x" cannot get resource "pods" in API group "" in the namespace "default"'
    )
    assert error.status.details.name == "web" and error.status.details.kind == "pods"
    assert forbidden(ask(who("<b>"), "list", "deployments", group="apps"), "no luck").status.message == (
        'deployments.apps is forbidden: User "&lt;b&gt;" cannot list resource "deployments" in API group "apps" '
        "at the cluster scope: no luck"
    )
    assert forbidden(ask(who("x"), "get", "/foo")).status.message == 'forbidden: User "x" cannot get path "/foo"'


def test_rules_for_lists_the_clusters_and_the_namespaces_rules() -> None:
    decide = rbac(
        role("r", rule("list", "pods")),
        role("s", rule("get", "secrets"), namespace="shop"),
        bind("r", "r", "User jane"),
        bind("s", "s", "User jane", namespace="shop", cluster=False),
        bind("t", "gone", "User jane", namespace="shop", cluster=False),
    )
    rules, errors = decide.rules_for(JANE, "shop")
    assert [r.resources for r in rules] == [("pods",), ("secrets",)]
    assert errors == ['role.rbac.authorization.k8s.io "gone" not found']
    assert [r.resources for r in decide.rules_for(JANE, "other")[0]] == [("pods",)]
