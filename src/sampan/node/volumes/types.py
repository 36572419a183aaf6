"""What every volume type implements, and what it may ask for.

A type is a module with `FIELD` (its name in the volume's source) and `async def prepare(setup, pod, volume) -> Work`.
`prepare` asks the API; the Work's action, which blocks, runs in a thread afterwards and is idempotent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sampan.api.types import core_v1
from sampan.client.client import Client
from sampan.node.contracts import Configs, HostVolume, NodeFacts
from sampan.node.volumes.tokens import Tokens


class VolumeFailure(Exception):
    """A volume cannot be set up now; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a type may use. `disk` and `memory` are the directories of the pod's volumes: on disk, and on a
    file system that lives in memory for what must not reach the disk."""

    client: Client
    configs: Configs
    tokens: Tokens
    node: NodeFacts
    images: ImageVolumes
    disk: Path
    memory: Path


@dataclass(frozen=True, slots=True)
class Work:
    """`action` makes the volume ready. `renew` is the Unix time at which it should be prepared again, 0 for never."""

    volume: HostVolume
    action: Callable[[], None] | None = None
    renew: float = 0.0


class VolumeType(Protocol):
    FIELD: str

    async def prepare(self, setup: Setup, pod: core_v1.Pod, volume: core_v1.Volume) -> Work: ...


class ImageVolumes(Protocol):
    """Images as volumes."""

    async def ensure(self, pod: core_v1.Pod, volume: str, source: core_v1.ImageVolumeSource) -> str:
        """The ID of the image, pulled when its policy asks for that. Raises VolumeFailure."""
        ...
