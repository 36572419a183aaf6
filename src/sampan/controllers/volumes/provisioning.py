"""Volumes made to measure: a directory on the node that the first pod runs on. The default StorageClass.

The kubelet makes the directory when it mounts the volume for the first time. When the claim goes, so does the
directory (reclaimPolicy Delete), as far as it is on this machine.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from sampan.api.errors import StatusError
from sampan.api.types import core_v1, meta_v1, storage_v1
from sampan.client.cache import Key
from sampan.controllers.settings import Settings
from sampan.controllers.volumes import match
from sampan.controllers.volumes.words import PROVISIONED_BY, PROVISIONER, SELECTED_NODE, Claim, Volume, reference
from sampan.runtime.actions import Call, Create, Delete, Emit, Patch, Plan, Update, UpdateStatus, View
from sampan.runtime.controller import Controller, Watch

NAME = "sampan.dev/local"
CLASS = "standard"
MADE = "sampan.dev/storage-class"
"""On the namespace kube-system once the class was made: whoever deletes it does not want it back."""

HOSTNAME = "kubernetes.io/hostname"


class Provisioner:
    """`root` is where the volumes of a node lie; the directory's name is the volume's."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.volume_root

    # --- the class

    def plan_class(self, namespace: core_v1.Namespace, view: View) -> Plan:
        if not self._root or namespace.metadata.name != "kube-system" or MADE in namespace.metadata.annotations:
            return
        made = storage_v1.StorageClass(
            metadata=meta_v1.ObjectMeta(
                name=CLASS, annotations={"storageclass.kubernetes.io/is-default-class": "true"}
            ),
            provisioner=NAME,
            reclaimPolicy="Delete",
            volumeBindingMode="WaitForFirstConsumer",
            allowVolumeExpansion=True,
        )
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
        if claim.spec.volumeMode == "Block":
            yield Emit(
                claim, "Warning", "ProvisioningFailed", f"{NAME} makes directories: volumeMode Block is not possible"
            )
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
                local=core_v1.LocalVolumeSource(path=f"{self._root}/{name}"),
                nodeAffinity=core_v1.VolumeNodeAffinity(required=core_v1.NodeSelector(nodeSelectorTerms=(term,))),
                persistentVolumeReclaimPolicy=storage.reclaimPolicy or "Delete",
                storageClassName=storage.metadata.name,
                mountOptions=storage.mountOptions,
                volumeMode="Filesystem",
            ),
        )

    def _grow(self, claim: Claim, view: View) -> Plan:
        """A directory has no size of its own: more is granted by writing it down."""
        volume = view.get(Volume, claim.spec.volumeName or "")
        if volume is None or claim.status.phase != "Bound" or volume.metadata.annotations.get(PROVISIONED_BY) != NAME:
            return
        asked = {"storage": claim.spec.resources.requests.get("storage", "0")}
        if match.wanted(claim) > match.size(volume):
            volume = yield Update(replace(volume, spec=replace(volume.spec, capacity=asked)))
        if match.size(volume) >= match.wanted(claim) and claim.status.capacity != volume.spec.capacity:
            status = replace(claim.status, capacity=volume.spec.capacity, conditions=())
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


def _remove(path: Path) -> None:
    """Whatever cannot be removed raises, and is tried again."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)


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
