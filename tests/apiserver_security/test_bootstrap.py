from __future__ import annotations

import copy

import pytest

from sampan.api import codec, kinds
from sampan.api.user import User
from sampan.apiserver.authn import users
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.bootstrap import controllers, documents
from tests.apiserver_security.memory import Memory, ask, kind, who

ALL = documents.documents()
BY_NAME = {(k.name, d["metadata"].get("namespace", ""), d["metadata"]["name"]): d for k, d in ALL}


def cluster() -> Memory:
    return Memory(*[copy.deepcopy(document) for _, document in ALL])


@pytest.mark.parametrize(("kind", "document"), ALL, ids=lambda v: v["metadata"]["name"] if isinstance(v, dict) else "")
def test_every_document_is_valid_and_has_only_known_fields(kind, document) -> None:
    struct = codec.decode(kind, document)
    assert kind.validate(struct) == []
    assert codec.unknown_fields(kind, document) == []


def test_names_are_unique_and_namespaces_come_first() -> None:
    assert len(BY_NAME) == len(ALL)
    assert [d["metadata"]["name"] for _, d in ALL[:4]] == ["default", "kube-system", "kube-public", "kube-node-lease"]


def test_every_binding_names_a_role_that_is_there() -> None:
    for (name, namespace, _), document in BY_NAME.items():
        if name.endswith("Binding"):
            reference = document["roleRef"]
            home = "" if reference["kind"] == "ClusterRole" else namespace
            assert (reference["kind"], home, reference["name"]) in BY_NAME


def test_default_roles_carry_upstreams_marks() -> None:
    edit = BY_NAME["ClusterRole", "", "edit"]
    assert edit["metadata"]["labels"] == {
        "kubernetes.io/bootstrapping": "rbac-defaults",
        "rbac.authorization.k8s.io/aggregate-to-admin": "true",
    }
    assert edit["metadata"]["annotations"] == {"rbac.authorization.kubernetes.io/autoupdate": "true"}
    assert edit["aggregationRule"] == {
        "clusterRoleSelectors": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}]
    }


@pytest.mark.parametrize(
    ("role", "verb", "resource", "group", "allowed"),
    [
        ("view", "list", "pods", "", True),
        ("view", "get", "pods/log", "", True),
        ("view", "get", "secrets", "", False),
        ("view", "create", "pods", "", False),
        ("edit", "get", "secrets", "", True),
        ("edit", "create", "pods/exec", "", True),
        ("edit", "create", "deployments", "apps", True),
        ("edit", "create", "roles", "rbac.authorization.k8s.io", False),
        ("admin", "create", "rolebindings", "rbac.authorization.k8s.io", True),
        ("admin", "create", "pods", "", True),
        ("admin", "update", "resourcequotas", "", False),
        ("cluster-admin", "delete", "anything", "example.com", True),
        ("system:controller:deployment-controller", "create", "replicasets", "apps", True),
        ("system:controller:deployment-controller", "create", "pods", "", False),
        ("system:controller:horizontal-pod-autoscaler", "update", "things/scale", "example.com", True),
        ("system:kube-scheduler", "create", "pods/binding", "", True),
        ("system:kube-scheduler", "create", "pods", "", False),
    ],
)
def test_what_default_roles_allow(role, verb, resource, group, allowed) -> None:
    view = cluster()
    reference = {"apiGroup": documents.GROUP, "kind": "ClusterRole", "name": role}
    subject = {"apiGroup": documents.GROUP, "kind": "User", "name": "jane"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b", "namespace": "shop"},
        "roleRef": reference,
        "subjects": [subject],
    }
    view.put(binding)
    decide = Authorization(view)
    assert decide(ask(who("jane"), verb, resource, "shop", group=group)).allowed is allowed
    assert not decide(ask(who("jane"), verb, resource, "other", group=group)).allowed


VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "escalate")
PUBLIC = {"/healthz", "/livez", "/readyz", "/version", "/version/"}
PATHS = (*PUBLIC, "/", "/api", "/apis", "/metrics", "/openapi/v2", "/openid/v1/jwks", "/healthz/etcd", "/logs")


def test_the_anonymous_user_sees_public_information_and_nothing_else() -> None:
    decide = Authorization(cluster())
    for each in kinds.ALL:
        for resource in (each.plural, *(f"{each.plural}/{part.name}" for part in each.subresources)):
            for verb in VERBS:
                for namespace in ("", "kube-public"):
                    asked = ask(users.NOBODY, verb, resource, namespace, group=each.group)
                    assert not decide(asked).allowed, (verb, resource)
    for verb in ("get", "post", "put", "patch", "delete", "head"):
        for path in PATHS:
            assert decide(ask(users.NOBODY, verb, path)).allowed is (verb == "get" and path in PUBLIC), (verb, path)


def test_somebody_known_may_discover_and_ask_about_herself() -> None:
    decide = Authorization(cluster())
    jane = who("jane", users.AUTHENTICATED)
    for path in ("/api", "/apis/apps/v1", "/openapi/v3", "/version"):
        assert decide(ask(jane, "get", path)).allowed
    assert decide(ask(jane, "create", "selfsubjectaccessreviews", group="authorization.k8s.io")).allowed
    assert decide(ask(jane, "create", "selfsubjectreviews", group="authentication.k8s.io")).allowed
    assert not decide(ask(jane, "create", "subjectaccessreviews", group="authorization.k8s.io")).allowed
    assert not decide(ask(jane, "list", "pods", "default")).allowed


def test_accounts_may_read_the_issuers_documents() -> None:
    decide = Authorization(cluster())
    account = User("system:serviceaccount:a:b", groups=(*users.service_account_groups("a"), users.AUTHENTICATED))
    assert decide(ask(account, "get", "/.well-known/openid-configuration")).allowed
    assert decide(ask(account, "get", "/openid/v1/jwks")).allowed


def test_the_controller_manager_has_what_each_controller_has() -> None:
    decide = Authorization(cluster())
    manager = who("system:kube-controller-manager", users.AUTHENTICATED)
    for name in controllers.CONTROLLERS:
        account = User(f"system:serviceaccount:kube-system:{name}", groups=users.service_account_groups("kube-system"))
        rules, errors = decide.rules_for(account, "default")
        assert rules and not errors
    assert decide(ask(manager, "create", "replicasets", "default", group="apps")).allowed
    assert decide(ask(manager, "update", "pods/status", "default")).allowed
    assert not decide(ask(manager, "impersonate", "users", name="root")).allowed


def test_a_start_makes_everything_once_and_nothing_the_second_time() -> None:
    first = documents.changes(Memory())
    assert [c.action for c in first] == ["create"] * len(ALL)
    assert documents.changes(cluster()) == []


def test_a_start_restores_what_is_missing_and_keeps_what_was_added() -> None:
    view = cluster()
    changed = copy.deepcopy(BY_NAME["ClusterRole", "", "system:node-proxier"])
    changed["rules"] = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch", "delete"]}]
    del changed["metadata"]["labels"]
    view.put(changed)
    binding = copy.deepcopy(BY_NAME["ClusterRoleBinding", "", "system:public-info-viewer"])
    removed = binding["subjects"].pop()
    binding["subjects"].append({"apiGroup": documents.GROUP, "kind": "User", "name": "monitor"})
    view.put(binding)
    updates = {c.document["metadata"]["name"]: c.document for c in documents.changes(view)}
    assert set(updates) == {"system:node-proxier", "system:public-info-viewer"}
    proxier = updates["system:node-proxier"]
    assert proxier["metadata"]["labels"] == {"kubernetes.io/bootstrapping": "rbac-defaults"}
    assert proxier["rules"][0]["verbs"] == ["get", "list", "watch", "delete"]
    servicecidrs = {"apiGroups": ["networking.k8s.io"], "resources": ["servicecidrs"], "verbs": ["list", "watch"]}
    assert servicecidrs in proxier["rules"]
    assert [s["name"] for s in updates["system:public-info-viewer"]["subjects"]] == [
        "system:authenticated",
        "monitor",
        removed["name"],
    ]


def test_autoupdate_false_keeps_a_role_as_it_is() -> None:
    view = cluster()
    changed = copy.deepcopy(BY_NAME["ClusterRole", "", "system:discovery"])
    changed["rules"] = []
    changed["metadata"]["annotations"] = {documents.AUTOUPDATE: "false"}
    view.put(changed)
    assert documents.changes(view) == []


def test_aggregated_roles_start_with_what_the_controller_would_give_them() -> None:
    admin = BY_NAME["ClusterRole", "", "admin"]["rules"]
    for part in ("system:aggregate-to-admin", "system:aggregate-to-edit", "system:aggregate-to-view"):
        for each in BY_NAME["ClusterRole", "", part]["rules"]:
            assert each in admin


def test_priority_classes_are_upstreams() -> None:
    assert BY_NAME["PriorityClass", "", "system-node-critical"]["value"] == 2000001000
    assert BY_NAME["PriorityClass", "", "system-cluster-critical"]["value"] == 2000000000
    assert kind("PriorityClass").api_version == "scheduling.k8s.io/v1"
