"""The instructions of a Dockerfile as values. Strings are as written: variables are replaced when a stage runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sampan.images.build.lines import Heredoc

Network = Literal["default", "none", "host"]
MountKind = Literal["bind", "cache", "tmpfs", "secret", "ssh"]


@dataclass(frozen=True, slots=True)
class Instruction:
    """`line` is where it starts, `text` what was written, without continuations."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command line for the shell (one word), or a program with its arguments."""

    words: tuple[str, ...]
    shell: bool


@dataclass(frozen=True, slots=True)
class RunMount:
    """`--mount` of RUN. `target` may be empty for a secret, which then lies in /run/secrets/ID; sizes in bytes."""

    kind: MountKind
    target: str = ""
    source: str = ""
    from_: str = ""
    id: str = ""
    readonly: bool = False
    required: bool = False
    env: str = ""
    mode: int | None = None
    uid: int = 0
    gid: int = 0
    size: int = 0
    sharing: Literal["shared", "private", "locked"] = "shared"


@dataclass(frozen=True, slots=True)
class From(Instruction):
    image: str
    name: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Arg(Instruction):
    """(name, default) pairs; None is no default."""

    pairs: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Env(Instruction):
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Label(Instruction):
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Run(Instruction):
    """A shell line may have here-documents; `command` is empty when there are only these."""

    command: Command
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[RunMount, ...] = ()
    network: Network = "default"
    privileged: bool = False


@dataclass(frozen=True, slots=True)
class Copy(Instruction):
    """COPY, and ADD with `add`. Sources that are here-documents are in `heredocs` by name."""

    sources: tuple[str, ...]
    target: str
    heredocs: tuple[Heredoc, ...] = ()
    add: bool = False
    from_: str = ""
    chown: str = ""
    chmod: str = ""
    parents: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""
    unpack: bool | None = None


@dataclass(frozen=True, slots=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True, slots=True)
class User(Instruction):
    user: str


@dataclass(frozen=True, slots=True)
class Expose(Instruction):
    ports: str


@dataclass(frozen=True, slots=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cmd(Instruction):
    command: Command


@dataclass(frozen=True, slots=True)
class Entrypoint(Instruction):
    command: Command


@dataclass(frozen=True, slots=True)
class Shell(Instruction):
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Healthcheck(Instruction):
    """`test` is ("NONE",), ("CMD", ...) or ("CMD-SHELL", line); times in nanoseconds, 0 is not given."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Stopsignal(Instruction):
    signal: str


@dataclass(frozen=True, slots=True)
class Onbuild(Instruction):
    """`trigger` is the instruction for later; its here-documents are put into its text."""

    trigger: str


@dataclass(frozen=True, slots=True)
class Maintainer(Instruction):
    name: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A FROM and what follows it."""

    index: int
    from_: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        return self.from_.name or str(self.index)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """`arguments` stand before the first FROM and count in FROM lines only."""

    file: str
    stages: tuple[Stage, ...]
    arguments: tuple[Arg, ...] = ()
    escape: str = "\\"
    syntax: str = ""
