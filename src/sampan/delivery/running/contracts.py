"""What the interpreter asks of the world. One implementation works with pods; tests have one that notes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from sampan.delivery.pipeline import Agent

Say = Callable[[str], Awaitable[None]]
"""Takes one line of the log."""


class StepFailed(Exception):
    """What a person reads: what failed, and why. `where` is the stage that it happened in."""

    where = ""


class Cut(Exception):
    """Time is up; counts as aborted. `where` is the stage that it happened in."""

    where = ""


class Slot:
    """An agent from its stage's begin to its end; what stands for it (a pod) is made when a stage needs it."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent


class Deployed(NamedTuple):
    release: int
    words: str


class Executor(Protocol):
    """Directories are relative to the workspace, "" for itself. All raise StepFailed."""

    async def prepare(self, slot: Slot, say: Say) -> None:
        """Make what stands for the agent, if nobody has."""
        ...

    async def shell(
        self, slot: Slot, script: str, environment: Mapping[str, str], directory: str, say: Say, out: Say | None
    ) -> int:
        """Run a script in the agent; its lines go to `out`, or nowhere. What happens to the agent is told to `say`.

        Returns the exit code.
        """
        ...

    def pod(self, slot: Slot) -> str:
        """The name of the agent's pod, "" before it is used."""
        ...

    async def release(self, slot: Slot) -> None: ...

    async def archive(self, directory: str, patterns: Sequence[str], excludes: Sequence[str]) -> Sequence[str]: ...

    async def reports(self, directory: str, patterns: Sequence[str]) -> Sequence[tuple[str, bytes]]: ...

    async def stash(self, name: str, directory: str, patterns: Sequence[str], excludes: Sequence[str]) -> int:
        """Returns the number of files."""
        ...

    async def unstash(self, name: str, directory: str) -> None: ...

    async def clear(self, directory: str) -> None: ...

    async def check_out(self, directory: str) -> None: ...

    async def credentials(self, id: str) -> Mapping[str, str]:
        """The fields of a Secret."""
        ...

    async def secret_file(self, text: str) -> str:
        """A path that the agents find `text` at."""
        ...

    def mask(self, text: str) -> None:
        """Keep a text out of the log."""
        ...

    async def build(self, say: Say, *, clean: bool = False) -> str:
        """The app's image, from the workspace as it is, or (`clean`) from the commit. Returns its name."""
        ...

    async def deploy(self, image: str, say: Say) -> Deployed: ...
