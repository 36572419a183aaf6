"""Manifests, indexes and configurations of images: what we read of them, by the OCI image specification 1.1.

Docker's own media types mean the same and are accepted everywhere.
"""

from __future__ import annotations

import platform
from typing import TypeVar

import msgspec

from sampan.host.images import ImageConfig

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = (INDEX, DOCKER_LIST)
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
ACCEPT = ", ".join((*MANIFESTS, *INDEXES))
REF_NAME = "org.opencontainers.image.ref.name"
IMAGE_NAME = "io.containerd.image.name"

_ARCHITECTURES = {"x86_64": ("amd64", ""), "aarch64": ("arm64", "v8"), "armv7l": ("arm", "v7")}

D = TypeVar("D")


class BadImage(ValueError):
    """A document of an image that cannot be used."""


class Platform(msgspec.Struct, frozen=True):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True):
    mediaType: str = ""
    digest: str = ""
    size: int = 0
    platform: Platform | None = None
    annotations: dict[str, str] | None = None


class Index(msgspec.Struct, frozen=True):
    manifests: tuple[Descriptor, ...] = ()
    mediaType: str = ""


class Manifest(msgspec.Struct, frozen=True):
    config: Descriptor
    layers: tuple[Descriptor, ...] = ()
    mediaType: str = ""


class RootFS(msgspec.Struct, frozen=True):
    diff_ids: tuple[str, ...] = ()


class RunConfig(msgspec.Struct, frozen=True):
    """The `config` object; null means absent."""

    Entrypoint: tuple[str, ...] | None = None
    Cmd: tuple[str, ...] | None = None
    Env: tuple[str, ...] | None = None
    WorkingDir: str | None = None
    User: str | None = None
    StopSignal: str | None = None
    Labels: dict[str, str] | None = None
    ExposedPorts: dict[str, object] | None = None
    Volumes: dict[str, object] | None = None


class Configuration(msgspec.Struct, frozen=True):
    rootfs: RootFS
    config: RunConfig | None = None
    architecture: str = ""
    os: str = ""

    def image_config(self) -> ImageConfig:
        run = self.config or RunConfig()
        return ImageConfig(
            entrypoint=run.Entrypoint or (),
            cmd=run.Cmd or (),
            env=run.Env or (),
            working_dir=run.WorkingDir or "",
            user=run.User or "",
            stop_signal=run.StopSignal or "",
            labels=run.Labels or {},
            exposed_ports=tuple(run.ExposedPorts or ()),
            volumes=tuple(run.Volumes or ()),
        )


def decode(data: bytes, kind: type[D], what: str) -> D:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadImage(f"invalid {what}: {error}") from error


def is_index(data: bytes, media_type: str = "") -> bool:
    """Whether a document is an index; by its own words when the transport gave no type."""
    if media_type in INDEXES or media_type in MANIFESTS:
        return media_type in INDEXES
    head = decode(data, dict, "manifest")
    return head.get("mediaType") in INDEXES or ("manifests" in head and "config" not in head)


def choose(index: Index, machine: str = "") -> Descriptor:
    """The manifest for this machine. Raises BadImage with what there is."""
    ranked = [(rank, descriptor) for descriptor in index.manifests if (rank := _rank(descriptor, machine)) is not None]
    if not ranked:
        architecture, _ = _architecture(machine)
        have = ", ".join(f"{p.os}/{p.architecture}" for d in index.manifests if (p := d.platform) is not None)
        raise BadImage(f"no match for platform linux/{architecture} in manifest: it has {have or 'none'}")
    return min(ranked, key=lambda pair: pair[0])[1]


def usable(index: Index, machine: str = "") -> list[Descriptor]:
    """The images of an archive's index: other platforms' are left out when there is one for this machine."""
    found = [descriptor for descriptor in index.manifests if _rank(descriptor, machine) is not None]
    return found or ([choose(index, machine)] if index.manifests else [])


def _architecture(machine: str) -> tuple[str, str]:
    name = machine or platform.machine()
    return _ARCHITECTURES.get(name, (name, ""))


def _rank(descriptor: Descriptor, machine: str) -> int | None:
    """How well a manifest fits, 0 is best; None for another platform's and for what is no image."""
    architecture, variant = _architecture(machine)
    if descriptor.mediaType and descriptor.mediaType not in (*MANIFESTS, *INDEXES):
        return None
    wanted = descriptor.platform
    if wanted is None or not wanted.architecture:
        return 2
    if wanted.os != "linux" or wanted.architecture != architecture:
        return None
    return 0 if wanted.variant in ("", variant) else 1
