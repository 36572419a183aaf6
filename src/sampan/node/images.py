"""Images of containers: when they are pulled, with which credentials, what is said about it, and when they go."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sampan.api.types import core_v1
from sampan.host.containers import Image, ImageFailure, ImageService
from sampan.images import credentials, reference
from sampan.node.contracts import AnyContainer, Configs
from sampan.node.node_config import NodeConfig
from sampan.node.observation import Wait
from sampan.runtime.backoff import Exponential
from sampan.runtime.clock import Clock

log = logging.getLogger(__name__)

PULL_BACKOFF = Exponential(first=10.0, longest=300.0)
SHOWN = 3.0
"""Seconds for which a failed pull shows its own error before it shows that it backs off."""
HOPELESS = 60.0
"""Seconds until what a new specification alone can mend is looked at again."""

SECRET_KEYS = {
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/dockercfg": ".dockercfg",
}

Tell = Callable[[str, str, str], None]
"""(type, reason, message) of an event about the container."""


class NotPulled(Exception):
    """The image is not here yet; `wait` says why and until when."""

    def __init__(self, wait: Wait) -> None:
        super().__init__(wait.message)
        self.wait = wait


@dataclass(slots=True)
class _Failure:
    count: int
    until: float
    message: str


class Images:
    """Pulls for all pods of the node: at most `config.pulls` at once, failures back off by pod and image."""

    def __init__(self, service: ImageService, configs: Configs, config: NodeConfig, clock: Clock) -> None:
        self.service = service
        self._configs = configs
        self._config = config
        self._clock = clock
        self._pulls = asyncio.Semaphore(config.pulls)
        self._failures: dict[tuple[str, str], _Failure] = {}
        self._idle_since: dict[str, float] = {}

    async def ensure(self, pod: core_v1.Pod, spec: AnyContainer, tell: Tell) -> Image:
        """The container's image, pulled if its policy asks for that. Raises NotPulled."""
        name = spec.image or ""
        try:
            reference.parse(name)
        except ImageFailure as failure:
            message = f'Failed to apply default image tag "{name}": {failure}'
            tell("Warning", "InspectFailed", message)
            raise NotPulled(Wait("InvalidImageName", message, self._clock.now() + HOPELESS)) from failure
        policy = spec.imagePullPolicy or default_policy(name)
        if policy != "Always":
            present = await self.service.image(name)
            if present is not None:
                tell("Normal", "Pulled", already_present(name))
                return present
        if policy == "Never":
            message = f'Container image "{name}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            raise NotPulled(Wait("ErrImageNeverPull", message, self._clock.now() + HOPELESS))
        return await self._pull(pod, name, tell)

    async def _pull(self, pod: core_v1.Pod, name: str, tell: Tell) -> Image:
        key = (pod.metadata.uid or "", name)
        failure = self._failures.get(key)
        if failure is not None and failure.until > self._clock.now():
            message = f'Back-off pulling image "{name}"'
            tell("Normal", "BackOff", message)
            tell("Warning", "Failed", "Error: ImagePullBackOff")
            raise NotPulled(Wait("ImagePullBackOff", f"{message}: ErrImagePull: {failure.message}", failure.until))
        tell("Normal", "Pulling", f'Pulling image "{name}"')
        asked = self._clock.monotonic()
        try:
            secrets = await self._credentials(pod, name, tell)
            async with self._pulls:
                began = self._clock.monotonic()
                image = await self.service.pull(name, secrets)
        except ImageFailure as error:
            raise NotPulled(self._failed(key, error, tell)) from error
        self._failures.pop(key, None)
        now = self._clock.monotonic()
        took = f"{duration(now - began)} ({duration(now - asked)} including waiting)"
        tell("Normal", "Pulled", f'Successfully pulled image "{name}" in {took}. Image size: {image.size} bytes.')
        return image

    def _failed(self, key: tuple[str, str], error: ImageFailure, tell: Tell) -> Wait:
        _, name = key
        before = self._failures.get(key)
        count = before.count + 1 if before is not None else 1
        now = self._clock.now()
        self._failures[key] = _Failure(count, now + PULL_BACKOFF.delay(count), str(error))
        tell("Warning", "Failed", f'Failed to pull image "{name}": {error}')
        tell("Warning", "Failed", f"Error: {error.reason}")
        return Wait(error.reason, str(error), now + SHOWN)

    async def _credentials(self, pod: core_v1.Pod, name: str, tell: Tell) -> list[tuple[str, str]]:
        documents: list[bytes] = []
        missing = []
        for each in pod.spec.imagePullSecrets:
            secret = await self._configs.secret(pod.metadata.namespace or "", each.name or "")
            if secret is None:
                missing.append(each.name or "")
                continue
            key = SECRET_KEYS.get(secret.type or "")
            if key is not None and key in secret.data:
                documents.append(base64.b64decode(secret.data[key]))
        if missing:
            message = f"Unable to retrieve some image pull secrets ({', '.join(missing)})"
            tell(
                "Warning",
                "FailedToRetrieveImagePullSecret",
                f"{message}; attempting to pull the image may not succeed.",
            )
        return credentials.lookup(documents, reference.parse(name))

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in self._failures if key[0] == uid]:
            del self._failures[key]

    async def collect(self, used: Collection[str]) -> int:
        """Remove images that no container uses, the longest unused first, when the file system is too full.

        `used` are IDs. Returns bytes freed.
        """
        now = self._clock.now()
        images = await self.service.images()
        for image in images:
            if image.id in used:
                self._idle_since.pop(image.id, None)
            else:
                self._idle_since.setdefault(image.id, now)
        present = {image.id for image in images}
        self._idle_since = {id: at for id, at in self._idle_since.items() if id in present}
        capacity, available = disk(str(self._config.places.root))
        wanted = excess(capacity, available, self._config.image_gc_high, self._config.image_gc_low)
        return await self._free(wanted, used, images) if wanted > 0 else 0

    async def reclaim(self, used: Collection[str]) -> int:
        """The disk is nearly full: remove every image that no container uses. Returns bytes freed."""
        return await self._free(sys.maxsize, used, await self.service.images(), age=0.0)

    async def _free(self, wanted: int, used: Collection[str], images: Sequence[Image], age: float | None = None) -> int:
        now, freed = self._clock.now(), 0
        youngest = self._config.image_gc_age if age is None else age
        for image in sorted(images, key=lambda each: max(each.used_at, self._idle_since.get(each.id, now))):
            if freed >= wanted:
                break
            idle = now - max(image.used_at, self._idle_since.get(image.id, now))
            if image.id in used or idle < youngest:
                continue
            try:
                freed += await self.service.remove(image.id)
            except ImageFailure as failure:
                log.debug("image %s stays: %s", image.id, failure)
        log.info("image garbage collection: %d bytes wanted, %d freed", wanted, freed)
        return freed


def excess(capacity: int, available: int, high: int, low: int) -> int:
    """Bytes to free: none below `high` percent in use, above it as many as bring the use down to `low`."""
    if capacity <= 0 or (capacity - available) * 100 <= high * capacity:
        return 0
    return capacity - available - capacity * low // 100


def disk(path: str) -> tuple[int, int]:
    """(bytes of the file system, bytes available)."""
    status = os.statvfs(path)
    return status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize


def default_policy(name: str) -> str:
    parsed = reference.parse(name)
    return "Always" if parsed.tag == "latest" and not parsed.digest else "IfNotPresent"


def already_present(name: str) -> str:
    return f'Container image "{name}" already present on machine and can be accessed by the pod'


def duration(seconds: float) -> str:
    """To the millisecond, as Go prints durations: 85ms, 1.2s, 1m3.5s."""
    millis = round(seconds * 1000)
    if millis < 1000:
        return f"{millis}ms" if millis else "0s"
    minutes, rest = divmod(millis, 60_000)
    text = f"{rest / 1000:g}s"
    return f"{minutes}m{text}" if minutes else text
