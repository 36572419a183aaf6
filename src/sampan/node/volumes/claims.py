"""persistentVolumeClaim and ephemeral: a claim, the volume that is bound to it, a directory of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable

from sampan.api import quantity
from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.node.contracts import HostVolume
from sampan.node.volumes import disk, host_path, ownership
from sampan.node.volumes.types import Setup, VolumeFailure, Work

PROVISIONED_BY, PROVISIONER = "pv.kubernetes.io/provisioned-by", "sampan.dev/local"
"""Volumes of our own provisioner: their directory is made when it is mounted for the first time."""


async def prepare_claim(setup: Setup, pod: core_v1.Pod, volume: core_v1.Volume) -> Work:
    source = volume.persistentVolumeClaim
    assert source is not None
    claim = await _claim(setup, pod, source.claimName)
    return await _bound(setup, pod, volume.name, claim, readonly=bool(source.readOnly))


async def prepare_ephemeral(setup: Setup, pod: core_v1.Pod, volume: core_v1.Volume) -> Work:
    """The claim that a controller made for this pod and nobody else."""
    name = f"{pod.metadata.name}-{volume.name}"
    claim = await _claim(setup, pod, name)
    if not any(owner.uid == pod.metadata.uid and owner.controller for owner in claim.metadata.ownerReferences):
        namespace = pod.metadata.namespace
        raise VolumeFailure(f"PVC {namespace}/{name} was not created for pod {namespace}/{pod.metadata.name}")
    return await _bound(setup, pod, volume.name, claim, readonly=False)


async def _claim(setup: Setup, pod: core_v1.Pod, name: str) -> core_v1.PersistentVolumeClaim:
    try:
        claim = await setup.client.get(core_v1.PersistentVolumeClaim, name, pod.metadata.namespace or "")
    except StatusError as error:
        if error.code == 404:
            raise VolumeFailure(f'persistentvolumeclaim "{name}" not found') from error
        raise
    if claim.status.phase != "Bound" or not claim.spec.volumeName:
        raise VolumeFailure(f"error processing PVC {claim.metadata.namespace}/{name}: PVC is not bound")
    return claim


async def _bound(
    setup: Setup, pod: core_v1.Pod, volume: str, claim: core_v1.PersistentVolumeClaim, *, readonly: bool
) -> Work:
    name, where = claim.spec.volumeName or "", f"{claim.metadata.namespace}/{claim.metadata.name}"
    try:
        bound = await setup.client.get(core_v1.PersistentVolume, name)
    except StatusError as error:
        if error.code == 404:
            raise VolumeFailure(f'persistentvolume "{name}" not found') from error
        raise
    spec = bound.spec
    if spec.claimRef is None or spec.claimRef.uid != claim.metadata.uid:
        raise VolumeFailure(f"error processing PVC {where}: PV {name} is bound to another claim")
    if spec.volumeMode == "Block":
        raise VolumeFailure(f"PV {name} has volumeMode Block: this node mounts file systems only")
    readonly = readonly or (bool(spec.accessModes) and set(spec.accessModes) == {"ReadOnlyMany"})
    if spec.hostPath is not None:
        return host_path.work(spec.hostPath, readonly=readonly)
    if spec.local is not None and is_limited(bound):
        return _limited(bound, str(setup.disk / volume), pod, readonly)
    if spec.local is not None:
        return Work(HostVolume(spec.local.path, readonly), _local(spec.local.path, pod, readonly, is_ours(bound)))
    raise VolumeFailure(f"PV {name} is of a type that this node does not mount: it mounts hostPath and local")


def is_ours(bound: core_v1.PersistentVolume) -> bool:
    """Whether our own provisioner made it."""
    return bound.metadata.annotations.get(PROVISIONED_BY) == PROVISIONER


def is_limited(bound: core_v1.PersistentVolume) -> bool:
    """Whether it is to be a file system of its own, which holds no more than its size."""
    return is_ours(bound) and bound.spec.local is not None and bool(bound.spec.local.fsType)


def size(bound: core_v1.PersistentVolume) -> int:
    """Bytes."""
    return quantity.value(bound.spec.capacity.get("storage", "0"))


def _limited(bound: core_v1.PersistentVolume, target: str, pod: core_v1.Pod, readonly: bool) -> Work:
    assert bound.spec.local is not None
    directory, bytes_ = bound.spec.local.path, size(bound)
    owned = _local(target, pod, readonly, False)

    def action() -> None:
        disk.mount(directory, target, bytes_)
        owned()

    return Work(HostVolume(target, readonly), action)


def _local(path: str, pod: core_v1.Pod, readonly: bool, made: bool) -> Callable[[], None]:
    context, gid = pod.spec.securityContext, ownership.group(pod)
    only_root = context is not None and context.fsGroupChangePolicy == "OnRootMismatch"

    def action() -> None:
        if made and not os.path.isdir(path):
            os.makedirs(path, exist_ok=True)
            # Whoever the pod runs as may write, as in an emptyDir.
            os.chmod(path, 0o777)  # noqa: S103
        if not os.path.isdir(path):
            raise VolumeFailure(f'path "{path}" does not exist')
        if gid >= 0 and not readonly:
            ownership.give(path, gid, only_when_root_differs=only_root)

    return action
