"""Rules of PersistentVolumes and the kinds of storage.k8s.io."""

from __future__ import annotations

import msgspec

from sampan.api import names
from sampan.api.errors import FieldError, forbidden, invalid, not_supported, required
from sampan.api.types import core_v1, storage_v1
from sampan.api.validation import checks, claim, volume
from sampan.api.validation.affinity import node_selector
from sampan.api.validation.checks import Errors, amount, choice
from sampan.api.validation.meta import IMMUTABLE

_OTHER = frozenset(
    (
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    )
)
_SOURCES = tuple(name for name in core_v1.PersistentVolumeSpec.__struct_fields__ if name not in _OTHER)
_POLICIES = ("Delete", "Recycle", "Retain")
_BINDING = ("Immediate", "WaitForFirstConsumer")
_MEMBERS = ("Ephemeral", "Persistent")


def validate_persistent_volume(obj: core_v1.PersistentVolume) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    claim.access_modes(errors, spec.accessModes, "spec.accessModes", "")
    if not spec.capacity:
        errors.append(required("spec.capacity"))
    elif set(spec.capacity) != {"storage"}:
        errors.append(not_supported("spec.capacity", dict(spec.capacity), ("storage",)))
    for name, text in spec.capacity.items():
        if (amount(text) or 0) <= 0:
            errors.append(invalid(f"spec.capacity[{name}]", text, "must be greater than zero"))
    choice(errors, spec.persistentVolumeReclaimPolicy, _POLICIES, "spec.persistentVolumeReclaimPolicy")
    if spec.nodeAffinity is not None:
        if spec.nodeAffinity.required is None:
            errors.append(required("spec.nodeAffinity.required", "must specify required node constraints"))
        else:
            node_selector(errors, spec.nodeAffinity.required, "spec.nodeAffinity.required")
    found = [member for member in _SOURCES if getattr(spec, member) is not None]
    if not found:
        errors.append(required("spec", "must specify a volume type"))
    for member in found[1:]:
        errors.append(forbidden(f"spec.{member}", "may not specify more than 1 volume type"))
    if spec.hostPath is not None:
        volume.host_path(errors, spec.hostPath, "spec.hostPath")
        if spec.hostPath.path == "/" and spec.persistentVolumeReclaimPolicy == "Recycle":
            text = "may not be 'recycle' for a hostPath mount of '/'"
            errors.append(forbidden("spec.persistentVolumeReclaimPolicy", text))
    if spec.local is not None:
        if not spec.local.path:
            errors.append(required("spec.local.path"))
        if spec.nodeAffinity is None or spec.nodeAffinity.required is None:
            errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    if spec.csi is not None:
        errors += [required(f"spec.csi.{m}") for m in ("driver", "volumeHandle") if not getattr(spec.csi, m)]
    if spec.storageClassName:
        checks.named(errors, spec.storageClassName, "spec.storageClassName", names.dns_subdomain)
    choice(errors, spec.volumeMode, claim.VOLUME_MODES, "spec.volumeMode")
    return errors


def validate_persistent_volume_update(new: core_v1.PersistentVolume, old: core_v1.PersistentVolume) -> list[FieldError]:
    errors: Errors = []
    if any(getattr(new.spec, member) != getattr(old.spec, member) for member in _SOURCES):
        text = "spec.persistentvolumesource is immutable after creation"
        errors.append(forbidden("spec.persistentvolumesource", text))
    checks.unchanged(errors, new.spec.volumeMode, old.spec.volumeMode, "spec.volumeMode")
    if old.spec.nodeAffinity is not None:
        checks.unchanged(errors, new.spec.nodeAffinity, old.spec.nodeAffinity, "spec.nodeAffinity")
    return errors


def validate_storage_class(obj: storage_v1.StorageClass) -> list[FieldError]:
    errors: Errors = []
    if not obj.provisioner:
        errors.append(required("provisioner"))
    else:
        checks.named(errors, obj.provisioner.lower(), "provisioner", names.qualified_name)
    if any(not key for key in obj.parameters):
        errors.append(invalid("parameters", "", "field can not be empty."))
    if len(obj.parameters) > 512:
        errors.append(FieldError("FieldValueTooLong", "parameters", "", "may not be more than 512 bytes"))
    choice(errors, obj.reclaimPolicy, ("Delete", "Retain"), "reclaimPolicy")
    choice(errors, obj.volumeBindingMode, _BINDING, "volumeBindingMode", needed=True)
    return errors


def validate_storage_class_update(new: storage_v1.StorageClass, old: storage_v1.StorageClass) -> list[FieldError]:
    errors: Errors = []
    for member in ("parameters", "provisioner", "reclaimPolicy"):
        if getattr(new, member) != getattr(old, member):
            errors.append(forbidden(member, "updates to " + member + " are forbidden."))
    checks.unchanged(errors, new.volumeBindingMode, old.volumeBindingMode, "volumeBindingMode")
    return errors


def validate_csi_driver(obj: storage_v1.CSIDriver) -> list[FieldError]:
    errors: Errors = []
    if obj.metadata.name and len(obj.metadata.name) > 63:
        errors.append(FieldError("FieldValueTooLong", "metadata.name", "", "may not be more than 63 bytes"))
    if obj.spec.attachRequired is None:
        errors.append(required("spec.attachRequired"))
    if obj.spec.podInfoOnMount is None:
        errors.append(required("spec.podInfoOnMount"))
    for mode in obj.spec.volumeLifecycleModes:
        choice(errors, mode, _MEMBERS, "spec.volumeLifecycleModes", needed=True)
    return errors


def validate_volume_attachment(obj: storage_v1.VolumeAttachment) -> list[FieldError]:
    errors: Errors = []
    if not obj.spec.attacher:
        errors.append(required("spec.attacher"))
    if not obj.spec.nodeName:
        errors.append(required("spec.nodeName"))
    source = obj.spec.source
    if source.inlineVolumeSpec is None and source.persistentVolumeName is None:
        text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors.append(required("spec.source", text))
    elif source.persistentVolumeName == "":
        errors.append(required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName"))
    elif source.inlineVolumeSpec is not None and source.persistentVolumeName is not None:
        text = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors.append(forbidden("spec.source", text))
    return errors


def validate_volume_attachment_update(
    new: storage_v1.VolumeAttachment, old: storage_v1.VolumeAttachment
) -> list[FieldError]:
    return [] if new.spec == old.spec else [invalid("spec", msgspec.to_builtins(new.spec), IMMUTABLE)]
