"""A container runtime in memory that records what it is asked. Containers do what the test makes them do."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

from sampan.host.changes import Changes
from sampan.host.containers import (
    Container,
    ContainerConfig,
    ExecResult,
    Image,
    ImageFailure,
    Process,
    Resources,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
    Stats,
)
from sampan.http.types import Connection
from sampan.runtime.clock import Clock


class MemoryRuntime:
    """`calls` are the verbs with what they were about. Containers exit at the stop signal unless they are `deaf`."""

    def __init__(self, clock: Clock) -> None:
        self.calls: list[str] = []
        self.failures: dict[str, RuntimeFailure] = {}
        self.deaf: set[str] = set()
        self.held: dict[str, Sandbox] = {}
        self.runs: dict[str, Container] = {}
        self.graces: dict[str, float] = {}
        self._clock = clock
        self._changes = Changes()
        self._serial = itertools.count()

    def _note(self, call: str) -> None:
        self.calls.append(call)
        failure = self.failures.pop(call.split(" ")[0], None)
        if failure is not None:
            raise failure

    async def run_sandbox(self, config: SandboxConfig) -> Sandbox:
        self._note(f"run_sandbox {config.name} {config.attempt}")
        number = next(self._serial)
        made = Sandbox(f"s{number}", config, True, self._clock.now(), (f"10.244.0.{number + 2}",))
        self.held[made.id] = made
        return made

    async def stop_sandbox(self, id: str) -> None:
        self._note(f"stop_sandbox {id}")
        for run in list(self.runs.values()):
            if run.sandbox_id == id and run.state == "running":
                self.exit(run.id, 137)
        self.held[id] = replace(self.held[id], ready=False)

    async def remove_sandbox(self, id: str) -> None:
        self._note(f"remove_sandbox {id}")
        self.held.pop(id, None)
        for run in list(self.runs.values()):
            if run.sandbox_id == id:
                del self.runs[run.id]

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        self._note(f"create_container {config.name} {config.attempt}")
        id = f"{config.name}-{config.attempt}-{next(self._serial)}"
        self.runs[id] = Container(
            id, sandbox_id, config, "created", self._clock.now(), image_id=config.image, image_ref="app@sha256:bb"
        )
        return id

    async def start_container(self, id: str) -> None:
        run = self.runs[id]
        now = self._clock.now()
        try:
            self._note(f"start_container {run.config.name}")
        except RuntimeFailure as failure:
            self.runs[id] = replace(
                run, state="exited", exit_code=128, reason="StartError", message=str(failure), finished_at=now
            )
            raise
        self.runs[id] = replace(run, state="running", started_at=now, pid=1)
        self._changes.publish(id)

    async def stop_container(self, id: str, grace: float) -> None:
        run = self.runs.get(id)
        if run is None or run.state != "running":
            return
        self._note(f"stop_container {run.config.name}")
        self.graces[run.config.name] = grace
        if run.config.name in self.deaf:
            await self._clock.sleep(grace)
            self.exit(id, 137)
        else:
            self.exit(id, 143)

    async def remove_container(self, id: str) -> None:
        self._note(f"remove_container {id}")
        self.runs.pop(id, None)

    async def sandboxes(self) -> Sequence[Sandbox]:
        return list(self.held.values())

    async def containers(self) -> Sequence[Container]:
        return list(self.runs.values())

    async def container(self, id: str) -> Container | None:
        return self.runs.get(id)

    def changes(self) -> AsyncIterator[str]:
        return self._changes.subscribe()

    async def update_resources(self, id: str, resources: Resources) -> None:
        self._note(f"update_resources {self.runs[id].config.name}")
        run = self.runs[id]
        self.runs[id] = replace(run, config=replace(run.config, resources=resources))

    async def run(self, id: str, command: Sequence[str], timeout: float) -> ExecResult:
        raise AssertionError("the pod lifecycle never asks for this")

    async def exec(self, id: str, command: Sequence[str], *, tty: bool, stdin: bool) -> Process:
        raise AssertionError("the pod lifecycle never asks for this")

    async def attach(self, id: str) -> Process:
        raise AssertionError("the pod lifecycle never asks for this")

    async def connect(self, sandbox_id: str, port: int) -> Connection:
        raise AssertionError("the pod lifecycle never asks for this")

    async def reopen_log(self, id: str) -> None:
        raise AssertionError("the pod lifecycle never asks for this")

    async def stats(self, id: str) -> Stats | None:
        return None

    async def sandbox_stats(self, id: str) -> Stats | None:
        return None

    # --- what tests make happen ---

    def exit(self, id: str, code: int = 0, reason: str = "") -> None:
        run = self.runs[id]
        if run.state == "running":
            self.runs[id] = replace(
                run,
                state="exited",
                exit_code=code,
                finished_at=self._clock.now(),
                reason=reason or ("Error" if code else "Completed"),
            )
            self._changes.publish(id)

    def last(self, name: str) -> Container:
        """The last run of a container."""
        return [run for run in self.runs.values() if run.config.name == name][-1]


class MemoryImages:
    """Images by reference; `registry` are those that can be pulled, a failure in the place of one is raised."""

    def __init__(self, *present: str) -> None:
        self.present = {name: image(name) for name in present}
        self.registry: dict[str, ImageFailure | None] = {}
        self.pulls: list[tuple[str, tuple[tuple[str, str], ...]]] = []
        self.removed: list[str] = []
        self.gate: asyncio.Event | None = None

    async def image(self, reference: str) -> Image | None:
        return self.present.get(reference)

    async def pull(self, reference: str, credentials: Sequence[tuple[str, str]] = ()) -> Image:
        self.pulls.append((reference, tuple(credentials)))
        if self.gate is not None:
            await self.gate.wait()
        outcome: Any = self.registry.get(reference, ImageFailure("ErrImagePull", "not found"))
        if outcome is not None:
            raise outcome
        self.present[reference] = image(reference)
        return self.present[reference]

    async def images(self) -> Sequence[Image]:
        return list(self.present.values())

    async def remove(self, id: str) -> int:
        for name, found in list(self.present.items()):
            if found.id == id:
                del self.present[name]
                self.removed.append(name)
                return found.size
        return 0

    async def usage(self) -> tuple[int, int]:
        return sum(each.size for each in self.present.values()), 1 << 30


def image(name: str) -> Image:
    return Image(f"sha256:{name}", (name,), (f"{name}@sha256:bb",), 1000, 0.0)
