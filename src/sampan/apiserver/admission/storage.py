"""Volumes and claims: the default class, protection while in use, growth; and the default class of ingresses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sampan.api import quantity
from sampan.api.defaults.document import given, section
from sampan.api.kinds.kind import Document
from sampan.api.types import meta_v1, networking_v1, storage_v1
from sampan.apiserver.admission.base import Plugin, is_plain, items, metadata, refuse, text
from sampan.apiserver.contracts import Admission, View

_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_PROTECTION = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses": "kubernetes.io/vac-protection",
}


class _Named(Protocol):
    @property
    def metadata(self) -> meta_v1.ObjectMeta: ...


def _default_of(classes: Iterable[_Named], annotations: tuple[str, ...]) -> str:
    """The newest class that is marked as default, "" when none is."""
    marked = [c.metadata for c in classes if any(c.metadata.annotations.get(a) == "true" for a in annotations)]
    # Newest first, and among equals the first by name.
    marked.sort(key=lambda meta: meta.name or "")
    newest = max(marked, key=lambda meta: meta.creationTimestamp or "", default=None)
    return (newest.name if newest is not None else None) or ""


class DefaultStorageClass(Plugin):
    name = "DefaultStorageClass"
    handles = ("persistentvolumeclaims",)

    def __init__(self, view: View) -> None:
        self._view = view

    def admit(self, admission: Admission) -> None:
        claim = admission.document
        if admission.operation != "CREATE" or claim is None or not is_plain(admission):
            return
        spec = section(claim, "spec")
        annotations = metadata(claim).get("annotations")
        if spec.get("storageClassName") is not None or _OLD_CLASS in (annotations or {}):
            return
        name = _default_of(self._view.list(storage_v1.StorageClass), _DEFAULT_CLASS)
        if name:
            spec["storageClassName"] = name


class DefaultIngressClass(Plugin):
    name = "DefaultIngressClass"
    handles = ("ingresses.networking.k8s.io",)

    def __init__(self, view: View) -> None:
        self._view = view

    def admit(self, admission: Admission) -> None:
        ingress = admission.document
        if admission.operation != "CREATE" or ingress is None or not is_plain(admission):
            return
        spec = section(ingress, "spec")
        annotations = metadata(ingress).get("annotations")
        if spec.get("ingressClassName") is not None or "kubernetes.io/ingress.class" in (annotations or {}):
            return
        marks = ("ingressclass.kubernetes.io/is-default-class",)
        name = _default_of(self._view.list(networking_v1.IngressClass), marks)
        if name:
            spec["ingressClassName"] = name


class StorageObjectInUseProtection(Plugin):
    """Volumes, claims and classes leave only when nobody uses them: a controller takes the finalizer away."""

    name = "StorageObjectInUseProtection"
    handles = ("persistentvolumeclaims", "persistentvolumes", "volumeattributesclasses.storage.k8s.io")

    def admit(self, admission: Admission) -> None:
        document = admission.document
        if admission.operation != "CREATE" or document is None or not is_plain(admission):
            return
        finalizers = items(section(document, "metadata"), "finalizers")
        wanted = _PROTECTION[admission.kind.plural]
        if wanted not in finalizers:
            finalizers.append(wanted)


class PersistentVolumeClaimResize(Plugin):
    """Only bound claims of a class that allows it grow."""

    name = "PersistentVolumeClaimResize"
    handles = ("persistentvolumeclaims",)

    def __init__(self, view: View) -> None:
        self._view = view

    def validate(self, admission: Admission) -> None:
        claim, old = admission.document, admission.old
        if admission.operation != "UPDATE" or claim is None or old is None or not is_plain(admission):
            return
        if _storage(claim) <= _storage(old):
            return
        if text(given(old, "status") or {}, "phase") != "Bound":
            raise refuse(admission, "Only bound persistent volume claims can be expanded")
        annotations = metadata(claim).get("annotations") or {}
        name = annotations.get(_OLD_CLASS) or text(section(claim, "spec"), "storageClassName")
        found = self._view.get(storage_v1.StorageClass, name) if name else None
        if found is None or not found.allowVolumeExpansion:
            raise refuse(
                admission,
                "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
                "support resize",
            )


def _storage(claim: Document) -> int:
    requests = given(given(given(claim, "spec") or {}, "resources") or {}, "requests") or {}
    return quantity.nano(text(requests, "storage") or "0")
