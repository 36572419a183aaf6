"""What somebody wants built, and what comes of it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sampan.images.build.ignore import NOTHING, Ignore
from sampan.images.build.instructions import Dockerfile
from sampan.images.build.state import EPOCH

INSECURE = "security.insecure"
"""Leave for RUN --security=insecure, whose command may do what root may on this machine."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where the content of a secret is: a file, or a variable of the environment."""

    path: str = ""
    value: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """`context` is the directory that COPY sees; `names` are references; `environment` has the proxies for RUN.

    `certificates` is a file with the authorities that RUNs should trust, "" for those of the image.
    `allow` may hold INSECURE.
    """

    file: Dockerfile
    context: str
    ignore: Ignore = NOTHING
    names: tuple[str, ...] = ()
    target: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    no_cache: bool = False
    pull: bool = False
    epoch: int = EPOCH
    certificates: str = ""
    allow: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Built:
    """`steps` and `cached` count instructions; `warnings` are for the person."""

    id: str
    manifest: str
    names: tuple[str, ...]
    steps: int
    cached: int
    warnings: tuple[str, ...] = ()
