"""Single steps: each takes its arguments and the scope, acts through the executor, or raises StepFailed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sampan.delivery.pipeline import UNITS, Step
from sampan.delivery.running import junit
from sampan.delivery.running.contracts import Executor, Say, StepFailed
from sampan.delivery.running.outcomes import Result
from sampan.delivery.running.scope import Scope
from sampan.runtime.clock import Clock


class World(NamedTuple):
    """What steps act on. `mark` notes a result for the stage and the run, `floor` for the run alone."""

    executor: Executor
    clock: Clock
    say: Callable[[Scope], Say]
    mark: Callable[[Scope, Result, str], None]
    floor: Callable[[Result, str], None]
    built: Callable[[str], None]
    deployed: Callable[[int], None]
    image: Callable[[], str]


Arguments = Mapping[str, Any]
Run = Callable[[Arguments, Scope, World], Awaitable[None]]


async def run(step: Step, scope: Scope, world: World) -> None:
    await STEPS[step.name](step.arguments, scope, world)


async def _sh(arguments: Arguments, scope: Scope, world: World) -> None:
    if scope.slot is None:
        raise StepFailed(f"sh needs an agent: stage {scope.state.name!r} has none; write agent any in it")
    script = scope.text(arguments["script"])
    say = world.say(scope)
    if arguments.get("label") is not None:
        await say(f"# {scope.text(arguments['label'])}")
    out = None if scope.flag(arguments.get("returnStdout")) else say
    code = await world.executor.shell(scope.slot, script, scope.environment, scope.directory, say, out)
    scope.state.pod = scope.state.pod or world.executor.pod(scope.slot)
    if code and not scope.flag(arguments.get("returnStatus")):
        raise StepFailed(f"{_first(script)} ended with exit code {code}")


def _first(script: str) -> str:
    """A script in one line."""
    lines = [line.strip() for line in script.splitlines() if line.strip() and not line.strip().startswith("#")]
    first = lines[0] if lines else "the script"
    return f"`{first[:60]}{'...' if len(first) > 60 or len(lines) > 1 else ''}`"


async def _echo(arguments: Arguments, scope: Scope, world: World) -> None:
    for line in scope.text(arguments["message"]).splitlines() or [""]:
        await world.say(scope)(line)


async def _error(arguments: Arguments, scope: Scope, world: World) -> None:
    raise StepFailed(scope.text(arguments["message"]))


async def _unstable(arguments: Arguments, scope: Scope, world: World) -> None:
    text = scope.text(arguments["message"])
    await world.say(scope)(f"unstable: {text}")
    world.mark(scope, Result.UNSTABLE, text)


async def _archive(arguments: Arguments, scope: Scope, world: World) -> None:
    patterns = scope.patterns(arguments["artifacts"])
    found = await world.executor.archive(scope.directory, patterns, scope.patterns(arguments.get("excludes")))
    if not found and not scope.flag(arguments.get("allowEmptyArchive")):
        raise StepFailed(f"archiveArtifacts: no file is called {', '.join(patterns)}; links are not followed")
    await world.say(scope)(f"archived {len(found)} file{'' if len(found) == 1 else 's'}: {_few(found)}")


def _few(names: Any) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "") if names else "none"


async def _junit(arguments: Arguments, scope: Scope, world: World) -> None:
    patterns = scope.patterns(arguments["testResults"])
    found = await world.executor.reports(scope.directory, patterns)
    if not found:
        if scope.flag(arguments.get("allowEmptyResults")):
            return
        raise StepFailed(f"junit: no report is called {', '.join(patterns)}")
    report = await asyncio.to_thread(_together, found)
    await world.say(scope)(str(report))
    bad = report.failed and not scope.flag(arguments.get("skipMarkingBuildUnstable"))
    world.mark(scope, Result.UNSTABLE if bad else Result.SUCCESS, str(report))


def _together(found: Sequence[tuple[str, bytes]]) -> junit.Report:
    reports = []
    for path, data in found:
        try:
            reports.append(junit.read(data))
        except junit.Unreadable as error:
            raise StepFailed(f"junit: {path}: {error}") from error
    return junit.together(reports)


async def _check_out(arguments: Arguments, scope: Scope, world: World) -> None:
    given = arguments.get("scm")
    if given is not None and getattr(given, "path", "") != "scm":
        raise StepFailed("checkout knows scm alone, the commit that the pipeline is about: checkout scm")
    await world.executor.check_out(scope.directory)


async def _sleep(arguments: Arguments, scope: Scope, world: World) -> None:
    unit = scope.text(arguments.get("unit", "SECONDS"))
    try:
        seconds = float(scope.text(arguments["time"])) * UNITS[unit]
        if not 0 <= seconds < math.inf:
            raise ValueError(seconds)
    except (ValueError, KeyError) as error:
        raise StepFailed(f"sleep needs a number and a unit of {', '.join(UNITS)}") from error
    await world.clock.sleep(seconds)


async def _clear(arguments: Arguments, scope: Scope, world: World) -> None:
    await world.executor.clear(scope.directory)


async def _stash(arguments: Arguments, scope: Scope, world: World) -> None:
    name = scope.text(arguments["name"])
    patterns = scope.patterns(arguments.get("includes")) or ("**",)
    excludes = scope.patterns(arguments.get("excludes"))
    count = await world.executor.stash(name, scope.directory, patterns, excludes)
    if not count and not scope.flag(arguments.get("allowEmpty")):
        raise StepFailed(f"stash {name}: no file is called {', '.join(patterns)}")
    await world.say(scope)(f"stashed {count} file{'' if count == 1 else 's'} as {name}")


async def _unstash(arguments: Arguments, scope: Scope, world: World) -> None:
    await world.executor.unstash(scope.text(arguments["name"]), scope.directory)


async def _build(arguments: Arguments, scope: Scope, world: World) -> None:
    image = await world.executor.build(world.say(scope), clean=bool(arguments.get("clean")))
    world.built(image)
    scope.state.mark(Result.SUCCESS, image)


async def _deploy(arguments: Arguments, scope: Scope, world: World) -> None:
    if not world.image():
        await _build(arguments, scope, world)
        scope.state.message = ""
    done = await world.executor.deploy(world.image(), world.say(scope))
    world.deployed(done.release)
    scope.state.mark(Result.SUCCESS, done.words)


STEPS: Mapping[str, Run] = {
    "sh": _sh,
    "echo": _echo,
    "error": _error,
    "unstable": _unstable,
    "archiveArtifacts": _archive,
    "junit": _junit,
    "checkout": _check_out,
    "sleep": _sleep,
    "deleteDir": _clear,
    "stash": _stash,
    "unstash": _unstash,
    "sampanBuild": _build,
    "sampanDeploy": _deploy,
}
