"""Volumes as the scheduler sees them: where a pod's claims let it run, and which wait for a node to be chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sampan.api import quantity, selectors
from sampan.api.types import core_v1, storage_v1
from sampan.scheduler.profile import Profile

NO_PROVISIONER = "kubernetes.io/no-provisioner"
WAIT = "WaitForFirstConsumer"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"

Claim = core_v1.PersistentVolumeClaim
Volume = core_v1.PersistentVolume


class Waiting(NamedTuple):
    """A claim that is bound when its pod's node is known."""

    claim: Claim
    storage_class: storage_v1.StorageClass


class Volumes:
    """Reads the caches of claims, volumes and classes; without any, no pod has a claim."""

    def __init__(
        self,
        claim: Callable[[str, str], Claim | None] = lambda namespace, name: None,
        volume: Callable[[str], Volume | None] = lambda name: None,
        storage_class: Callable[[str], storage_v1.StorageClass | None] = lambda name: None,
        of_class: Callable[[str], tuple[Volume, ...]] = lambda name: (),
    ) -> None:
        self.claim = claim
        self.volume = volume
        self._storage_class = storage_class
        self._of_class = of_class

    def blocker(self, profile: Profile) -> str:
        """Why the pod cannot run anywhere yet, or ""."""
        for name in profile.claims:
            claim = self.claim(profile.namespace, name)
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if claim.metadata.deletionTimestamp:
                return f'persistentvolumeclaim "{name}" is being deleted'
            if claim.status.phase == "Lost":
                return (
                    f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volumeName}"'
                )
        if any(not is_bound(claim) and self._class(claim) is None for claim in self._claims(profile)):
            return UNBOUND
        return ""

    def bound(self, profile: Profile) -> list[Volume]:
        found = [self.volume(claim.spec.volumeName or "") for claim in self._claims(profile) if is_bound(claim)]
        return [volume for volume in found if volume is not None]

    def waiting(self, profile: Profile) -> list[Waiting]:
        found = []
        for claim in self._claims(profile):
            storage_class = None if is_bound(claim) else self._class(claim)
            if storage_class is not None:
                found.append(Waiting(claim, storage_class))
        return found

    def candidates(self, claim: Claim) -> list[Volume]:
        """Free volumes that would do for the claim, the smallest first."""
        wanted = quantity.value(claim.spec.resources.requests.get("storage", "0"))
        modes = set(claim.spec.accessModes)
        selector = selectors.label_selector(claim.spec.selector) if claim.spec.selector else selectors.EVERYTHING
        found = [
            (quantity.value(volume.spec.capacity.get("storage", "0")), volume)
            for volume in self._of_class(claim.spec.storageClassName or "")
            if _free_for(volume, claim)
            and modes <= set(volume.spec.accessModes)
            and (volume.spec.volumeMode or "Filesystem") == (claim.spec.volumeMode or "Filesystem")
            and selector.matches(volume.metadata.labels)
        ]
        return [volume for size, volume in sorted(found, key=lambda each: each[0]) if size >= wanted]

    def _claims(self, profile: Profile) -> list[Claim]:
        found = [self.claim(profile.namespace, name) for name in profile.claims]
        return [claim for claim in found if claim is not None]

    def _class(self, claim: Claim) -> storage_v1.StorageClass | None:
        """The claim's class if that waits for the first consumer."""
        found = self._storage_class(claim.spec.storageClassName or "")
        return found if found is not None and found.volumeBindingMode == WAIT else None


def is_bound(claim: Claim) -> bool:
    return bool(claim.spec.volumeName) and BIND_COMPLETED in claim.metadata.annotations


def _free_for(volume: Volume, claim: Claim) -> bool:
    if volume.metadata.deletionTimestamp:
        return False
    holder = volume.spec.claimRef
    if holder is None:
        return volume.status.phase in (None, "Available")
    same = (holder.namespace, holder.name) == (claim.metadata.namespace, claim.metadata.name)
    return same and holder.uid in (None, claim.metadata.uid)
