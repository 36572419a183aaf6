"""Rules of PersistentVolumeClaims, also as templates inside pods and StatefulSets."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sampan.api import names
from sampan.api.errors import FieldError, forbidden, invalid, not_supported, required
from sampan.api.types import core_v1, meta_v1
from sampan.api.validation import meta
from sampan.api.validation.checks import Errors, amount, choice, label_selector, named

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
IMMUTABLE_SPEC = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def validate_persistent_volume_claim(obj: core_v1.PersistentVolumeClaim) -> list[FieldError]:
    errors: Errors = []
    spec(errors, obj.spec, "spec")
    return errors


def validate_persistent_volume_claim_update(
    new: core_v1.PersistentVolumeClaim, old: core_v1.PersistentVolumeClaim
) -> list[FieldError]:
    errors: Errors = []
    bound = old.status.phase == "Bound"
    before = old.spec
    if bound:
        before = msgspec.structs.replace(
            before, resources=new.spec.resources, volumeAttributesClassName=new.spec.volumeAttributesClassName
        )
    if not before.volumeName:
        before = msgspec.structs.replace(before, volumeName=new.spec.volumeName)
    if before.storageClassName is None:
        before = msgspec.structs.replace(before, storageClassName=new.spec.storageClassName)
    if before != new.spec:
        errors.append(forbidden("spec", IMMUTABLE_SPEC))
    elif bound:
        wanted, had = (amount(c.spec.resources.requests.get("storage", "0")) for c in (new, old))
        if wanted is not None and had is not None and wanted < had:
            text = "field can not be less than status.capacity"
            errors.append(forbidden("spec.resources.requests.storage", text))
    return errors


def template_metadata(errors: Errors, wanted: meta_v1.ObjectMeta, path: str) -> None:
    meta.labels(errors, wanted.labels, f"{path}.labels")
    meta.annotation_map(errors, wanted.annotations, f"{path}.annotations")


def spec(errors: Errors, wanted: core_v1.PersistentVolumeClaimSpec, path: str) -> None:
    access_modes(errors, wanted.accessModes, f"{path}.accessModes", "at least 1 access mode is required")
    label_selector(errors, wanted.selector, f"{path}.selector")
    storage = wanted.resources.requests.get("storage")
    if storage is None:
        errors.append(required(f"{path}.resources[storage]"))
    elif (amount(storage) or 0) <= 0:
        errors.append(invalid(f"{path}.resources[storage]", storage, "must be greater than zero"))
    if wanted.storageClassName:
        named(errors, wanted.storageClassName, f"{path}.storageClassName", names.dns_subdomain)
    choice(errors, wanted.volumeMode, VOLUME_MODES, f"{path}.volumeMode")
    source = wanted.dataSource
    if source is not None:
        if not source.name:
            errors.append(required(f"{path}.dataSource.name"))
        if not source.kind:
            errors.append(required(f"{path}.dataSource.kind"))
        if not source.apiGroup and source.kind != "PersistentVolumeClaim":
            text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            errors.append(invalid(f"{path}.dataSource", source.kind, text))


def access_modes(errors: Errors, wanted: Sequence[str], path: str, needed: str) -> None:
    if not wanted:
        errors.append(required(path, needed))
    for mode in wanted:
        if mode not in ACCESS_MODES:
            errors.append(not_supported(path, mode, ACCESS_MODES))
    if "ReadWriteOncePod" in wanted and len(wanted) > 1:
        errors.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
