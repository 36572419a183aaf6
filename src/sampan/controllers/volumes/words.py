"""What the parts of volume management write on claims and volumes for each other (upstream's annotations)."""

from __future__ import annotations

from sampan.api.types import core_v1

Claim = core_v1.PersistentVolumeClaim
Volume = core_v1.PersistentVolume

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
PROVISIONER_BETA = "volume.beta.kubernetes.io/storage-provisioner"

NO_PROVISIONER = "kubernetes.io/no-provisioner"
WAIT = "WaitForFirstConsumer"

BY_CLAIM = "claim"
BY_CLASS = "class"


def claimed_by(volume: Volume) -> tuple[str, ...]:
    """Index function: `namespace/name` of the claim that a volume is kept for."""
    holder = volume.spec.claimRef
    return (f"{holder.namespace}/{holder.name}",) if holder is not None else ()


def class_of(volume: Volume) -> tuple[str, ...]:
    """Index function."""
    return (volume.spec.storageClassName or "",)


def is_for(volume: Volume, claim: Claim) -> bool:
    """The volume is kept for this very claim, or for whoever has its name."""
    holder, metadata = volume.spec.claimRef, claim.metadata
    return (
        holder is not None
        and (holder.namespace, holder.name) == (metadata.namespace, metadata.name)
        and holder.uid in (None, "", metadata.uid)
    )


def reference(claim: Claim) -> core_v1.ObjectReference:
    metadata = claim.metadata
    return core_v1.ObjectReference(
        apiVersion="v1",
        kind="PersistentVolumeClaim",
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resourceVersion=metadata.resourceVersion,
    )
