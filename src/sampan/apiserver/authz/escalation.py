"""Nobody grants by a role or binding what they do not have themselves, unless they may `escalate` or `bind`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sampan.api.errors import StatusError, forbidden_error, show
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import rbac_v1
from sampan.api.types.rbac_v1 import PolicyRule
from sampan.api.user import User
from sampan.apiserver.authn import users
from sampan.apiserver.authz.covers import missing
from sampan.apiserver.authz.rbac import GROUP, Rbac
from sampan.apiserver.contracts import Attributes, Authorizer

KINDS = ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
_EVERYTHING = (
    PolicyRule(verbs=("*",), apiGroups=("*",), resources=("*",)),
    PolicyRule(verbs=("*",), nonResourceURLs=("*",)),
)


_UNJUDGED = ("finalizers", "generation", "managedFields", "ownerReferences", "resourceVersion")


class Escalation:
    """Judges writes of the four kinds of RBAC; call `check` with the final document, before it is stored."""

    def __init__(self, rbac: Rbac, authorize: Authorizer) -> None:
        self._rbac = rbac
        self._authorize = authorize

    def check(self, user: User, kind: Kind, document: Document, old: Document | None = None) -> None:
        """Raises Forbidden for what the user may not hand out, NotFound for a binding to a role that is not there."""
        if kind.group != GROUP or kind.plural not in KINDS or users.MASTERS in user.groups:
            return
        # Labels count: they decide which aggregated roles take a role in.
        if old is not None and _judged(document) == _judged(old):
            return
        if kind.plural in ("roles", "clusterroles"):
            self._check_role(user, kind, document, old)
        else:
            self._check_binding(user, kind, document, old)

    def _check_role(self, user: User, kind: Kind, document: Document, old: Document | None) -> None:
        aggregated = any(
            (each.get("aggregationRule") or {}).get("clusterRoleSelectors") for each in (document, old or {})
        )
        metadata = document.get("metadata", {})
        name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
        verb = "create" if old is None else "update"
        if self._allowed(user, "escalate", kind.plural, name, namespace, path_verb=verb):
            return
        self._confirm(user, kind, name, namespace, _rules(document))
        # An aggregated role takes in whatever matches later, so it asks for everything now.
        if aggregated and missing(self._rbac.rules_for(user, namespace)[0], _EVERYTHING):
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise forbidden_error(kind.plural, GROUP, name, why)

    def _check_binding(self, user: User, kind: Kind, document: Document, old: Document | None) -> None:
        metadata = document.get("metadata", {})
        name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
        reference = msgspec.convert(document.get("roleRef") or {}, rbac_v1.RoleRef)
        plural = "clusterroles" if reference.kind == "ClusterRole" else "roles"
        if self._allowed(user, "bind", plural, reference.name, namespace):
            return
        rules = self._rbac.role_rules(reference, namespace)
        self._confirm(user, kind, name, namespace, rules)

    def _allowed(self, user: User, verb: str, plural: str, name: str, namespace: str, path_verb: str = "") -> bool:
        # A role that is being created has no name that a rule could be limited to.
        target = "" if path_verb == "create" else name
        attributes = Attributes(user, verb, "", True, GROUP, "v1", plural, "", namespace, target)
        return self._authorize(attributes).allowed

    def _confirm(self, user: User, kind: Kind, name: str, namespace: str, rules: Sequence[PolicyRule]) -> None:
        held, errors = self._rbac.rules_for(user, namespace)
        lacking = missing(held, rules)
        if lacking:
            raise _refusal(user, kind, name, lacking, errors)


def _refusal(user: User, kind: Kind, name: str, lacking: Sequence[PolicyRule], errors: Sequence[str]) -> StatusError:
    listed = "\n".join(sorted({describe(rule) for rule in lacking}))
    why = (
        f"user {show(user.name)} (groups={_quoted(user.groups)}) is attempting to grant RBAC permissions "
        f"not currently held:\n{listed}"
    )
    if errors:
        why += f"; resolution errors: [{' '.join(errors)}]"
    return forbidden_error(kind.plural, GROUP, name, why)


def describe(rule: PolicyRule) -> str:
    """`{APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}`, as upstream prints a rule."""
    parts = (
        ("APIGroups", rule.apiGroups),
        ("Resources", rule.resources),
        ("NonResourceURLs", rule.nonResourceURLs),
        ("ResourceNames", rule.resourceNames),
        ("Verbs", rule.verbs),
    )
    return "{" + ", ".join(f"{name}:{_quoted(values)}" for name, values in parts if values) + "}"


def _quoted(values: Sequence[str]) -> str:
    return f"[{' '.join(show(value) for value in values)}]"


def _judged(document: Document) -> Document:
    """The document without what garbage collection and bookkeeping change."""
    metadata = {key: value for key, value in document.get("metadata", {}).items() if key not in _UNJUDGED}
    return {**document, "metadata": metadata}


def _rules(document: Document) -> tuple[PolicyRule, ...]:
    rules: tuple[PolicyRule, ...] = msgspec.convert(document.get("rules") or [], tuple[PolicyRule, ...])
    return rules
