"""What a command of a RUN is to have: apart from execute.py, so that a build that runs nothing loads nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bind:
    source: str
    target: str
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """`layers` are directories from the top to the bottom; sizes of `memories` (tmpfs) are bytes, 0 without limit."""

    layers: Sequence[str]
    words: Sequence[str]
    env: Mapping[str, str]
    workdir: str = "/"
    user: str = ""
    binds: Sequence[Bind] = ()
    memories: Sequence[tuple[str, int]] = ()
    network: bool = True
    privileged: bool = False
