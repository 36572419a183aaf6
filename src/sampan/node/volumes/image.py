"""image: the files of an OCI image, read-only. The node pulls it as it pulls the images of containers."""

from __future__ import annotations

import logging

from sampan.api.types import core_v1
from sampan.node.contracts import HostVolume
from sampan.node.images import Images, NotPulled
from sampan.node.volumes.types import Setup, VolumeFailure, Work

log = logging.getLogger(__name__)

FIELD = "image"


async def prepare(setup: Setup, pod: core_v1.Pod, volume: core_v1.Volume) -> Work:
    """The container runtime mounts it into each container."""
    assert volume.image is not None
    id = await setup.images.ensure(pod, volume.name, volume.image)
    return Work(HostVolume("", readonly=True, image=id))


class PulledImages:
    """types.ImageVolumes over the node's images."""

    def __init__(self, images: Images) -> None:
        self._images = images

    async def ensure(self, pod: core_v1.Pod, volume: str, source: core_v1.ImageVolumeSource) -> str:
        container = core_v1.Container(name=volume, image=source.reference, imagePullPolicy=source.pullPolicy)

        def tell(type: str, reason: str, message: str) -> None:
            log.info("pod %s/%s, volume %s: %s", pod.metadata.namespace, pod.metadata.name, volume, message)

        try:
            return (await self._images.ensure(pod, container, tell)).id
        except NotPulled as error:
            raise VolumeFailure(f'failed to pull image "{source.reference}": {error}') from error
