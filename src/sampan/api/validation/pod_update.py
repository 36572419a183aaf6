"""What may change in a pod once it exists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sampan.api.errors import FieldError, forbidden, invalid, required, show
from sampan.api.types import core_v1
from sampan.api.validation import container
from sampan.api.validation.checks import Errors
from sampan.api.validation.pod import MAX_INT32, MIRROR

ALLOWED = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod_update(new: core_v1.Pod, old: core_v1.Pod) -> list[FieldError]:
    errors: Errors = []
    if new.metadata.annotations.get(MIRROR) != old.metadata.annotations.get(MIRROR):
        word = "remove or update" if MIRROR in old.metadata.annotations else "add"
        errors.append(forbidden(f"metadata.annotations[{MIRROR}]", f"may not {word} mirror pod annotation"))
    if new.spec == old.spec:
        return errors
    for member in ("containers", "initContainers"):
        wanted, had = getattr(new.spec, member), getattr(old.spec, member)
        if len(wanted) != len(had):
            errors.append(forbidden(f"spec.{member}", "pod updates may not add or remove containers"))
            return errors
        _images(errors, wanted, f"spec.{member}")
    if not _deadline(errors, new.spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds):
        return errors
    _gates(errors, new.spec, old.spec)
    _tolerations(errors, new.spec, old.spec)
    allowed = _with_allowed_changes(new.spec, old.spec)
    if allowed != new.spec:
        errors.append(forbidden("spec", f"{ALLOWED}\n{_difference(new.spec, allowed)}"))
    return errors


def _images(errors: Errors, wanted: Sequence[core_v1.Container], path: str) -> None:
    for at, c in enumerate(wanted):
        if not c.image:
            errors.append(required(f"{path}[{at}].image"))
        elif c.image != c.image.strip():
            errors.append(invalid(f"{path}[{at}].image", c.image, container.WHITESPACE))


def _deadline(errors: Errors, new: int | None, old: int | None) -> bool:
    path = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            errors.append(invalid(path, None, "must not update from a positive integer to nil value"))
        return True
    if not 0 <= new <= MAX_INT32:
        errors.append(invalid(path, new, f"must be between 0 and {MAX_INT32}, inclusive"))
    elif old is not None and old < new:
        errors.append(invalid(path, new, "must be less than or equal to previous value"))
    else:
        return True
    return False


def _gates(errors: Errors, new: core_v1.PodSpec, old: core_v1.PodSpec) -> None:
    known = {gate.name for gate in old.schedulingGates}
    added = [gate.name for gate in new.schedulingGates if gate.name not in known]
    if added:
        text = f"only deletion is allowed, but found new scheduling gates '{', '.join(added)}'"
        errors.append(forbidden("spec.schedulingGates", text))


def _tolerations(errors: Errors, new: core_v1.PodSpec, old: core_v1.PodSpec) -> None:
    """Existing tolerations stay, besides their seconds; new ones may come."""
    for toleration in old.tolerations:
        kept = any(
            msgspec.structs.replace(t, tolerationSeconds=toleration.tolerationSeconds) == toleration
            for t in new.tolerations
        )
        if not kept:
            text = "existing toleration can not be modified except its tolerationSeconds"
            errors.append(forbidden("spec.tolerations", text))
            return


def _with_allowed_changes(new: core_v1.PodSpec, old: core_v1.PodSpec) -> core_v1.PodSpec:
    """The old spec with those changes of the new one that are allowed."""
    changes: dict[str, Any] = {
        member: tuple(
            msgspec.structs.replace(had, image=wanted.image)
            for had, wanted in zip(getattr(old, member), getattr(new, member), strict=True)
        )
        for member in ("containers", "initContainers")
    }
    for member in ("activeDeadlineSeconds", "tolerations", "schedulingGates", "ephemeralContainers"):
        changes[member] = getattr(new, member)
    if (old.terminationGracePeriodSeconds or 0) < 0 and new.terminationGracePeriodSeconds == 1:
        changes["terminationGracePeriodSeconds"] = 1
    if old.schedulingGates:
        if all(new.nodeSelector.get(key) == value for key, value in old.nodeSelector.items()):
            changes["nodeSelector"] = new.nodeSelector
        if _narrower(new, old):
            changes["affinity"] = new.affinity
    return msgspec.structs.replace(old, **changes)


def _narrower(new: core_v1.PodSpec, old: core_v1.PodSpec) -> bool:
    """Whether a gated pod's node affinity only gained conditions; pod affinity stays."""
    now, was = new.affinity or core_v1.Affinity(), old.affinity or core_v1.Affinity()
    if (now.podAffinity, now.podAntiAffinity) != (was.podAffinity, was.podAntiAffinity):
        return False
    had = (was.nodeAffinity or core_v1.NodeAffinity()).requiredDuringSchedulingIgnoredDuringExecution
    if had is None:
        return True
    has = (now.nodeAffinity or core_v1.NodeAffinity()).requiredDuringSchedulingIgnoredDuringExecution
    if has is None or len(has.nodeSelectorTerms) != len(had.nodeSelectorTerms):
        return False
    return all(
        set(a.matchExpressions) <= set(b.matchExpressions) and set(a.matchFields) <= set(b.matchFields)
        for a, b in zip(had.nodeSelectorTerms, has.nodeSelectorTerms, strict=True)
    )


def _difference(new: core_v1.PodSpec, allowed: core_v1.PodSpec) -> str:
    """The fields that differ, old and new."""
    lines = []
    for member in core_v1.PodSpec.__struct_fields__:
        was, now = getattr(allowed, member), getattr(new, member)
        if was != now:
            lines += [f"- {member}: {show(was)}", f"+ {member}: {show(now)}"]
    return "\n".join(lines)
