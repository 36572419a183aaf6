"""Volumes made to measure, on the node that the first pod runs on; and the StorageClasses that ask for them.

The class `standard` (parameter fsType: ext4) gives each volume a file system of its own, which holds no more than was
asked for; `directory` gives a plain directory, whose size nothing limits. The kubelet makes either when it mounts the
volume for the first time. When the claim goes, so does the data (reclaimPolicy Delete), if it is on this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from sampan import removal
from sampan.api import conditions
from sampan.api.errors import StatusError
from sampan.api.types import core_v1, meta_v1, storage_v1
from sampan.client.cache import Key
from sampan.controllers.settings import Settings
from sampan.controllers.volumes import match
from sampan.controllers.volumes.words import PROVISIONED_BY, PROVISIONER, SELECTED_NODE, Claim, Volume, reference
from sampan.runtime.actions import Call, Create, Delete, Emit, Patch, Plan, Update, UpdateStatus, View
from sampan.runtime.clock import rfc3339
from sampan.runtime.controller import Controller, Watch

NAME = "sampan.dev/local"
CLASS, PLAIN = "standard", "directory"
FS_TYPE = "fsType"
"""The parameter of a class, and the field of a volume of type local."""
MADE = "sampan.dev/storage-class"
"""On the namespace kube-system once the class was made: whoever deletes it does not want it back."""

HOSTNAME = "kubernetes.io/hostname"
RESIZING, PENDING = "Resizing", "FileSystemResizePending"
PENDING_MESSAGE = "Waiting for user to (re-)start a pod to finish file system resize of volume on node."


class Provisioner:
    """`root` is where the volumes of a node lie; the directory's name is the volume's."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.volume_root

    # --- the class

    def plan_class(self, namespace: core_v1.Namespace, view: View) -> Plan:
        if not self._root or namespace.metadata.name != "kube-system" or MADE in namespace.metadata.annotations:
            return
        for made in (_class(CLASS, {FS_TYPE: "ext4"}, default=True), _class(PLAIN, {})):
            try:
                yield Create(made)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
        yield Patch(namespace, {"metadata": {"annotations": {MADE: CLASS}}})

    # --- claims

    def plan_claim(self, claim: Claim, view: View) -> Plan:
        metadata = claim.metadata
        if not self._root or metadata.annotations.get(PROVISIONER) != NAME:
            return
        if claim.spec.volumeName:
            yield from self._grow(claim, view)
            return
        name = f"pvc-{metadata.uid}"
        if metadata.deletionTimestamp is not None or view.get(Volume, name) is not None:
            return
        node = self._node(claim, view)
        storage = view.get(storage_v1.StorageClass, claim.spec.storageClassName or "")
        if node is None or storage is None:
            return
        if why := _impossible(claim, storage):
            yield Emit(claim, "Warning", "ProvisioningFailed", why)
            return
        try:
            yield Create(self._describe(claim, name, node, storage))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            return
        yield Emit(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")

    def _node(self, claim: Claim, view: View) -> core_v1.Node | None:
        """The one that the scheduler has chosen; without a choice to wait for, the first."""
        chosen = claim.metadata.annotations.get(SELECTED_NODE)
        if chosen:
            return view.get(core_v1.Node, chosen)
        return min(view.all(core_v1.Node), key=lambda each: each.metadata.name or "", default=None)

    def _describe(
        self, claim: Claim, name: str, node: core_v1.Node, storage: storage_v1.StorageClass
    ) -> core_v1.PersistentVolume:
        host = node.metadata.labels.get(HOSTNAME, node.metadata.name or "")
        there = core_v1.NodeSelectorRequirement(key=HOSTNAME, operator="In", values=(host,))
        term = core_v1.NodeSelectorTerm(matchExpressions=(there,))
        return Volume(
            metadata=meta_v1.ObjectMeta(name=name, annotations={PROVISIONED_BY: NAME}),
            spec=core_v1.PersistentVolumeSpec(
                accessModes=claim.spec.accessModes,
                capacity={"storage": claim.spec.resources.requests.get("storage", "0")},
                claimRef=reference(claim),
                local=core_v1.LocalVolumeSource(path=f"{self._root}/{name}", fsType=storage.parameters.get(FS_TYPE)),
                nodeAffinity=core_v1.VolumeNodeAffinity(required=core_v1.NodeSelector(nodeSelectorTerms=(term,))),
                persistentVolumeReclaimPolicy=storage.reclaimPolicy or "Delete",
                storageClassName=storage.metadata.name,
                mountOptions=storage.mountOptions,
                volumeMode="Filesystem",
            ),
        )

    def _grow(self, claim: Claim, view: View) -> Plan:
        """More is granted by writing it down: a directory has no size of its own, a file system its node enlarges."""
        volume = view.get(Volume, claim.spec.volumeName or "")
        if volume is None or claim.status.phase != "Bound" or volume.metadata.annotations.get(PROVISIONED_BY) != NAME:
            return
        asked = {"storage": claim.spec.resources.requests.get("storage", "0")}
        if match.wanted(claim) > match.size(volume):
            volume = yield Update(replace(volume, spec=replace(volume.spec, capacity=asked)))
        if match.size(volume) < match.wanted(claim) or claim.status.capacity == volume.spec.capacity:
            return
        status = claim.status
        if volume.spec.local is not None and volume.spec.local.fsType:
            pending = core_v1.PersistentVolumeClaimCondition(type=PENDING, status="True", message=PENDING_MESSAGE)
            conditions_ = conditions.put(status.conditions, pending, rfc3339(view.now))
            status = replace(status, conditions=conditions_)
        else:
            kept = tuple(each for each in status.conditions if each.type not in (RESIZING, PENDING))
            status = replace(status, capacity=volume.spec.capacity, conditions=kept)
        if status != claim.status:
            yield UpdateStatus(replace(claim, status=status))

    # --- volumes

    def plan_volume(self, volume: Volume, view: View) -> Plan:
        mine = volume.metadata.annotations.get(PROVISIONED_BY) == NAME
        released = volume.status.phase == "Released" and volume.spec.persistentVolumeReclaimPolicy == "Delete"
        if not (self._root and mine and released):
            return
        # The name alone says where: what stands in the object could be anybody's wish.
        path = Path(self._root) / (volume.metadata.name or "")
        yield Call(lambda client: asyncio.to_thread(_remove, path))
        yield Delete(volume)


def _class(name: str, parameters: dict[str, str], *, default: bool = False) -> storage_v1.StorageClass:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return storage_v1.StorageClass(
        metadata=meta_v1.ObjectMeta(name=name, annotations=annotations),
        provisioner=NAME,
        parameters=parameters,
        reclaimPolicy="Delete",
        volumeBindingMode="WaitForFirstConsumer",
        allowVolumeExpansion=True,
    )


def _impossible(claim: Claim, storage: storage_v1.StorageClass) -> str:
    """What is asked for that we do not make; "" for nothing."""
    if claim.spec.volumeMode == "Block":
        return f"{NAME} makes file systems and directories: volumeMode Block is not possible"
    unknown = sorted(set(storage.parameters) - {FS_TYPE})
    if unknown or storage.parameters.get(FS_TYPE, "ext4") != "ext4":
        wrong = unknown[0] if unknown else f"{FS_TYPE} {storage.parameters[FS_TYPE]}"
        return f"StorageClass {storage.metadata.name}: {NAME} knows no {wrong}; give {FS_TYPE}: ext4, or no parameters"
    return ""


def _remove(path: Path) -> None:
    """Whatever cannot be removed raises, and is tried again."""
    if path.is_dir() and not path.is_symlink():
        removal.remove(path)


def _claim_of(volume: Volume, view: View) -> Iterable[Key]:
    holder = volume.spec.claimRef
    return ((holder.namespace or "", holder.name or ""),) if holder is not None else ()


def declare_class(settings: Settings) -> Controller:
    return Controller(
        name="local-storage-class-controller", primary=core_v1.Namespace, plan=Provisioner(settings).plan_class
    )


def declare_claims(settings: Settings) -> Controller:
    return Controller(
        name="local-volume-provisioner",
        primary=Claim,
        plan=Provisioner(settings).plan_claim,
        watches=(Watch(Volume, _claim_of),),
        reads=(core_v1.Node, storage_v1.StorageClass),
    )


def declare_volumes(settings: Settings) -> Controller:
    return Controller(name="local-volume-reclaimer", primary=Volume, plan=Provisioner(settings).plan_volume, workers=2)
