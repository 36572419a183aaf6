"""Claims and classes in use and volumes that are bound stay: admission's finalizer is taken off when they may go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sampan.api.types import core_v1, storage_v1
from sampan.client.cache import Key
from sampan.client.client import Client
from sampan.controllers import pods
from sampan.controllers.settings import Settings
from sampan.controllers.volumes.words import Claim, Volume
from sampan.runtime.actions import Call, Patch, Plan, View
from sampan.runtime.controller import Controller, Watch

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
CLASS_FINALIZER = "kubernetes.io/vac-protection"


def plan_claim(claim: Claim, view: View) -> Plan:
    metadata = claim.metadata
    if metadata.deletionTimestamp is None or CLAIM_FINALIZER not in metadata.finalizers:
        return
    namespace, name = metadata.namespace or "", metadata.name or ""
    if any(uses(pod, name) for pod in view.within(core_v1.Pod, namespace)):
        return
    # The cache may not know yet of a pod that came a moment ago.
    if not (yield Call(lambda client: _in_use(client, namespace, name))):
        yield Patch(claim, _without(claim, CLAIM_FINALIZER))


def uses(pod: core_v1.Pod, claim: str) -> bool:
    """A pod that a node has, or will have any moment, and that has not ended."""
    return bool(pod.spec.nodeName) and not pods.is_terminal(pod) and claim in claims_of(pod)


def claims_of(pod: core_v1.Pod) -> list[str]:
    found = []
    for volume in pod.spec.volumes:
        if volume.persistentVolumeClaim is not None:
            found.append(volume.persistentVolumeClaim.claimName)
        elif volume.ephemeral is not None:
            found.append(f"{pod.metadata.name}-{volume.name}")
    return found


async def _in_use(client: Client, namespace: str, claim: str) -> bool:
    return any(uses(pod, claim) for pod in (await client.list(core_v1.Pod, namespace)).items)


def plan_volume(volume: Volume, view: View) -> Plan:
    going = volume.metadata.deletionTimestamp is not None and VOLUME_FINALIZER in volume.metadata.finalizers
    if going and volume.status.phase != "Bound":
        yield Patch(volume, _without(volume, VOLUME_FINALIZER))


def plan_class(made: storage_v1.VolumeAttributesClass, view: View) -> Plan:
    metadata = made.metadata
    if metadata.deletionTimestamp is None or CLASS_FINALIZER not in metadata.finalizers:
        return
    name = metadata.name or ""
    if _any_names(name, (*view.all(Claim), *view.all(Volume))):
        return
    # The cache may not know yet of a claim that came a moment ago.
    if not (yield Call(lambda client: _class_in_use(client, name))):
        yield Patch(made, _without(made, CLASS_FINALIZER))


def classes_of(user: Claim | Volume) -> set[str]:
    """The VolumeAttributesClasses that a claim wants or has, or that a volume has."""
    found = {user.spec.volumeAttributesClassName}
    if isinstance(user, Claim):
        found.add(user.status.currentVolumeAttributesClassName)
        if user.status.modifyVolumeStatus is not None:
            found.add(user.status.modifyVolumeStatus.targetVolumeAttributesClassName)
    return {name for name in found if name}


def _any_names(name: str, users: Iterable[Claim | Volume]) -> bool:
    return any(name in classes_of(each) for each in users)


async def _class_in_use(client: Client, name: str) -> bool:
    if _any_names(name, (await client.list(Claim)).items):
        return True
    return _any_names(name, (await client.list(Volume)).items)


def _without(object: Any, finalizer: str) -> dict[str, Any]:
    """The patch holds the version too: a list of finalizers must not bring one back that is gone."""
    kept = [each for each in object.metadata.finalizers if each != finalizer]
    return {"metadata": {"finalizers": kept or None, "resourceVersion": object.metadata.resourceVersion}}


def _claims(pod: core_v1.Pod, view: View) -> Iterable[Key]:
    return [(pod.metadata.namespace or "", name) for name in claims_of(pod)]


def _classes(user: Claim | Volume, view: View) -> Iterable[Key]:
    return [("", name) for name in classes_of(user)]


def _changes_class(old: Claim | Volume, new: Claim | Volume) -> bool:
    return classes_of(old) != classes_of(new)


def _ends(old: core_v1.Pod, new: core_v1.Pod) -> bool:
    return pods.is_terminal(old) != pods.is_terminal(new)


def declare_claims(settings: Settings) -> Controller:
    return Controller(
        name="pvc-protection-controller",
        primary=Claim,
        plan=plan_claim,
        watches=(Watch(core_v1.Pod, _claims, _ends),),
    )


def declare_volumes(settings: Settings) -> Controller:
    return Controller(name="pv-protection-controller", primary=Volume, plan=plan_volume)


def declare_classes(settings: Settings) -> Controller:
    return Controller(
        name="volumeattributesclass-protection-controller",
        primary=storage_v1.VolumeAttributesClass,
        plan=plan_class,
        watches=(Watch(Claim, _classes, _changes_class), Watch(Volume, _classes, _changes_class)),
    )
