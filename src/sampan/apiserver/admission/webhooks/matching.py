"""Which webhook is asked about a write, and in which version of the resource it wants to see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import admissionregistration_v1 as v1
from sampan.api.types import core_v1
from sampan.apiserver.admission.base import metadata
from sampan.apiserver.admission.webhooks.hooks import Hook
from sampan.apiserver.contracts import Admission, View

GROUP = "admissionregistration.k8s.io"
NAMESPACES = "namespaces"
Equivalents = Callable[[Kind], Sequence[Kind]]
"""The other kinds by which the same stored objects are served."""


def is_exempt(admission: Admission) -> bool:
    """What no webhook is asked about.

    Its own configuration, by which a broken one can always be mended; what the server itself writes, which has to
    come up before any webhook can; and our own second step of a binding or an eviction, which upstream does not have.
    """
    asked = admission.attributes
    if asked.group == GROUP or asked.user.name == "system:apiserver":
        return True
    second = {"binding": "UPDATE", "eviction": "DELETE"}.get(asked.subresource)
    return second == admission.operation


def match(hook: Hook, admission: Admission, view: View, equivalents: Equivalents) -> Kind | None:
    """The kind as which the webhook sees the object, None when it is not asked."""
    found = _by_rules(hook.webhook, admission, equivalents)
    if found is None or not _by_namespace(hook, admission, view) or not _by_object(hook, admission):
        return None
    return found


def _by_rules(
    webhook: v1.MutatingWebhook | v1.ValidatingWebhook, admission: Admission, others: Equivalents
) -> Kind | None:
    candidates = [admission.kind]
    if webhook.matchPolicy != "Exact":
        candidates += others(admission.kind)
    for kind in candidates:
        if any(_rule(rule, kind, admission) for rule in webhook.rules):
            return kind
    return None


def _rule(rule: v1.RuleWithOperations, kind: Kind, admission: Admission) -> bool:
    return (
        _has(rule.operations, admission.operation)
        and _has(rule.apiGroups, kind.group)
        and _has(rule.apiVersions, kind.version)
        and _scoped(rule.scope, admission)
        and any(_resource(each, kind.plural, admission.attributes.subresource) for each in rule.resources)
    )


def _has(values: Sequence[str], value: str) -> bool:
    return "*" in values or value in values


def _resource(wanted: str, plural: str, part: str) -> bool:
    resource, _, subresource = wanted.partition("/")
    return resource in ("*", plural) and subresource in ("*", part)


def _scoped(scope: str | None, admission: Admission) -> bool:
    if scope in (None, "*"):
        return True
    inside = bool(admission.attributes.namespace) and admission.kind.resource != NAMESPACES
    return inside == (scope == "Namespaced")


def _by_namespace(hook: Hook, admission: Admission, view: View) -> bool:
    if hook.namespaces.empty:
        return True
    if admission.kind.resource == NAMESPACES:
        return hook.namespaces.matches(labels_of(admission.document or admission.old))
    name = admission.attributes.namespace
    if not name:
        return True
    namespace = view.get(core_v1.Namespace, name)
    return hook.namespaces.matches(namespace.metadata.labels if namespace is not None else {})


def _by_object(hook: Hook, admission: Admission) -> bool:
    """The object as it was or as it shall be: nobody gets around a webhook by taking a label away."""
    if hook.objects.empty:
        return True
    return any(
        hook.objects.matches(labels_of(each)) for each in (admission.document, admission.old) if each is not None
    )


def labels_of(document: Document | None) -> Mapping[str, str]:
    labels = metadata(document or {}).get("labels")
    return labels if isinstance(labels, dict) else {}
