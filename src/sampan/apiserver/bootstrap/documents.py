"""The objects that every cluster starts with, and what is missing of them.

Roles and bindings are brought up to date at each start: rules, subjects and labels that are missing come back,
what was added stays; the annotation `rbac.authorization.kubernetes.io/autoupdate: "false"` keeps one as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from sampan.api import codec
from sampan.api.kinds import core, rbac, scheduling
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types.rbac_v1 import PolicyRule
from sampan.apiserver.authz.covers import missing
from sampan.apiserver.bootstrap import controllers, namespaced, roles
from sampan.apiserver.bootstrap.rules import ALL, EVENTS, READ, rule
from sampan.apiserver.contracts import View

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
PRIORITIES = (
    (
        "system-node-critical",
        2000001000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2000000000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
)
GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}

OURS: dict[str, tuple[tuple[Document, ...], tuple[str, ...]]] = {
    # One process runs all controllers under one name, so that name has what upstream gives to each of them.
    "sampan:controller-manager": (
        controllers.together(),
        ("User system:kube-controller-manager",),
    ),
    # Apps become plain objects; the controller reads logs to tell why a release failed.
    "sampan:app-controller": (
        (
            rule(READ, "sampan.dev", "apps"),
            rule("update patch", "sampan.dev", "apps/status apps/finalizers"),
            rule(ALL, "core", "configmaps persistentvolumeclaims secrets services"),
            rule(ALL, "apps", "controllerrevisions daemonsets deployments statefulsets"),
            rule(ALL, "batch", "cronjobs jobs"),
            rule(ALL, "autoscaling", "horizontalpodautoscalers"),
            rule(ALL, "networking.k8s.io", "ingresses"),
            rule("get", "core", "pods/log"),
            rule(READ, "metrics.k8s.io", "pods"),
            EVENTS,
        ),
        ("User system:kube-controller-manager",),
    ),
    # A node's process is also its service proxy and its DNS server.
    "sampan:node": (
        (
            rule(READ, "core", "endpoints namespaces nodes pods services"),
            rule(READ, "discovery.k8s.io", "endpointslices"),
            rule(READ, "networking.k8s.io", "ingresses networkpolicies servicecidrs"),
            EVENTS,
        ),
        ("Group system:nodes",),
    ),
}
"""Roles that come with Sampan: name -> (rules, subjects)."""


class Change(NamedTuple):
    """A write that a start needs."""

    action: Literal["create", "update"]
    kind: Kind
    document: Document


def documents() -> Sequence[tuple[Kind, Document]]:
    """Everything in the order in which it can be made; each document is the caller's own."""
    return [*_cluster_objects(), *_cluster_roles(), *_cluster_bindings(), *_namespaced()]


def changes(view: View) -> list[Change]:
    """What a start has to write so that everything is there, given what is."""
    made: list[Change] = []
    for kind, document in documents():
        metadata = document["metadata"]
        existing = view.get(kind.type, metadata["name"], metadata.get("namespace", ""))
        if existing is None:
            made.append(Change("create", kind, document))
        elif kind.group == GROUP:
            improved = reconcile(document, codec.document(existing))
            if improved is not None:
                made.append(Change("update", kind, improved))
    return made


def reconcile(wanted: Document, existing: Document) -> Document | None:
    """The existing role or binding with what it lacks, None when it lacks nothing or wants to stay as it is.

    A binding to another role than ours keeps it: its roleRef cannot change.
    """
    annotations = existing.get("metadata", {}).get("annotations", {})
    if annotations.get(AUTOUPDATE) == "false":
        return None
    made = copy.deepcopy(existing)
    metadata = made.setdefault("metadata", {})
    for part in ("labels", "annotations"):
        for key, value in wanted["metadata"].get(part, {}).items():
            metadata.setdefault(part, {}).setdefault(key, value)
    if "roleRef" in wanted:
        if made.get("roleRef") == wanted["roleRef"]:
            _add(made, "subjects", wanted.get("subjects", ()))
    elif "aggregationRule" in wanted:
        rule = made.setdefault("aggregationRule", {})
        _add(rule, "clusterRoleSelectors", wanted["aggregationRule"]["clusterRoleSelectors"])
    else:
        if made.get("rules") == wanted["rules"]:
            return made if made != existing else None
        held = msgspec.convert(made.get("rules") or [], tuple[PolicyRule, ...])
        lacking = missing(held, msgspec.convert(wanted["rules"], tuple[PolicyRule, ...]))
        if lacking:
            made["rules"] = [*(made.get("rules") or []), *(codec.document(each) for each in lacking)]
    return made if made != existing else None


def _add(owner: Document, part: str, wanted: Sequence[Any]) -> None:
    lacking = [each for each in wanted if each not in owner.get(part, ())]
    if lacking:
        owner[part] = [*owner.get(part, ()), *lacking]


# --- making the documents


def _object(kind: Kind, name: str, namespace: str = "", **rest: Any) -> tuple[Kind, Document]:
    metadata: Document = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    return kind, {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **rest}


def _default(
    kind: Kind, name: str, namespace: str = "", labels: dict[str, str] | None = None, **rest: Any
) -> tuple[Kind, Document]:
    """A role or binding with the marks of a default one."""
    made = _object(kind, name, namespace, **copy.deepcopy(rest))
    made[1]["metadata"] |= {"labels": {**_LABELS, **(labels or {})}, "annotations": {AUTOUPDATE: "true"}}
    return made


def _cluster_objects() -> Iterator[tuple[Kind, Document]]:
    for name in NAMESPACES:
        yield _object(core.NAMESPACE, name)
    for name, value, description in PRIORITIES:
        yield _object(
            scheduling.PRIORITY_CLASS,
            name,
            value=value,
            description=description,
            preemptionPolicy="PreemptLowerPriority",
        )


def _cluster_roles() -> Iterator[tuple[Kind, Document]]:
    for name, role in roles.ROLES.items():
        labels = {f"{roles.AGGREGATE}{role.feeds}": "true"} if role.feeds else None
        if role.gathers:
            selector = {"matchLabels": {f"{roles.AGGREGATE}{role.gathers}": "true"}}
            yield _default(
                rbac.CLUSTER_ROLE,
                name,
                labels=labels,
                aggregationRule={"clusterRoleSelectors": [selector]},
                rules=gathered(role.gathers),
            )
        else:
            yield _default(rbac.CLUSTER_ROLE, name, labels=labels, rules=list(role.rules))
    for name, rules in controllers.CONTROLLERS.items():
        yield _default(rbac.CLUSTER_ROLE, controllers.PREFIX + name, rules=list(rules))
    for name, (rules, _) in OURS.items():
        yield _default(rbac.CLUSTER_ROLE, name, rules=list(rules))


def gathered(word: str) -> list[Document]:
    """What an aggregated role consists of at the beginning, as the controller puts it together later."""
    found: list[Document] = []
    for _, role in sorted(roles.ROLES.items()):
        if role.feeds == word:
            rules = gathered(role.gathers) if role.gathers else role.rules
            found += [each for each in rules if each not in found]
    return found


def _cluster_bindings() -> Iterator[tuple[Kind, Document]]:
    bindings = dict(roles.BINDINGS)
    for name in controllers.CONTROLLERS:
        bindings[controllers.PREFIX + name] = (f"ServiceAccount kube-system/{name}",)
    for name, (_, subjects) in OURS.items():
        bindings[name] = subjects
    for name, subjects in bindings.items():
        yield _default(rbac.CLUSTER_ROLE_BINDING, name, roleRef=_reference("ClusterRole", name), **_subjects(subjects))


def _namespaced() -> Iterator[tuple[Kind, Document]]:
    for (namespace, name), rules in namespaced.ROLES.items():
        yield _default(rbac.ROLE, name, namespace, rules=list(rules))
    for (namespace, name), (role, subjects) in namespaced.BINDINGS.items():
        yield _default(rbac.ROLE_BINDING, name, namespace, roleRef=_reference("Role", role), **_subjects(subjects))


def _reference(kind: str, name: str) -> Document:
    return {"apiGroup": GROUP, "kind": kind, "name": name}


def _subjects(words: Sequence[str]) -> Document:
    """`User x`, `Group x`, `ServiceAccount namespace/name`."""
    made = []
    for kind, _, name in (word.partition(" ") for word in words):
        if kind == "ServiceAccount":
            namespace, _, name = name.partition("/")
            made.append({"kind": kind, "name": name, "namespace": namespace})
        else:
            made.append({"apiGroup": GROUP, "kind": kind, "name": name})
    return {"subjects": made} if made else {}
