"""Claims and volumes find each other and keep each other, until the claim goes.

Four writes make a bond, each of which may be the last before a crash: the volume names the claim, says Bound, the claim
names the volume, says Bound. Whoever comes next goes on where they stopped.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.types import core_v1, storage_v1
from sampan.client.cache import Key
from sampan.client.client import Client
from sampan.controllers.settings import Settings
from sampan.controllers.volumes import match
from sampan.controllers.volumes.words import (
    BIND_COMPLETED,
    BY_CLAIM,
    BY_CLASS,
    BY_CONTROLLER,
    NO_PROVISIONER,
    PROVISIONER,
    PROVISIONER_BETA,
    SELECTED_NODE,
    WAIT,
    Claim,
    Volume,
    claimed_by,
    class_of,
    is_for,
    reference,
)
from sampan.runtime.actions import Action, Call, Emit, Plan, Update, UpdateStatus, View
from sampan.runtime.clock import rfc3339
from sampan.runtime.controller import Controller, Indexes, Watch

# --- claims


def plan_claim(claim: Claim, view: View) -> Plan:
    if claim.spec.volumeName:
        yield from _keep(claim, view)
    elif claim.metadata.deletionTimestamp is None:
        yield from _seek(claim, view)


def _keep(claim: Claim, view: View) -> Plan:
    """It names its volume: because they are bound, or because its author chose one."""
    volume = view.get(Volume, claim.spec.volumeName or "")
    bound = BIND_COMPLETED in claim.metadata.annotations
    if volume is None:
        if bound:
            message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            yield from _lose(claim, "ClaimLost", message)
        else:
            yield from _phase(claim, "Pending")
    elif is_for(volume, claim):
        yield from bind(claim, volume, view)
    elif bound:
        message = "Two claims are bound to the same volume, this one is bound incorrectly"
        yield from _lose(claim, "ClaimMisbound", message)
    elif volume.spec.claimRef is None and not (why := match.satisfies(volume, claim)):
        yield from bind(claim, volume, view)
    else:
        why = (
            why
            if volume.spec.claimRef is None
            else f'volume "{volume.metadata.name}" already bound to a different claim.'
        )
        yield Emit(claim, "Warning", "FailedBinding" if volume.spec.claimRef else "VolumeMismatch", why)
        yield from _phase(claim, "Pending")


def _seek(claim: Claim, view: View) -> Plan:
    key = f"{claim.metadata.namespace}/{claim.metadata.name}"
    kept = next((each for each in view.by(Volume, BY_CLAIM, key) if is_for(each, claim)), None)
    if kept is not None:
        yield from bind(claim, kept, view)
        return
    name = claim.spec.storageClassName or ""
    storage = view.get(storage_v1.StorageClass, name) if name else None
    waits = storage is not None and storage.volumeBindingMode == WAIT
    if waits and SELECTED_NODE not in claim.metadata.annotations:
        message = "waiting for first consumer to be created before binding"
        yield Emit(claim, "Normal", "WaitForFirstConsumer", message)
        yield from _phase(claim, "Pending")
        return
    # Which volume would do on the chosen node the scheduler has looked at: none, or it had claimed it.
    found = None if waits else match.best(claim, view.by(Volume, BY_CLASS, name))
    if found is not None:
        yield from bind(claim, found, view)
    elif storage is None or storage.provisioner == NO_PROVISIONER:
        message = "no persistent volumes available for this claim and no storage class is set"
        if name:
            message = f'storageclass.storage.k8s.io "{name}" not found' if storage is None else message
        yield Emit(
            claim, "Normal" if not name else "Warning", "FailedBinding" if not name else "ProvisioningFailed", message
        )
        yield from _phase(claim, "Pending")
    else:
        yield from _ask(claim, storage)


def _ask(claim: Claim, storage: storage_v1.StorageClass) -> Plan:
    """Whoever provisions volumes of this class reads the annotation."""
    annotations = {
        **claim.metadata.annotations,
        PROVISIONER: storage.provisioner,
        PROVISIONER_BETA: storage.provisioner,
    }
    if annotations != claim.metadata.annotations:
        claim = yield Update(replace(claim, metadata=replace(claim.metadata, annotations=annotations)))
    message = (
        f"Waiting for a volume to be created either by the external provisioner '{storage.provisioner}' or manually "
        "by the system administrator. If volume creation is delayed, please verify that the provisioner is running "
        "and correctly registered."
    )
    yield Emit(claim, "Normal", "ExternalProvisioning", message)
    yield from _phase(claim, "Pending")


def _lose(claim: Claim, reason: str, message: str) -> Plan:
    if claim.status.phase != "Lost":
        yield Emit(claim, "Warning", reason, message)
        yield UpdateStatus(replace(claim, status=replace(claim.status, phase="Lost")))


def _phase(claim: Claim, phase: str) -> Plan:
    if claim.status.phase != phase:
        yield UpdateStatus(replace(claim, status=core_v1.PersistentVolumeClaimStatus(phase=phase)))


# --- the bond


def bind(claim: Claim, volume: Volume, view: View) -> Plan:
    holder = volume.spec.claimRef
    if holder is None or holder.uid != claim.metadata.uid:
        annotations = dict(volume.metadata.annotations)
        if holder is None:
            annotations[BY_CONTROLLER] = "yes"
        volume = yield Update(
            replace(
                volume,
                metadata=replace(volume.metadata, annotations=annotations),
                spec=replace(volume.spec, claimRef=reference(claim)),
            )
        )
    yield from _volume_phase(volume, "Bound", view)
    annotations = {**claim.metadata.annotations, BIND_COMPLETED: "yes"}
    if not claim.spec.volumeName:
        annotations[BY_CONTROLLER] = "yes"
    if claim.spec.volumeName != volume.metadata.name or annotations != claim.metadata.annotations:
        claim = yield Update(
            replace(
                claim,
                metadata=replace(claim.metadata, annotations=annotations),
                spec=replace(claim.spec, volumeName=volume.metadata.name),
            )
        )
    status = replace(
        claim.status,
        phase="Bound",
        accessModes=volume.spec.accessModes,
        capacity=claim.status.capacity if claim.status.phase == "Bound" else volume.spec.capacity,
    )
    if status != claim.status:
        yield UpdateStatus(replace(claim, status=status))


def _volume_phase(volume: Volume, phase: str, view: View) -> Generator[Action, Any, Volume]:
    if volume.status.phase == phase:
        return volume
    status = replace(volume.status, phase=phase, message=None, lastPhaseTransitionTime=rfc3339(view.now))
    changed: Volume = yield UpdateStatus(replace(volume, status=status))
    return changed


# --- volumes


def plan_volume(volume: Volume, view: View) -> Plan:
    holder = volume.spec.claimRef
    if holder is None or not holder.uid:
        yield from _volume_phase(volume, "Available", view)
        return
    name, namespace = holder.name or "", holder.namespace or ""
    claim = view.get(Claim, name, namespace)
    if claim is None or claim.metadata.uid != holder.uid:
        if volume.status.phase in ("Released", "Failed") or (yield Call(lambda client: _lives(client, holder))):
            return
        yield from _volume_phase(volume, "Released", view)
    elif claim.spec.volumeName and claim.spec.volumeName != volume.metadata.name:
        yield from _unbind(volume)
    elif claim.spec.volumeName == volume.metadata.name:
        yield from _volume_phase(volume, "Bound", view)


def _unbind(volume: Volume) -> Plan:
    """The claim has found another one: this is free again, unless its author kept it for the claim's name."""
    annotations = {key: value for key, value in volume.metadata.annotations.items() if key != BY_CONTROLLER}
    holder = volume.spec.claimRef
    ours = BY_CONTROLLER in volume.metadata.annotations
    kept = None if ours or holder is None else replace(holder, uid=None, resourceVersion=None)
    yield Update(
        replace(
            volume,
            metadata=replace(volume.metadata, annotations=annotations),
            spec=replace(volume.spec, claimRef=kept),
        )
    )


async def _lives(client: Client, holder: core_v1.ObjectReference) -> bool:
    """Data is given up only for a claim that the server says is gone."""
    try:
        claim = await client.get(Claim, holder.name or "", holder.namespace or "")
    except StatusError as error:
        if error.code == 404:
            return False
        raise
    return claim.metadata.uid == holder.uid


# --- declarations


def _claim_of(volume: Volume, view: View) -> Iterable[Key]:
    """A free volume concerns every claim of its class that waits."""
    holder = volume.spec.claimRef
    if holder is not None:
        return ((holder.namespace or "", holder.name or ""),)
    return [
        (claim.metadata.namespace or "", claim.metadata.name or "")
        for claim in view.all(Claim)
        if not claim.spec.volumeName and (claim.spec.storageClassName or "") == (volume.spec.storageClassName or "")
    ]


def _claims_of_class(storage: storage_v1.StorageClass, view: View) -> Iterable[Key]:
    return [
        (claim.metadata.namespace or "", claim.metadata.name or "")
        for claim in view.all(Claim)
        if not claim.spec.volumeName and claim.spec.storageClassName == storage.metadata.name
    ]


def _volumes_of(claim: Claim, view: View) -> Iterable[Key]:
    found = {("", claim.spec.volumeName)} if claim.spec.volumeName else set()
    key = f"{claim.metadata.namespace}/{claim.metadata.name}"
    return {*found, *(("", volume.metadata.name or "") for volume in view.by(Volume, BY_CLAIM, key))}


INDEXES: Indexes = {Volume: {BY_CLAIM: claimed_by, BY_CLASS: class_of}}


def declare_claims(settings: Settings) -> Controller:
    return Controller(
        name="persistentvolumeclaim-binder-controller",
        primary=Claim,
        plan=plan_claim,
        watches=(Watch(Volume, _claim_of), Watch(storage_v1.StorageClass, _claims_of_class)),
        indexes=INDEXES,
        # One at a time: two claims that looked at the same moment would take the same volume.
        workers=1,
    )


def declare_volumes(settings: Settings) -> Controller:
    return Controller(
        name="persistentvolume-binder-controller",
        primary=Volume,
        plan=plan_volume,
        watches=(Watch(Claim, _volumes_of),),
        indexes=INDEXES,
    )
