"""How objects go: at once, after a time of grace, or when the last finalizer is gone."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from sampan.api import codec
from sampan.api.errors import conflict, invalid, invalid_error, not_supported
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import meta_v1
from sampan.apiserver.cacher import Item
from sampan.apiserver.meta import metadata

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer of definitions whose objects are still there."""


def finished(value: bytes) -> bool:
    """Whether nothing holds an object that is being deleted any more."""
    if b'"deletionTimestamp"' not in value:
        return False
    meta = codec.meta(value)
    if not meta.deletionTimestamp or meta.finalizers or meta.deletionGracePeriodSeconds:
        return False
    return not _NAMESPACE.decode(value).held


class _Held(msgspec.Struct):
    kind: str = ""
    spec: Any = None

    @property
    def held(self) -> bool:
        if self.kind != "Namespace" or not isinstance(self.spec, dict):
            return False
        return bool(self.spec.get("finalizers"))


_NAMESPACE = msgspec.json.Decoder(_Held)


def check_preconditions(kind: Kind, name: str, item: Item, options: meta_v1.DeleteOptions) -> None:
    wanted = options.preconditions
    if wanted is None:
        return
    if wanted.uid and wanted.uid != item.meta.uid:
        why = f"Precondition failed: UID in precondition: {wanted.uid}, UID in object meta: {item.meta.uid}"
        raise conflict(kind.plural, kind.group, name, why)
    if wanted.resourceVersion and wanted.resourceVersion != str(item.revision):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {wanted.resourceVersion}, "
            f"ResourceVersion in object meta: {item.revision}"
        )
        raise conflict(kind.plural, kind.group, name, why)


def mark(kind: Kind, document: Document, options: meta_v1.DeleteOptions) -> bool:
    """Write into the document that it is being deleted; False when nothing has to wait."""
    meta = metadata(document)
    if kind.resource == "customresourcedefinitions.apiextensions.k8s.io" and not meta.get("deletionTimestamp"):
        # Its objects go first (crd/cleanup.py), also when it never was served.
        meta["finalizers"] = list(dict.fromkeys((*(meta.get("finalizers") or ()), CLEANUP)))
    _set_finalizers(meta, options)
    grace = _grace(kind, document, options)
    if kind.resource == "namespaces":
        held = bool((document.get("spec") or {}).get("finalizers"))
        if held:
            document["status"] = {**(document.get("status") or {}), "phase": "Terminating"}
    else:
        held = False
    if not grace and not held and not meta.get("finalizers"):
        return False
    before = meta.get("deletionGracePeriodSeconds")
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = _in(grace)
        meta["deletionGracePeriodSeconds"] = grace
        if meta.get("generation"):
            meta["generation"] += 1
    elif grace < int(before or 0):
        meta["deletionTimestamp"] = _in(grace)
        meta["deletionGracePeriodSeconds"] = grace
    return True


def _in(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def _grace(kind: Kind, document: Document, options: meta_v1.DeleteOptions) -> int:
    """Seconds that an object is given to end; only pods have any."""
    if kind.resource != "pods":
        return 0
    spec, status = document.get("spec") or {}, document.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    if options.gracePeriodSeconds is not None:
        return max(0, options.gracePeriodSeconds)
    return max(0, int(spec.get("terminationGracePeriodSeconds") or 0))


def _set_finalizers(meta: Document, options: meta_v1.DeleteOptions) -> None:
    """The garbage collector's finalizers as the propagation policy wants them."""
    policy = options.propagationPolicy
    if policy is None and options.orphanDependents is not None:
        policy = "Orphan" if options.orphanDependents else "Background"
    if policy is None:
        return
    kept = [name for name in meta.get("finalizers") or () if name not in ("orphan", "foregroundDeletion")]
    if policy == "Orphan":
        kept.append("orphan")
    elif policy == "Foreground":
        kept.append("foregroundDeletion")
    if kept:
        meta["finalizers"] = kept
    else:
        meta.pop("finalizers", None)


def check_delete_options(options: meta_v1.DeleteOptions) -> None:
    """Raises Invalid as upstream does."""
    errors = []
    if options.propagationPolicy is not None and options.orphanDependents is not None:
        errors.append(
            invalid(
                "propagationPolicy",
                options.propagationPolicy,
                "orphanDependents and deletionPropagation cannot be both set",
            )
        )
    if options.propagationPolicy not in (None, "Foreground", "Background", "Orphan"):
        errors.append(
            not_supported("propagationPolicy", options.propagationPolicy, ("Foreground", "Background", "Orphan", "nil"))
        )
    if options.dryRun not in ((), ("All",)):
        errors.append(not_supported("dryRun", list(options.dryRun), ("All",)))
    if errors:
        raise invalid_error("DeleteOptions", "meta.k8s.io", "", errors)
