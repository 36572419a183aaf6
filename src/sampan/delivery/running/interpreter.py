"""Walks through a pipeline as Jenkins does: stages, parallel, when, post, retry, timeout.

A step that fails raises StepFailed through the stages around it, which note it, run their `post` and let it pass; the
stages after them are skipped. A stage that is cancelled (a timeout around it, a failed neighbour, an abort) runs its
`post`, too, and passes the cancellation on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sampan.delivery import conditions
from sampan.delivery.conditions import Facts
from sampan.delivery.errors import PipelineError
from sampan.delivery.pipeline import Agent, Credentials, Options, Pipeline, Stage, Step
from sampan.delivery.running import blocks, credentials, outcomes, steps
from sampan.delivery.running.blocks import limited
from sampan.delivery.running.contracts import Cut, Executor, Say, Slot, StepFailed
from sampan.delivery.running.outcomes import NAMED, PHASES, Result
from sampan.delivery.running.scope import Scope, State
from sampan.delivery.running.steps import World
from sampan.runtime.clock import Clock
from sampan.runtime.tasks import all_of, first_of

POST_TIME = 300.0
"""Seconds that one part of `post` may take, so that a run that was aborted does end."""
FAILURES = (StepFailed, Cut)
Post = Mapping[str, tuple[Step, ...]]


class Outcome(NamedTuple):
    result: Result
    message: str
    image: str
    release: int


class Interpreter:
    """One run. `states` are its stages in the order of the pipeline; `told` is awaited whenever one of them changes."""

    def __init__(
        self,
        pipeline: Pipeline,
        facts: Facts,
        executor: Executor,
        clock: Clock,
        *,
        say: Say,
        told: Callable[[], Awaitable[None]],
        previous: Result | None = None,
        after: Sequence[Stage] = (),
        left_out: Mapping[str, str] | None = None,
        closing: Callable[[], bool] = lambda: False,
    ) -> None:
        """`after` are stages that follow those of the pipeline if all of them are well, `left_out` (with the reasons)
        those that do not run.

        `closing` tells whether the process ends: then a cancellation is left alone, and no `post` runs.
        """
        self._pipeline = pipeline
        self._facts = facts
        self._executor = executor
        self._clock = clock
        self._write = say
        self._told = told
        self._previous = previous
        self._after = tuple(after)
        self._everything = (*pipeline.stages, *self._after)
        self._closing = closing
        self._left_out = left_out or {}
        self._states = {stage.name: State(stage.name) for stage in flat(self._everything)}
        self._run = State("")
        self._floor = Result.SUCCESS
        self._image = ""
        self._release = 0
        self._world = World(
            executor=executor,
            clock=clock,
            say=self._say,
            mark=self._mark,
            floor=self._at_least,
            built=lambda image: setattr(self, "_image", image),
            deployed=lambda release: setattr(self, "_release", release),
            image=lambda: self._image,
        )

    @property
    def states(self) -> Sequence[State]:
        return tuple(self._states.values())

    async def run(self, ends: asyncio.Event, why: Callable[[], str]) -> Outcome:
        """To the end, or until `ends` is set: then what runs is cancelled, and `post` still runs."""
        slot = _slot(self._pipeline.agent)
        scope = Scope(self._facts, self._run, slot, environment=self._facts.env)
        try:
            scope = await self._environment(scope, self._pipeline.environment)
            options, what = self._pipeline.options, "the pipeline"
            work = self._attempts(options, what, self._everything, scope, lambda: self._all(scope))
            if await first_of("pipeline", limited(self._clock, options.timeout, what, work), ends.wait()) == 1:
                raise Cut(why())
        except FAILURES as error:
            self._run.mark(_result(error), f"stage {error.where}: {error}" if error.where else str(error))
        self._run.mark(self._floor)
        try:
            await self._skip(self._everything, "the pipeline ended before")
            await self._post(self._pipeline.post, scope)
        finally:
            await self._leave(slot)
        if self._run.result and not self._run.message:
            decided = next((each for each in self.states if each.result == self._run.result), None)
            self._run.message = f"stage {decided.name}: {decided.message}" if decided else ""
        return Outcome(self._run.result, self._run.message, self._image, self._release)

    async def _all(self, scope: Scope) -> None:
        await self._sequence(self._pipeline.stages, scope)
        if self._floor:
            await self._skip(self._after, f"the stages before ended {PHASES[self._floor].lower()}")
        else:
            await self._sequence(self._after, scope)

    # --- stages

    async def _sequence(self, stages: Sequence[Stage], scope: Scope) -> None:
        for at, stage in enumerate(stages):
            try:
                await self._stage(stage, scope)
            except FAILURES:
                await self._skip(stages[at + 1 :], f"stage {stage.name} did not succeed")
                raise

    async def _stage(self, stage: Stage, outer: Scope) -> None:
        state = self._states[stage.name]
        if stage.name in self._left_out:
            await self._skip((stage,), self._left_out[stage.name])
            return
        slot = outer.slot if stage.agent is None else _slot(stage.agent)
        scope = replace(outer, state=state, slot=slot)
        state.phase, state.started = "Running", self._clock.now()
        await self._told()
        error: BaseException | None = None
        try:
            scope = await self._environment(scope, stage.environment)
            if not await _wanted(stage, scope):
                await self._skip_this(stage, scope)
                return
            await self._say(scope)(f"stage {stage.name}")
            await self._body(stage, scope)
            state.mark(outcomes.worst(self._states[each.name].result for each in _inner(stage)))
        except FAILURES as failure:
            error = failure
            state.mark(_result(failure), str(failure))
        except asyncio.CancelledError as cancelled:
            if self._closing():
                raise
            error = cancelled
            state.mark(Result.ABORTED, "ended before its time")
        try:
            await self._skip(_inner(stage), "the stage ended before")
            broken = await self._post(stage.post, scope)
        finally:
            if slot is not outer.slot:
                await self._leave(slot)
        state.finished, state.phase = self._clock.now(), PHASES[state.result]
        await self._told()
        await self._say(scope)(_ended(state))
        error = error or broken
        if error is not None:
            if isinstance(error, FAILURES) and not error.where:
                error.where = stage.name
            raise error

    async def _body(self, stage: Stage, scope: Scope) -> None:
        what = f"stage {stage.name}"
        work = self._attempts(stage.options, what, _inner(stage), scope, lambda: self._content(stage, scope))
        await limited(self._clock, stage.options.timeout, "it", work)

    async def _content(self, stage: Stage, scope: Scope) -> None:
        if stage.parallel:
            await self._parallel(stage, scope)
        elif stage.stages:
            await self._sequence(stage.stages, scope)
        else:
            if scope.slot is not None and uses(stage.steps, "sh"):
                # Before the first step, so that no `timeout` of the Jenkinsfile counts an agent's start.
                await self._executor.prepare(scope.slot, self._say(scope))
            await self._steps(stage.steps, scope)

    async def _parallel(self, stage: Stage, scope: Scope) -> None:
        errors: list[tuple[Stage, Exception]] = []
        failed = asyncio.Event()

        async def one(inner: Stage) -> None:
            try:
                await self._stage(inner, replace(scope, prefix=f"{scope.prefix}[{inner.name}] "))
            except FAILURES as error:
                errors.append((inner, error))
                if stage.fail_fast:
                    failed.set()

        async def side_by_side() -> None:
            for each in await all_of(stage.name, [one(inner) for inner in stage.parallel]):
                if isinstance(each, Exception):
                    raise each

        await first_of(stage.name, side_by_side(), failed.wait())
        if not errors:
            return
        first, error = errors[0]
        for state in (self._states[each.name] for each in stage.parallel):
            if stage.fail_fast and state.result == Result.ABORTED and state.name != first.name:
                state.message = f"stage {first.name} failed, and failFast is set"
        raise error

    async def _attempts(
        self,
        options: Options,
        what: str,
        inner: Sequence[Stage],
        scope: Scope,
        work: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        for attempt in range(1, options.retry + 1):
            try:
                await work()
                return
            except FAILURES as error:
                if attempt == options.retry:
                    raise
                await self._say(scope)(f"{what}: attempt {attempt} of {options.retry} failed: {error}")
                for each in flat(inner):
                    self._states[each.name] = State(each.name)

    async def _steps(self, given: Sequence[Step], scope: Scope) -> None:
        for step in given:
            if step.name in blocks.BLOCKS:
                await blocks.run(step, scope, self._world, self._steps)
            else:
                await steps.run(step, scope, self._world)

    async def _post(self, post: Post, scope: Scope) -> StepFailed | None:
        """Each part is asked for when its turn comes, because one before it may have changed the result."""
        broken: StepFailed | None = None
        done: set[str] = set()
        while left := [name for name in outcomes.posts(post, scope.state.result, self._previous) if name not in done]:
            name = left[0]
            done.add(name)
            word = next(word for word, result in NAMED.items() if result == scope.state.result)
            facts = replace(scope.facts, build={"currentResult": word, "result": word})
            await self._say(scope)(f"post {name}")
            try:
                work = self._steps(post[name], replace(scope, facts=facts))
                await limited(self._clock, POST_TIME, f"post {name}", work)
            except FAILURES as error:
                text = f"post {name}: {error}"
                await self._say(scope)(text)
                scope.state.mark(Result.FAILURE, text)
                broken = broken or StepFailed(text)
        return broken

    # --- small things

    async def _environment(self, scope: Scope, given: Mapping[str, Any]) -> Scope:
        for name, value in given.items():
            if isinstance(value, Credentials):
                fields = await self._executor.credentials(value.id)
                credentials.hide(self._executor, fields)
                scope = scope.with_environment(credentials.environment(name, value.id, fields))
            else:
                scope = scope.with_environment({name: scope.text(value)})
        return scope

    async def _skip_this(self, stage: Stage, scope: Scope) -> None:
        await self._say(scope)(f"stage {stage.name}: skipped, its `when` does not hold")
        self._states[stage.name] = State(stage.name)
        await self._skip((stage,), "its `when` does not hold")

    async def _skip(self, stages: Sequence[Stage], why: str) -> None:
        waiting = [state for stage in flat(stages) if (state := self._states[stage.name]).phase == "Pending"]
        for state in waiting:
            state.phase, state.message = "Skipped", why
        if waiting:
            await self._told()

    async def _leave(self, slot: Slot | None) -> None:
        if slot is not None:
            await self._executor.release(slot)

    def _say(self, scope: Scope) -> Say:
        if not scope.prefix:
            return self._write

        async def say(line: str) -> None:
            await self._write(scope.prefix + line)

        return say

    def _mark(self, scope: Scope, result: Result, message: str) -> None:
        scope.state.mark(result, message)
        self._at_least(result, message)

    def _at_least(self, result: Result, message: str) -> None:
        self._floor = max(self._floor, result)


def flat(stages: Sequence[Stage]) -> list[Stage]:
    """All stages, those within others after them."""
    return [each for stage in stages for each in (stage, *flat(_inner(stage)))]


def uses(steps: Sequence[Step], name: str) -> bool:
    """Whether a step is among them, or within one of them."""
    return any(step.name == name or uses(step.inner, name) for step in steps)


def _inner(stage: Stage) -> tuple[Stage, ...]:
    return (*stage.stages, *stage.parallel)


def _slot(agent: Agent) -> Slot | None:
    return None if agent.none else Slot(agent)


async def _wanted(stage: Stage, scope: Scope) -> bool:
    if not stage.when:
        return True
    try:
        return await asyncio.to_thread(conditions.holds, stage.when, scope.facts)
    except PipelineError as error:
        raise StepFailed(str(error)) from error


def _result(error: Exception) -> Result:
    return Result.ABORTED if isinstance(error, Cut) else Result.FAILURE


def _ended(state: State) -> str:
    took = (state.finished or 0) - (state.started or 0)
    words = f": {state.message}" if state.message else ""
    return f"stage {state.name}: {state.phase.lower()} in {took:.1f} s{words}"
