"""Rules of pod volumes: one source each, and what each source needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sampan.api import names
from sampan.api.errors import duplicate, forbidden, invalid, required
from sampan.api.types import core_v1
from sampan.api.validation import claim
from sampan.api.validation.checks import Errors, amount, choice, label_selector, named
from sampan.api.validation.security import descending_path

MODE = "must be a number between 0 and 0777 (octal), both inclusive"
FIELDS = ("metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid")
RESOURCES = ("limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage")
_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_SOURCES = tuple(name for name in core_v1.Volume.__struct_fields__ if name != "name")
_PROJECTIONS = core_v1.VolumeProjection.__struct_fields__
_MAX_TOKEN_SECONDS = 1 << 32


def volumes(errors: Errors, wanted: Sequence[core_v1.Volume], path: str) -> dict[str, core_v1.Volume]:
    """The volumes by name, for mounts to refer to."""
    found: dict[str, core_v1.Volume] = {}
    for at, volume in enumerate(wanted):
        below = f"{path}[{at}]"
        if not volume.name:
            errors.append(required(f"{below}.name"))
        elif problems := names.dns_label(volume.name):
            errors += [invalid(f"{below}.name", volume.name, text) for text in problems]
        elif volume.name in found:
            errors.append(duplicate(f"{below}.name", volume.name))
        found[volume.name] = volume
        _source(errors, volume, below)
    return found


def _source(errors: Errors, volume: core_v1.Volume, path: str) -> None:
    seen = False
    for member in _SOURCES:
        source = getattr(volume, member)
        if source is None:
            continue
        if seen:
            errors.append(forbidden(f"{path}.{member}", "may not specify more than 1 volume type"))
            continue
        seen = True
        if check := _CHECKS.get(member):
            check(errors, source, f"{path}.{member}")
    if not seen:
        errors.append(required(path, "must specify a volume type"))


def _needs(*members: str) -> Callable[[Errors, Any, str], None]:
    def check(errors: Errors, source: Any, path: str) -> None:
        for member in members:
            if not getattr(source, member):
                errors.append(required(f"{path}.{member}"))

    return check


def host_path(errors: Errors, source: core_v1.HostPathVolumeSource, path: str) -> None:
    if not source.path:
        errors.append(required(f"{path}.path"))
    elif ".." in source.path.split("/"):
        errors.append(invalid(f"{path}.path", source.path, "must not contain '..'"))
    choice(errors, source.type, _HOST_PATH_TYPES, f"{path}.type")


def _empty_dir(errors: Errors, source: core_v1.EmptyDirVolumeSource, path: str) -> None:
    if source.sizeLimit is not None and (amount(source.sizeLimit) or 0) < 0:
        errors.append(forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


def _secret(errors: Errors, source: core_v1.SecretVolumeSource, path: str) -> None:
    if not source.secretName:
        errors.append(required(f"{path}.secretName"))
    mode(errors, source.defaultMode, f"{path}.defaultMode")
    _items(errors, source.items, f"{path}.items")


def _config_map(errors: Errors, source: core_v1.ConfigMapVolumeSource, path: str) -> None:
    if not source.name:
        errors.append(required(f"{path}.name"))
    mode(errors, source.defaultMode, f"{path}.defaultMode")
    _items(errors, source.items, f"{path}.items")


def mode(errors: Errors, value: int | None, path: str) -> None:
    if value is not None and not 0 <= value <= 0o777:
        errors.append(invalid(path, value, MODE))


def _items(errors: Errors, items: Sequence[core_v1.KeyToPath], path: str) -> None:
    for at, item in enumerate(items):
        below = f"{path}[{at}]"
        if not item.key:
            errors.append(required(f"{below}.key"))
        if not item.path:
            errors.append(required(f"{below}.path"))
        target(errors, item.path, f"{below}.path")
        mode(errors, item.mode, f"{below}.mode")


def target(errors: Errors, text: str, path: str) -> None:
    """Where a file goes below the volume: relative, inside, and not among the volume's own `..` names."""
    descending_path(errors, text, path)
    if text.startswith("..") and not text.startswith("../"):
        errors.append(invalid(path, text, "must not start with '..'"))


def _downward(errors: Errors, source: core_v1.DownwardAPIVolumeSource, path: str) -> None:
    mode(errors, source.defaultMode, f"{path}.defaultMode")
    _downward_items(errors, source.items, path)


def _downward_items(errors: Errors, items: Sequence[core_v1.DownwardAPIVolumeFile], path: str) -> None:
    for item in items:
        if not item.path:
            errors.append(required(f"{path}.path"))
        target(errors, item.path, f"{path}.path")
        if item.fieldRef is not None and item.resourceFieldRef is not None:
            errors.append(
                invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
            )
        elif item.fieldRef is not None:
            field_ref(errors, item.fieldRef, FIELDS, f"{path}.fieldRef")
        elif item.resourceFieldRef is not None:
            resource_ref(errors, item.resourceFieldRef, f"{path}.resourceFieldRef", named_container=True)
        else:
            errors.append(required(path, "one of fieldRef and resourceFieldRef is required"))
        mode(errors, item.mode, f"{path}.mode")


def field_ref(errors: Errors, ref: core_v1.ObjectFieldSelector, allowed: Sequence[str], path: str) -> None:
    if not ref.fieldPath:
        errors.append(required(f"{path}.fieldPath"))
        return
    base, bracket, key = ref.fieldPath.partition("['")
    if bracket and base in ("metadata.annotations", "metadata.labels") and key.endswith("']"):
        # Annotation keys may be written in any case; they are compared in lower case.
        key = key[:-2].lower() if base == "metadata.annotations" else key[:-2]
        named(errors, key, path, names.qualified_name)
    elif bracket or ref.fieldPath not in allowed:
        listed = ", ".join(f'"{name}"' for name in sorted(allowed))
        text = f"error converting fieldPath: field label not supported: {ref.fieldPath}"
        if ref.fieldPath in ("status.podIPs", "status.phase", "spec.schedulerName", "metadata.labels", *FIELDS):
            errors.append(invalid(f"{path}.fieldPath", ref.fieldPath, f"supported values: {listed}"))
        else:
            errors.append(invalid(f"{path}.fieldPath", ref.fieldPath, text))


def resource_ref(
    errors: Errors, ref: core_v1.ResourceFieldSelector, path: str, *, named_container: bool = False
) -> None:
    if named_container and not ref.containerName:
        errors.append(required(f"{path}.containerName"))
    if not ref.resource:
        errors.append(required(f"{path}.resource"))
    elif not ref.resource.startswith(("limits.hugepages-", "requests.hugepages-")):
        choice(errors, ref.resource, (*RESOURCES, "requests.memory"), f"{path}.resource")


def _projected(errors: Errors, source: core_v1.ProjectedVolumeSource, path: str) -> None:
    mode(errors, source.defaultMode, f"{path}.defaultMode")
    taken: set[str] = set()
    for at, projection in enumerate(source.sources):
        below = f"{path}.sources[{at}]"
        seen = False
        for member in _PROJECTIONS:
            part = getattr(projection, member)
            if part is None:
                continue
            if seen:
                errors.append(forbidden(f"{below}.{member}", "may not specify more than 1 volume type"))
                continue
            seen = True
            for text in _projection(errors, member, part, f"{below}.{member}"):
                if text in taken:
                    errors.append(invalid(f"{below}.{member}", text, "conflicting duplicate paths"))
                taken.add(text)
        if not seen:
            errors.append(required(below, "must specify a volume type"))


def _projection(errors: Errors, member: str, part: Any, path: str) -> list[str]:
    """Checks one projection and returns the paths it fills."""
    if member in ("secret", "configMap"):
        if not part.name:
            errors.append(required(f"{path}.name"))
        _items(errors, part.items, f"{path}.items")
        return [item.path for item in part.items]
    if member == "downwardAPI":
        _downward_items(errors, part.items, path)
        return [item.path for item in part.items]
    if member == "serviceAccountToken":
        return _token(errors, part, path)
    if member == "clusterTrustBundle":
        if part.name is not None and (part.signerName is not None or part.labelSelector is not None):
            errors.append(invalid(path, part, "only one of name and signerName may be used"))
        elif part.name is None and part.signerName is None:
            errors.append(required(path, "either name or signerName must be specified"))
        label_selector(errors, part.labelSelector, f"{path}.labelSelector")
        if not part.path:
            errors.append(required(f"{path}.path"))
        target(errors, part.path, f"{path}.path")
        return [part.path]
    if not part.signerName:
        errors.append(required(f"{path}.signerName"))
    found = [text for text in (part.keyPath, part.certificateChainPath, part.credentialBundlePath) if text]
    for text in found:
        target(errors, text, path)
    return found


def _token(errors: Errors, part: core_v1.ServiceAccountTokenProjection, path: str) -> list[str]:
    seconds = part.expirationSeconds
    if seconds is not None and seconds < 600:
        text = "may not specify a duration less than 10 minutes"
        errors.append(invalid(f"{path}.expirationSeconds", seconds, text))
    if seconds is not None and seconds > _MAX_TOKEN_SECONDS:
        text = "may not specify a duration larger than 2^32 seconds"
        errors.append(invalid(f"{path}.expirationSeconds", seconds, text))
    if not part.path:
        errors.append(required(f"{path}.path"))
    target(errors, part.path, f"{path}.path")
    return [part.path]


def _nfs(errors: Errors, source: core_v1.NFSVolumeSource, path: str) -> None:
    _needs("server", "path")(errors, source, path)
    if not source.path.startswith("/"):
        errors.append(invalid(f"{path}.path", source.path, "must be an absolute path"))


def _pvc(errors: Errors, source: core_v1.PersistentVolumeClaimVolumeSource, path: str) -> None:
    if not source.claimName:
        errors.append(required(f"{path}.claimName"))


def _ephemeral(errors: Errors, source: core_v1.EphemeralVolumeSource, path: str) -> None:
    template = source.volumeClaimTemplate
    if template is None:
        errors.append(required(f"{path}.volumeClaimTemplate"))
        return
    claim.template_metadata(errors, template.metadata, f"{path}.volumeClaimTemplate.metadata")
    claim.spec(errors, template.spec, f"{path}.volumeClaimTemplate.spec")


def _image(errors: Errors, source: core_v1.ImageVolumeSource, path: str) -> None:
    if not source.reference:
        errors.append(required(f"{path}.reference"))
    choice(errors, source.pullPolicy, ("Always", "IfNotPresent", "Never"), f"{path}.pullPolicy")


_CHECKS: dict[str, Callable[[Errors, Any, str], None]] = {
    "hostPath": host_path,
    "emptyDir": _empty_dir,
    "secret": _secret,
    "configMap": _config_map,
    "downwardAPI": _downward,
    "projected": _projected,
    "nfs": _nfs,
    "persistentVolumeClaim": _pvc,
    "ephemeral": _ephemeral,
    "image": _image,
    "csi": _needs("driver"),
    "gitRepo": _needs("repository"),
    "glusterfs": _needs("endpoints", "path"),
    "rbd": _needs("monitors", "image"),
    "iscsi": _needs("targetPortal", "iqn"),
    "flexVolume": _needs("driver"),
    "cephfs": _needs("monitors"),
    "quobyte": _needs("registry", "volume"),
    "vsphereVolume": _needs("volumePath"),
    "azureFile": _needs("secretName", "shareName"),
    "azureDisk": _needs("diskName", "diskURI"),
    "awsElasticBlockStore": _needs("volumeID"),
    "gcePersistentDisk": _needs("pdName"),
    "cinder": _needs("volumeID"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "scaleIO": _needs("gateway", "system", "volumeName"),
}
