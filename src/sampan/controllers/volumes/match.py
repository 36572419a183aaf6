"""Which volume would do for a claim. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sampan.api import quantity, selectors
from sampan.controllers.volumes.words import Claim, Volume, is_for


def size(volume: Volume) -> int:
    """Bytes."""
    return quantity.value(volume.spec.capacity.get("storage", "0"))


def wanted(claim: Claim) -> int:
    """Bytes."""
    return quantity.value(claim.spec.resources.requests.get("storage", "0"))


def satisfies(volume: Volume, claim: Claim) -> str:
    """Why a volume would not do; "" when it would. Whether it is free is another question."""
    if size(volume) < wanted(claim):
        return "requested PV is too small"
    if (volume.spec.storageClassName or "") != (claim.spec.storageClassName or ""):
        return "storageClassName does not match"
    if (volume.spec.volumeMode or "Filesystem") != (claim.spec.volumeMode or "Filesystem"):
        return "incompatible volumeMode"
    if not set(claim.spec.accessModes) <= set(volume.spec.accessModes):
        return "incompatible accessMode"
    return ""


def best(claim: Claim, volumes: Iterable[Volume]) -> Volume | None:
    """The smallest free one that would do; one that is kept for the claim goes first."""
    selector = selectors.label_selector(claim.spec.selector) if claim.spec.selector is not None else None
    found: list[tuple[int, str, Volume]] = []
    for volume in volumes:
        if volume.metadata.deletionTimestamp is not None:
            continue
        if is_for(volume, claim):
            return volume
        free = volume.spec.claimRef is None and volume.status.phase == "Available"
        chosen = selector is None or selector.matches(volume.metadata.labels)
        if free and chosen and not satisfies(volume, claim):
            found.append((size(volume), volume.metadata.name or "", volume))
    return min(found, key=lambda each: each[:2])[2] if found else None
