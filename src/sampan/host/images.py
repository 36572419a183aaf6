"""What the runtime needs of an image to make a container of it; the image store gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The `config` of an OCI image configuration: how its author wants it run."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageRoot:
    """An unpacked image: `layers` are directories from the top to the bottom, shared and never written.

    `id` is the configuration's digest, `reference` a name with a digest (or the ID) for the container's status.
    """

    id: str
    reference: str
    layers: tuple[str, ...]
    config: ImageConfig


class ImageRoots(Protocol):
    def root(self, reference: str) -> ImageRoot | None:
        """The unpacked image that a reference or ID names; None when it is not here. Marks it used."""
        ...
