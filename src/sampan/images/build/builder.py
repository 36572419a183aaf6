"""Builds an image by its Dockerfile: stages at once where they can, one step after another in each.

    request -> graph (which stages) -> a task per stage -> step -> cache, or layering and execute -> commit

A step that changes files is looked for in the cache by what it depends on; only what is not there is done.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from sampan.host.containers import ImageFailure
from sampan.images.build import base_image, commit, files, graph, metadata, parse, stack
from sampan.images.build.cache import Cache
from sampan.images.build.errors import BuildError, DockerfileError, StepFailed
from sampan.images.build.files import Files
from sampan.images.build.instructions import Instruction, Stage
from sampan.images.build.metadata import PROXIES, Variables
from sampan.images.build.progress import Progress, Step
from sampan.images.build.request import Built, Request
from sampan.images.build.state import State
from sampan.images.build.workshop import Workshop
from sampan.images.store import ImageStore


class Builder:
    """One build. `at_once` commands run at the same time, over all stages."""

    def __init__(
        self, store: ImageStore, workshop: Workshop, request: Request, progress: Progress, at_once: int = 0
    ) -> None:
        self.store = store
        self.request = request
        self.progress = progress
        self.file = request.file
        self.cache = Cache(store)
        self.outer = graph.outer_arguments(request.file, request.arguments)
        self.variables = Variables(request.arguments, self.outer, request.file.escape)
        self.turns = asyncio.Semaphore(at_once or os.cpu_count() or 1)
        self.files = Files(store, workshop, request, self.variables, self.turns, self.origin, self.cache)
        self._stages: dict[int, asyncio.Task[State]] = {}
        self._images: dict[str, asyncio.Lock] = {}
        self._steps = 0
        self._cached = 0
        self._made = 0

    async def build(self) -> Built:
        """Raises BuildError; nothing that it made stays visible then but the cache."""
        last = graph.target(self.file, self.request.target)
        async with self.store.adding():
            with self.files.opened():
                state = await self._run(last)
            if self.request.labels:
                state = state.configured(Labels={**(state.config.get("Labels") or {}), **self.request.labels})
            names = self.request.names
            try:
                id, manifest = await commit.image(self.store, state, names, self.request.epoch)
            except ImageFailure as error:
                raise BuildError(str(error)) from error
        if self._made and await self.store.call(self.cache.prune):
            await self.store.collect()
        return Built(id, manifest, names, self._steps, self._cached, self._warnings(last))

    async def _run(self, last: Stage) -> State:
        needed = graph.needed(self.file, last, self.outer)
        try:
            async with asyncio.TaskGroup() as group:
                for index in needed:
                    self._stages[index] = group.create_task(self._stage(index), name=f"stage {index}")
        except* Exception as errors:
            raise _first(errors) from None
        return self._stages[last.index].result()

    async def _stage(self, index: int) -> State:
        stage = self.file.stages[index]
        origin = graph.base(self.file, stage, self.outer)
        total = 1 + len(stage.instructions)
        async with self._step(stage, 1, total, stage.from_) as step:
            state = await self.origin(origin)
            inherited = list(state.config.get("OnBuild") or ())
            state = replace(state.configured(OnBuild=None), arguments={}, own_cmd=False)
            self._cached += 1
            step.done()
        triggers = [parse.trigger(text, f"ONBUILD of {stage.from_.image}", "\\") for text in inherited]
        instructions = (*triggers, *stage.instructions)
        roles = stack.roles(instructions, scratch=not state.layers)
        total = 1 + len(instructions)
        for number, (instruction, role) in enumerate(zip(instructions, roles, strict=True), 2):
            async with self._step(stage, number, total, instruction) as step:
                state = await self._instruction(stage, instruction, state, role, step)
        return state

    @asynccontextmanager
    async def _step(self, stage: Stage, number: int, total: int, instruction: Instruction) -> AsyncIterator[Step]:
        """Shows a step, and gives errors in it the place where it stands."""
        label = (
            f"[{stage.from_.name or f'stage-{stage.index}'} {number}/{total}]"
            if len(self.file.stages) > 1
            else f"[{number}/{total}]"
        )
        step = self.progress.step(label, instruction.text)
        self._steps += 1
        try:
            yield step
        except StepFailed:
            step.failed()
            raise
        except DockerfileError:
            step.failed()
            raise
        except (BuildError, ValueError) as error:
            step.failed()
            raise DockerfileError(self.file.file, instruction.line, str(error)) from error

    async def _instruction(self, stage: Stage, instruction: Instruction, state: State, role: str, step: Step) -> State:
        outcome = await self.files.step(stage, instruction, state, step)
        if outcome is None:
            self._cached += 1
            state = metadata.apply(instruction, state, self.variables)
            step.done()
            return state.recorded(instruction.text, role, self.request.epoch, empty=True)
        if outcome.cached:
            self._cached += 1
        else:
            self._made += 1
        step.done("cached" if outcome.cached else "")
        state = files.with_layer(outcome.state, outcome.layer)
        return state.recorded(instruction.text, role, self.request.epoch, empty=outcome.layer is None)

    async def origin(self, origin: graph.Origin) -> State:
        """The last state of a stage, or an image. Each image is brought once."""
        if origin.stage >= 0:
            return await self._stages[origin.stage]
        if not origin.image:
            return State()
        async with self._images.setdefault(origin.image, asyncio.Lock()):
            return await base_image.state_of(self.store, origin.image, self.progress.note, pull=self.request.pull)

    def _warnings(self, last: Stage) -> tuple[str, ...]:
        declared = {name for step in self.file.arguments for name, _ in step.pairs} | set(PROXIES)
        declared |= {"SOURCE_DATE_EPOCH", *graph.platform_arguments()}
        for stage in self.file.stages:
            for step in stage.instructions:
                declared |= {name for name, _ in getattr(step, "pairs", ())}
        unused = [name for name in self.request.arguments if name not in declared]
        return tuple(f"--build-arg {name}: no ARG {name} in {self.file.file}" for name in unused)


def _first(errors: BaseExceptionGroup) -> BaseException:
    """The first error that says something, of those that stages failed with."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
