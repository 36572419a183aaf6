"""Role-based access control over the view, with upstream's meaning and words.

Answers are remembered by who, what and where, and forgotten together as soon as any role or binding changes;
a warm answer costs four generation checks and one look-up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sampan.api.errors import StatusError, not_found_error, show
from sampan.api.types import rbac_v1
from sampan.api.types.rbac_v1 import PolicyRule
from sampan.api.user import User
from sampan.apiserver.authn import users
from sampan.apiserver.authz.rules import Compiled, resource_names
from sampan.apiserver.contracts import Attributes, Decision, View

GROUP = "rbac.authorization.k8s.io"
REMEMBERED = 16384
"""Answers, and as many sets of rules, kept before all are forgotten."""

_TYPES = (rbac_v1.Role, rbac_v1.RoleBinding, rbac_v1.ClusterRole, rbac_v1.ClusterRoleBinding)
Binding = rbac_v1.ClusterRoleBinding | rbac_v1.RoleBinding


class Grant(NamedTuple):
    """A rule that a user has, and by which binding."""

    rule: Compiled
    decision: Decision


class Grants(NamedTuple):
    """All that a user has in one place; `errors` are roles that bindings name and nobody made."""

    grants: tuple[Grant, ...]
    paths: tuple[Grant, ...]
    """Those of the grants that are about paths."""
    errors: tuple[str, ...]


class Answer(NamedTuple):
    """What a request gets: `named` holds for some names, `otherwise` for all others."""

    named: tuple[tuple[frozenset[str], Decision], ...]
    otherwise: Decision


class _Bound(NamedTuple):
    order: int
    binding: Binding
    subject: rbac_v1.Subject


_Question = tuple[str, tuple[str, ...], str, str, str, str, str]
"""User, groups, verb, group, resource, subresource, namespace."""


class Rbac:
    """An Authorizer; `rules_for` and `role_rules` serve reviews and the check against escalation."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._generations: tuple[int, ...] = ()
        self._cluster: dict[tuple[str, str], list[_Bound]] = {}
        self._namespaced: dict[tuple[str, str, str], list[_Bound]] = {}
        self._grants: dict[tuple[str, tuple[str, ...], str], Grants] = {}
        self._compiled: dict[PolicyRule, Compiled] = {}
        self._answers: dict[_Question, Answer] = {}

    def __call__(self, attributes: Attributes) -> Decision:
        self._refresh()
        user = attributes.user
        if not attributes.is_resource:
            return self._path(attributes)
        key = (
            user.name,
            user.groups,
            attributes.verb,
            attributes.group,
            attributes.resource,
            attributes.subresource,
            attributes.namespace,
        )
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answer(attributes)
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            self._answers[key] = answer
        for names, decision in answer.named:
            if attributes.name in names:
                return decision
        return answer.otherwise

    def _answer(self, attributes: Attributes) -> Answer:
        found = self._granted(attributes.user, attributes.namespace)
        combined, every = resource_names(attributes)
        named: list[tuple[frozenset[str], Decision]] = []
        for rule, decision in found.grants:
            if rule.covers_kind(attributes.verb, attributes.group, combined, every):
                if not rule.names:
                    return Answer(tuple(named), decision)
                named.append((rule.names, decision))
        return Answer(tuple(named), _denied(found.errors))

    def _path(self, attributes: Attributes) -> Decision:
        """Paths are few for honest clients and endless for others, so their answers are not kept."""
        found = self._granted(attributes.user, "")
        for rule, decision in found.paths:
            if rule.covers_path(attributes.verb, attributes.path):
                return decision
        return _denied(found.errors)

    def rules_for(self, user: User, namespace: str) -> tuple[list[PolicyRule], list[str]]:
        """(the user's rules in a namespace and everywhere, errors met on the way)."""
        self._refresh()
        found = self._granted(user, namespace)
        return [grant.rule.rule for grant in found.grants], list(found.errors)

    def role_rules(self, reference: rbac_v1.RoleRef, namespace: str) -> tuple[PolicyRule, ...]:
        """Raises NotFound in upstream's words, or BadRequest for a reference to another kind."""
        if reference.kind == "ClusterRole":
            cluster_role = self._view.get(rbac_v1.ClusterRole, reference.name)
            if cluster_role is None:
                raise not_found_error("clusterrole", GROUP, reference.name)
            return cluster_role.rules
        role = self._view.get(rbac_v1.Role, reference.name, namespace) if reference.kind == "Role" else None
        if role is None:
            raise not_found_error("role", GROUP, reference.name)
        return role.rules

    # --- what a user has

    def _refresh(self) -> None:
        generation = self._view.generation
        now = tuple([generation(type) for type in _TYPES])
        if now != self._generations:
            self._index()
            self._answers.clear()
            self._grants.clear()
            self._compiled.clear()
            self._generations = now

    def _index(self) -> None:
        """Bindings by their subjects, in the order of their names so that reasons do not vary."""
        self._cluster, self._namespaced = {}, {}
        for order, cluster_binding in enumerate(_sorted(self._view.list(rbac_v1.ClusterRoleBinding))):
            for subject in cluster_binding.subjects:
                key = _subject_key(subject, "")
                if key is not None:
                    self._cluster.setdefault(key, []).append(_Bound(order, cluster_binding, subject))
        for order, binding in enumerate(_sorted(self._view.list(rbac_v1.RoleBinding))):
            namespace = binding.metadata.namespace or ""
            for subject in binding.subjects:
                key = _subject_key(subject, namespace)
                if key is not None:
                    self._namespaced.setdefault((namespace, *key), []).append(_Bound(order, binding, subject))

    def _granted(self, user: User, namespace: str) -> Grants:
        key = (user.name, user.groups, namespace)
        found = self._grants.get(key)
        if found is None:
            if len(self._grants) >= REMEMBERED:
                self._grants.clear()
            self._grants[key] = found = self._collect(user, namespace)
        return found

    def _collect(self, user: User, namespace: str) -> Grants:
        grants: list[Grant] = []
        errors: dict[str, None] = {}
        for bound in self._bindings(user, namespace):
            reference = bound.binding.roleRef
            try:
                rules = self.role_rules(reference, bound.binding.metadata.namespace or "")
            except StatusError as error:
                errors[str(error)] = None
                continue
            decision = Decision(True, f"RBAC: allowed by {_describe(bound)}")
            grants += [Grant(self._compile(rule), decision) for rule in rules]
        paths = tuple(grant for grant in grants if grant.rule.rule.nonResourceURLs)
        return Grants(tuple(grants), paths, tuple(errors))

    def _bindings(self, user: User, namespace: str) -> Iterator[_Bound]:
        """Cluster bindings before the namespace's; one that names a user twice counts once."""
        keys = [("User", user.name), *(("Group", group) for group in user.groups)]
        yield from _first_of_each(b for key in keys for b in self._cluster.get(key, ()))
        if namespace:
            yield from _first_of_each(b for key in keys for b in self._namespaced.get((namespace, *key), ()))

    def _compile(self, rule: PolicyRule) -> Compiled:
        made = self._compiled.get(rule)
        if made is None:
            made = self._compiled[rule] = Compiled(rule)
        return made


def _first_of_each(found: Iterator[_Bound]) -> list[_Bound]:
    firsts: dict[int, _Bound] = {}
    for bound in found:
        firsts.setdefault(bound.order, bound)
    return [firsts[order] for order in sorted(firsts)]


def _sorted(bindings: Sequence[Binding]) -> list[Binding]:
    return sorted(bindings, key=lambda b: (b.metadata.namespace or "", b.metadata.name or ""))


def _subject_key(subject: rbac_v1.Subject, namespace: str) -> tuple[str, str] | None:
    """Accounts are users; one without a namespace is of the binding's."""
    if subject.kind == "ServiceAccount":
        home = subject.namespace or namespace
        return ("User", users.service_account(home, subject.name)) if home else None
    return (subject.kind, subject.name) if subject.kind in ("User", "Group") else None


def _describe(bound: _Bound) -> str:
    """`RoleBinding "b/ns" of ClusterRole "r" to User "u"`."""
    binding, subject = bound.binding, bound.subject
    kind = "RoleBinding" if isinstance(binding, rbac_v1.RoleBinding) else "ClusterRoleBinding"
    name = f"{binding.metadata.name}/{binding.metadata.namespace}" if kind == "RoleBinding" else binding.metadata.name
    who = f"{subject.name}/{subject.namespace or ''}" if subject.kind == "ServiceAccount" else subject.name
    return f"{kind} {show(name)} of {binding.roleRef.kind} {show(binding.roleRef.name)} to {subject.kind} {show(who)}"


def _denied(errors: Sequence[str]) -> Decision:
    if not errors:
        return _NO
    text = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
    return Decision(False, f"RBAC: {text}")


_NO = Decision(False)
