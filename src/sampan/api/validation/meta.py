"""Rules of metadata, the same for every kind besides how its names look."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sampan.api import names
from sampan.api.errors import FieldError, forbidden, invalid, required, show, too_long
from sampan.api.types import meta_v1

if TYPE_CHECKING:
    from sampan.api.kinds.kind import Kind

Errors = list[FieldError]
Rule = Callable[[str], list[str]]

ANNOTATIONS_LIMIT = 256 * 1024
IMMUTABLE = "field is immutable"


def cron_job_name(text: str) -> list[str]:
    """The controller appends 11 characters, and a Job's name may have 63."""
    found = names.dns_subdomain(text)
    return [*found, "must be no more than 52 characters"] if len(text) > 52 else found


RULES: Mapping[tuple[str, str], Rule] = {
    ("", "Namespace"): names.dns_label,
    ("", "Service"): names.dns1035_label,
    ("batch", "CronJob"): cron_job_name,
    ("certificates.k8s.io", "CertificateSigningRequest"): names.path_segment,
    ("rbac.authorization.k8s.io", "ClusterRole"): names.path_segment,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): names.path_segment,
    ("rbac.authorization.k8s.io", "Role"): names.path_segment,
    ("rbac.authorization.k8s.io", "RoleBinding"): names.path_segment,
    ("networking.k8s.io", "IPAddress"): names.path_segment,
    ("certificates.k8s.io", "ClusterTrustBundle"): names.path_segment,
    ("apiregistration.k8s.io", "APIService"): names.path_segment,
    ("policy", "PodDisruptionBudget"): names.dns_subdomain,
}
STANDARD_FINALIZERS = frozenset(("kubernetes", "orphan", "foregroundDeletion"))
_NO_META = meta_v1.ObjectMeta()


def validate(kind: Kind, obj: Any) -> Errors:
    """Complaints about a new object's metadata; the server has generated its name already."""
    meta: meta_v1.ObjectMeta = getattr(obj, "metadata", _NO_META)
    errors: Errors = []
    rule = RULES.get((kind.group, kind.name), names.dns_subdomain)
    if meta.generateName:
        prefix = f"{meta.generateName[:-1]}a" if meta.generateName.endswith("-") else meta.generateName
        errors += [invalid("metadata.generateName", meta.generateName, text) for text in rule(prefix)]
    if not meta.name:
        errors.append(required("metadata.name", "name or generateName is required"))
    elif problems := rule(meta.name):
        errors += [invalid("metadata.name", meta.name, text) for text in problems]
    if not kind.namespaced:
        if meta.namespace:
            errors.append(forbidden("metadata.namespace", "not allowed on this type"))
    elif not meta.namespace:
        errors.append(required("metadata.namespace"))
    elif problems := names.dns_label(meta.namespace):
        errors += [invalid("metadata.namespace", meta.namespace, text) for text in problems]
    common(errors, meta, "metadata", short_finalizers=_own_finalizers(kind))
    return errors


def common(errors: Errors, meta: meta_v1.ObjectMeta, path: str, *, short_finalizers: bool = False) -> None:
    """What holds on creation and on every update, and for the metadata of templates."""
    if meta.generation is not None and meta.generation < 0:
        errors.append(invalid(f"{path}.generation", meta.generation, "must be greater than or equal to 0"))
    if meta.labels:
        labels(errors, meta.labels, f"{path}.labels")
    if meta.annotations:
        annotation_map(errors, meta.annotations, f"{path}.annotations")
    if meta.ownerReferences:
        _owners(errors, meta.ownerReferences, f"{path}.ownerReferences")
    if meta.finalizers:
        _finalizers(errors, meta.finalizers, f"{path}.finalizers", short_finalizers)


def _own_finalizers(kind: Kind) -> bool:
    """Whether finalizers need no domain: of definitions and custom resources."""
    return kind.custom is not None or kind.group == "apiextensions.k8s.io"


def labels(errors: Errors, values: Mapping[str, str], path: str) -> None:
    for key, value in values.items():
        if problems := names.qualified_name(key):
            errors += [invalid(path, key, text) for text in problems]
        if value and (problems := names.label_value(value)):
            errors += [invalid(path, value, text) for text in problems]


def label_name(errors: Errors, text: str, path: str) -> None:
    if problems := names.qualified_name(text):
        errors += [invalid(path, text, problem) for problem in problems]


def annotation_map(errors: Errors, values: Mapping[str, str], path: str) -> None:
    size = 0
    for key, value in values.items():
        if problems := names.qualified_name(key.lower()):
            errors += [invalid(path, key, text) for text in problems]
        size += len(key) + (len(value) if value.isascii() else len(value.encode("utf-8", "replace")))
    if size > ANNOTATIONS_LIMIT:
        errors.append(too_long(path, ANNOTATIONS_LIMIT))


def _owners(errors: Errors, owners: Sequence[meta_v1.OwnerReference], path: str) -> None:
    controller = ""
    for owner in owners:
        if not owner.apiVersion.rpartition("/")[2]:
            errors.append(invalid(f"{path}.apiVersion", owner.apiVersion, "version must not be empty"))
        for member in ("kind", "name", "uid"):
            if not getattr(owner, member):
                errors.append(invalid(f"{path}.{member}", "", "must not be empty"))
        if (owner.apiVersion, owner.kind) == ("v1", "Event"):
            errors.append(invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"))
        if owner.controller:
            if controller:
                text = 'Only one reference can have Controller set to true. Found "true" in references for '
                errors.append(invalid(path, owners, f"{text}{controller} and {owner.name}"))
            controller = owner.name


def _finalizers(errors: Errors, finalizers: Sequence[str], path: str, short: bool) -> None:
    for at, name in enumerate(finalizers):
        if problems := names.qualified_name(name):
            errors += [invalid(path, name, text) for text in problems]
        elif not short and "/" not in name and name not in STANDARD_FINALIZERS:
            text = "name is neither a standard finalizer name nor is it fully qualified"
            errors.append(invalid(f"{path}[{at}]", name, text))
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        errors.append(invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"))


def validate_update(kind: Kind, new: Any, old: Any) -> Errors:
    """Complaints about how metadata changes. What the server owns may be missing in `new`: it keeps the old value."""
    meta: meta_v1.ObjectMeta = getattr(new, "metadata", _NO_META)
    before: meta_v1.ObjectMeta = getattr(old, "metadata", _NO_META)
    errors: Errors = []
    if before.deletionTimestamp:
        added = [name for name in meta.finalizers if name not in before.finalizers]
        if added:
            listed = "[]string{" + ", ".join(show(name) for name in added) + "}"
            text = "no new finalizers can be added if the object is being deleted, found new finalizers "
            errors.append(forbidden("metadata.finalizers", text + listed))
    for member in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        value = getattr(meta, member)
        if value is not None and value != getattr(before, member):
            errors.append(invalid(f"metadata.{member}", value, IMMUTABLE))
    if meta.generation is not None and meta.generation < (before.generation or 0):
        errors.append(invalid("metadata.generation", meta.generation, "must not be decremented"))
    common(errors, meta, "metadata", short_finalizers=_own_finalizers(kind))
    return errors
