"""image: the files of an OCI image, read-only."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from sampan.api.types import core_v1
from sampan.host import mounts
from sampan.host.containers import ImageFailure, ImageService
from sampan.host.images import ImageRoots
from sampan.node.contracts import HostVolume
from sampan.node.volumes.types import Setup, VolumeFailure, Work

FIELD = "image"


async def prepare(setup: Setup, pod: core_v1.Pod, volume: core_v1.Volume) -> Work:
    assert volume.image is not None
    layers = await setup.images.layers(pod, volume.image)
    path = str(setup.disk / volume.name)
    return Work(HostVolume(path, readonly=True), _mounted(path, layers))


def _mounted(path: str, layers: Sequence[str]) -> Callable[[], None]:
    def action() -> None:
        os.makedirs(path, exist_ok=True)
        if os.path.ismount(path):
            return
        if len(layers) == 1:
            mounts.bind(layers[0], path, readonly=True)
        elif layers:
            mounts.mount("overlay", path, "overlay", mounts.MS_RDONLY, f"lowerdir={':'.join(layers)}")

    return action


class PulledImages:
    """types.ImageVolumes over the node's image store. Pulls without credentials of the pod's own."""

    def __init__(self, service: ImageService, roots: ImageRoots) -> None:
        self._service = service
        self._roots = roots

    async def layers(self, pod: core_v1.Pod, source: core_v1.ImageVolumeSource) -> tuple[str, ...]:
        reference = source.reference or ""
        policy = source.pullPolicy or ("Always" if _latest(reference) else "IfNotPresent")
        known = await self._service.image(reference)
        try:
            if policy == "Always" or (known is None and policy == "IfNotPresent"):
                known = await self._service.pull(reference)
        except ImageFailure as error:
            raise VolumeFailure(f'failed to pull image "{reference}": {error}') from error
        root = self._roots.root(known.id) if known is not None else None
        if root is None:
            raise VolumeFailure(f'image "{reference}" is not present with pull policy of {policy}')
        return root.layers


def _latest(reference: str) -> bool:
    name = reference.rpartition("/")[2]
    return "@" not in name and name.partition(":")[2] in ("", "latest")
