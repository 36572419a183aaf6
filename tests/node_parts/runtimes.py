"""A container runtime for tests of what uses one: its containers are a table, its commands a function.

Where a test is about the kernel, tests/host has the real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from sampan.host.changes import Changes
from sampan.host.containers import (
    Container,
    ContainerConfig,
    ExecResult,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
    Stats,
)

Command = Callable[[str, Sequence[str]], Awaitable[ExecResult]]


class Table:
    """What there is. `run` executes what `command` says; methods that nobody here calls are not there."""

    def __init__(self, command: Command | None = None) -> None:
        self.table: dict[str, Container] = {}
        self.boxes: dict[str, Sandbox] = {}
        self.figures: dict[str, Stats] = {}
        self.reopened: list[str] = []
        self.on_reopen: Callable[[str], None] = lambda id: None
        self.command = command
        self._changes = Changes()

    def put(self, sandbox: SandboxConfig, *containers: ContainerConfig, state: Any = "running") -> None:
        """A sandbox `s-NAME` with containers `NAME-CONTAINER-ATTEMPT`."""
        box = Sandbox(f"s-{sandbox.name}", sandbox, True, 1_800_000_000.0)
        self.boxes[box.id] = box
        for config in containers:
            id = f"{sandbox.name}-{config.name}-{config.attempt}"
            self.table[id] = Container(id, box.id, config, state, 1_800_000_000.0, started_at=1_800_000_001.0)

    def end(self, id: str) -> None:
        self.table[id] = replace(self.table[id], state="exited", finished_at=1_800_000_100.0)
        self._changes.publish(id)

    async def containers(self) -> Sequence[Container]:
        return tuple(self.table.values())

    async def sandboxes(self) -> Sequence[Sandbox]:
        return tuple(self.boxes.values())

    async def container(self, id: str) -> Container | None:
        return self.table.get(id)

    def changes(self) -> AsyncIterator[str]:
        return self._changes.subscribe()

    async def reopen_log(self, id: str) -> None:
        if self.table[id].state != "running":
            raise RuntimeFailure("NotRunning", f"container {id!r} is not running")
        self.reopened.append(id)
        self.on_reopen(id)

    async def stats(self, id: str) -> Stats | None:
        return self.figures.get(id)

    async def sandbox_stats(self, id: str) -> Stats | None:
        return self.figures.get(id)

    async def run(self, id: str, command: Sequence[str], timeout: float) -> ExecResult:
        assert self.command is not None
        async with asyncio.timeout(timeout):
            return await self.command(id, command)
