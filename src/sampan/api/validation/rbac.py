"""Rules of roles and their bindings."""

from __future__ import annotations

from collections.abc import Sequence

from sampan.api import names
from sampan.api.errors import FieldError, invalid, not_supported, required
from sampan.api.types import rbac_v1
from sampan.api.validation import checks
from sampan.api.validation.checks import Errors

GROUP = "rbac.authorization.k8s.io"


def validate_role(obj: rbac_v1.Role) -> list[FieldError]:
    errors: Errors = []
    _rules(errors, obj.rules, namespaced=True)
    return errors


def validate_cluster_role(obj: rbac_v1.ClusterRole) -> list[FieldError]:
    errors: Errors = []
    _rules(errors, obj.rules, namespaced=False)
    if obj.aggregationRule is not None:
        path = "aggregationRule.clusterRoleSelectors"
        if not obj.aggregationRule.clusterRoleSelectors:
            errors.append(required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
        for at, selector in enumerate(obj.aggregationRule.clusterRoleSelectors):
            checks.label_selector(errors, selector, f"{path}[{at}]")
    return errors


def _rules(errors: Errors, rules: Sequence[rbac_v1.PolicyRule], *, namespaced: bool) -> None:
    for at, rule in enumerate(rules):
        path = f"rules[{at}]"
        if not rule.verbs:
            errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        if rule.nonResourceURLs:
            if namespaced:
                text = "namespaced rules cannot apply to non-resource URLs"
                errors.append(invalid(f"{path}.nonResourceURLs", rule.nonResourceURLs, text))
            if rule.apiGroups or rule.resources or rule.resourceNames:
                text = "rules cannot apply to both regular resources and non-resource URLs"
                errors.append(invalid(f"{path}.nonResourceURLs", rule.nonResourceURLs, text))
            continue
        if not rule.apiGroups:
            text = "resource rules must supply at least one api group"
            errors.append(required(f"{path}.apiGroups", text))
        if not rule.resources:
            text = "resource rules must supply at least one resource"
            errors.append(required(f"{path}.resources", text))


def validate_role_binding(obj: rbac_v1.RoleBinding) -> list[FieldError]:
    errors: Errors = []
    _role_ref(errors, obj.roleRef, ("ClusterRole", "Role"))
    _subjects(errors, obj.subjects, namespaced=True)
    return errors


def validate_cluster_role_binding(obj: rbac_v1.ClusterRoleBinding) -> list[FieldError]:
    errors: Errors = []
    _role_ref(errors, obj.roleRef, ("ClusterRole",))
    _subjects(errors, obj.subjects, namespaced=False)
    return errors


def _role_ref(errors: Errors, ref: rbac_v1.RoleRef, kinds: tuple[str, ...]) -> None:
    if ref.apiGroup != GROUP:
        errors.append(not_supported("roleRef.apiGroup", ref.apiGroup, (GROUP,)))
    if ref.kind not in kinds:
        errors.append(not_supported("roleRef.kind", ref.kind, kinds))
    if not ref.name:
        errors.append(required("roleRef.name"))
    else:
        checks.named(errors, ref.name, "roleRef.name", names.path_segment)


def _subjects(errors: Errors, subjects: Sequence[rbac_v1.Subject], *, namespaced: bool) -> None:
    for at, subject in enumerate(subjects):
        path = f"subjects[{at}]"
        group = subject.apiGroup or ""
        if not subject.name:
            errors.append(required(f"{path}.name"))
        if subject.kind == "ServiceAccount":
            if subject.name:
                checks.named(errors, subject.name, f"{path}.name", names.dns_subdomain)
            if group:
                errors.append(not_supported(f"{path}.apiGroup", group, ("",)))
            if not namespaced and not subject.namespace:
                errors.append(required(f"{path}.namespace"))
        elif subject.kind in ("User", "Group"):
            if group != GROUP:
                errors.append(not_supported(f"{path}.apiGroup", group, (GROUP,)))
        else:
            errors.append(not_supported(f"{path}.kind", subject.kind, ("ServiceAccount", "User", "Group")))


def validate_binding_update(
    new: rbac_v1.RoleBinding | rbac_v1.ClusterRoleBinding, old: rbac_v1.RoleBinding | rbac_v1.ClusterRoleBinding
) -> list[FieldError]:
    return [] if new.roleRef == old.roleRef else [invalid("roleRef", new.roleRef, "cannot change roleRef")]
