"""Steps around steps: dir, withEnv, withCredentials, timeout, retry, catchError."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sampan.delivery.pipeline import UNITS, Step
from sampan.delivery.running import credentials
from sampan.delivery.running.contracts import Cut, StepFailed
from sampan.delivery.running.outcomes import Result
from sampan.delivery.running.scope import Scope, named_result, overrides
from sampan.delivery.running.steps import World
from sampan.runtime.clock import Clock
from sampan.runtime.tasks import first_of

Inner = Callable[[Sequence[Step], Scope], Coroutine[Any, Any, None]]
Block = Callable[[Step, Scope, World, Inner], Awaitable[None]]


async def limited(clock: Clock, seconds: float, what: str, work: Coroutine[Any, Any, None]) -> None:
    """At most `seconds`, 0 for no end. What runs then is cancelled, which waits for its `post`. Raises Cut."""
    if not seconds:
        return await work
    if await first_of("timeout", work, clock.sleep(seconds)) == 1:
        raise Cut(f"{what} took longer than {_words(seconds)}")
    return None


def _words(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


async def run(step: Step, scope: Scope, world: World, inner: Inner) -> None:
    await BLOCKS[step.name](step, scope, world, inner)


async def _dir(step: Step, scope: Scope, world: World, inner: Inner) -> None:
    path = scope.inside(scope.text(step.arguments["path"]))
    await inner(step.inner, replace(scope, directory=path))


async def _with_env(step: Step, scope: Scope, world: World, inner: Inner) -> None:
    await inner(step.inner, scope.with_environment(overrides(scope, step.arguments["overrides"])))


async def _with_credentials(step: Step, scope: Scope, world: World, inner: Inner) -> None:
    found = await credentials.bound(step.arguments["bindings"], scope, world.executor)
    await inner(step.inner, scope.with_environment(found))


async def _timeout(step: Step, scope: Scope, world: World, inner: Inner) -> None:
    seconds = float(step.arguments["time"]) * UNITS[step.arguments.get("unit", "MINUTES")]
    await limited(world.clock, seconds, "timeout: the steps in it", inner(step.inner, scope))


async def _retry(step: Step, scope: Scope, world: World, inner: Inner) -> None:
    count = int(step.arguments["count"])
    for attempt in range(1, count + 1):
        try:
            await inner(step.inner, scope)
            return
        except (StepFailed, Cut) as error:
            # A timeout within the block counts as failed; one around it comes as a cancellation and passes.
            if attempt == count:
                raise
            await world.say(scope)(f"attempt {attempt} of {count} failed: {error}")


async def _catch(step: Step, scope: Scope, world: World, inner: Inner) -> None:
    try:
        await inner(step.inner, scope)
    except (StepFailed, Cut) as error:
        text = scope.text(step.arguments["message"]) if step.arguments.get("message") else str(error)
        await world.say(scope)(f"failed, and goes on: {error}")
        scope.state.mark(named_result(scope, step.arguments.get("stageResult"), Result.SUCCESS), text)
        world.floor(named_result(scope, step.arguments.get("buildResult"), Result.FAILURE), text)


async def _as_is(step: Step, scope: Scope, world: World, inner: Inner) -> None:
    await inner(step.inner, scope)


BLOCKS: Mapping[str, Block] = {
    "dir": _dir,
    "withEnv": _with_env,
    "withCredentials": _with_credentials,
    "timeout": _timeout,
    "retry": _retry,
    "catchError": _catch,
    "timestamps": _as_is,
}
