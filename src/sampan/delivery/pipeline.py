"""What a declarative Jenkinsfile says: agents, environment, stages, steps, what happens afterwards. Pure.

`read(text)` refuses what it does not know, with the line and what there is instead, so that no pipeline runs half.
`conditions.py` decides `when`. Source: Jenkins' documentation, "Pipeline Syntax".
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.delivery import conditions, groovy
from sampan.delivery.errors import PipelineError
from sampan.delivery.groovy import Assign, Binary, Call, GroovyError, Ref, Template

POST = (
    *("always", "changed", "fixed", "regression", "aborted", "failure", "success", "unstable", "unsuccessful"),
    "cleanup",
)
"""The order in which parts of `post` run."""
UNITS = {"SECONDS": 1, "MINUTES": 60, "HOURS": 3600, "DAYS": 86400}
PARAMETERS = {"string": "", "text": "", "booleanParam": False, "choice": "", "password": ""}
"""Kinds of parameters, and what they are without a default."""
IGNORED_OPTIONS = frozenset(
    (
        *("timestamps", "ansiColor", "buildDiscarder", "skipDefaultCheckout", "disableConcurrentBuilds", "quietPeriod"),
        *("preserveStashes", "skipStagesAfterUnstable", "checkoutToSubdirectory", "parallelsAlwaysFailFast"),
    )
)
STEPS = frozenset(
    (
        "sh",
        "echo",
        "error",
        "unstable",
        "archiveArtifacts",
        "junit",
        "checkout",
        "sleep",
        "deleteDir",
        "stash",
        "unstash",
        "sampanBuild",
        "sampanDeploy",
    )
)
"""The last two are our own: Jenkins does not know them."""
BLOCKS = frozenset(("dir", "withEnv", "withCredentials", "timeout", "retry", "catchError", "timestamps"))
"""Steps around other steps."""
MAIN_ARGUMENT = {
    "sh": "script",
    "echo": "message",
    "error": "message",
    "unstable": "message",
    "archiveArtifacts": "artifacts",
    "junit": "testResults",
    "sleep": "time",
    "dir": "path",
    "retry": "count",
    "withEnv": "overrides",
    "withCredentials": "bindings",
    "timeout": "time",
    "checkout": "scm",
    "stash": "name",
    "unstash": "name",
    "catchError": "",
    "deleteDir": "",
    "timestamps": "",
    "sampanBuild": "",
    "sampanDeploy": "",
}
"""What an argument without a name is called."""


@dataclass(frozen=True, slots=True)
class Agent:
    """Where stages run: `image` is a container's, "" the pipeline's own; `none` leaves it to each stage."""

    image: str = ""
    label: str = ""
    none: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """`arguments` by name; values may be Templates and Refs. `inner` are the steps of dir, withEnv and their kin."""

    name: str
    line: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    inner: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Credentials:
    """`credentials('id')`: the value of a Secret."""

    id: str


@dataclass(frozen=True, slots=True)
class Options:
    """`timeout` in seconds, 0 for none; `retry`: how often at most."""

    timeout: float = 0
    retry: int = 1


@dataclass(frozen=True, slots=True)
class Parameter:
    kind: str
    name: str
    default: Any
    choices: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """One of `steps`, `stages` (one after the other) and `parallel`. `when` holds the conditions, all to be met."""

    name: str
    line: int
    steps: tuple[Step, ...] = ()
    stages: tuple[Stage, ...] = ()
    parallel: tuple[Stage, ...] = ()
    agent: Agent | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    when: tuple[Call, ...] = ()
    options: Options = Options()
    post: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    fail_fast: bool = False


@dataclass(frozen=True, slots=True)
class Pipeline:
    agent: Agent
    stages: tuple[Stage, ...]
    environment: Mapping[str, Any] = field(default_factory=dict)
    options: Options = Options()
    parameters: tuple[Parameter, ...] = ()
    post: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)


def read(text: str) -> Pipeline:
    """Raises PipelineError."""
    try:
        found = groovy.parse(text)
    except GroovyError as error:
        raise PipelineError(error.line, error.message) from error
    if len(found) != 1 or not isinstance(found[0], Call) or found[0].name != "pipeline" or found[0].body is None:
        others = (each for each in found if not (isinstance(each, Call) and each.name == "pipeline"))
        line = getattr(next(others, None), "line", 1)
        raise PipelineError(line, "a Jenkinsfile is one block pipeline { ... } and nothing else")
    parts = _parts(found[0], ("agent", "stages", "environment", "options", "parameters", "post", "triggers"))
    for needed in ("agent", "stages"):
        if needed not in parts:
            raise PipelineError(found[0].line, f"pipeline has no {needed}")
    stages = _stages(parts["stages"])
    names = [stage.name for stage in _all(stages)]
    for stage in _all(stages):
        if names.count(stage.name) > 1:
            raise PipelineError(stage.line, f"there are several stages {stage.name!r}")
    return Pipeline(
        agent=_agent(parts["agent"]),
        stages=stages,
        environment=_environment(parts.get("environment")),
        options=_options(parts.get("options")),
        parameters=_parameters(parts.get("parameters")),
        post=_post(parts.get("post")),
    )


def _all(stages: Sequence[Stage]) -> list[Stage]:
    found = []
    for stage in stages:
        found += [stage, *_all(stage.stages), *_all(stage.parallel)]
    return found


# --- parts


def _parts(call: Call, known: Sequence[str]) -> dict[str, Call]:
    """The sections of a block by name, each once."""
    found: dict[str, Call] = {}
    for part in call.body or ():
        if not isinstance(part, Call):
            line = getattr(part, "line", call.line)
            raise PipelineError(line, f"{_words(part)} does not belong into {call.name}, which has {', '.join(known)}")
        if part.name not in known:
            raise _unknown(part, f"section of {call.name}", known)
        if part.name in found:
            raise PipelineError(part.line, f"{part.name} is given twice (the first in line {found[part.name].line})")
        found[part.name] = part
    return found


def _unknown(call: Call, what: str, known: Sequence[str] | frozenset[str]) -> PipelineError:
    near = difflib.get_close_matches(call.name, sorted(known), 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
    return PipelineError(call.line, f"{call.name} is no {what}; {hint}")


def _words(part: Any) -> str:
    return part.path if isinstance(part, Ref) else part.name if isinstance(part, Assign) else "this"


def _body(call: Call) -> tuple[Any, ...]:
    if call.body is None:
        raise PipelineError(call.line, f"{call.name} needs a block: {call.name} {{ ... }}")
    return call.body


def _plain(call: Call, value: Any) -> str:
    """A text without references."""
    if not isinstance(value, str) or not value:
        raise PipelineError(call.line, f"{call.name} needs a plain text, such as 'name'")
    return value


def _agent(call: Call) -> Agent:
    if call.body is None:
        word = call.args[0].path if len(call.args) == 1 and isinstance(call.args[0], Ref) else ""
        if word not in ("any", "none"):
            raise PipelineError(call.line, "agent is any, none, { docker 'IMAGE' } or { label 'NAME' }")
        return Agent(none=word == "none")
    if len(call.body) != 1 or not isinstance(call.body[0], Call):
        raise PipelineError(call.line, "agent has one entry: docker 'IMAGE' or label 'NAME'")
    (inner,) = call.body
    if inner.name in ("label", "node"):
        return Agent(label=_plain(inner, inner.args[0]) if inner.args else "")
    if inner.name != "docker":
        raise _unknown(inner, "agent that is understood", ("docker", "label"))
    if inner.body is None:
        return Agent(image=_plain(inner, inner.args[0] if inner.args else inner.named.get("image")))
    parts = _parts(inner, ("image", "args", "label", "reuseNode", "alwaysPull", "registryUrl", "registryCredentialsId"))
    if "image" not in parts:
        raise PipelineError(inner.line, "docker has no image")
    return Agent(image=_plain(parts["image"], parts["image"].args[0] if parts["image"].args else None))


def _environment(call: Call | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in _body(call) if call is not None else ():
        if not isinstance(part, Assign):
            raise PipelineError(getattr(part, "line", 1), "environment holds NAME = 'value' and nothing else")
        if not part.name.isidentifier():
            raise PipelineError(part.line, f"{part.name} is no name of a variable: write letters, digits and _")
        found[part.name] = _environment_value(part)
    return found


def _environment_value(part: Assign) -> Any:
    value = part.value
    if isinstance(value, Call):
        if value.name != "credentials" or len(value.args) != 1:
            raise PipelineError(part.line, f"{part.name}: only credentials('ID') can be called here")
        return Credentials(_plain(value, value.args[0]))
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if not isinstance(value, str | Template | Ref | Binary):
        raise PipelineError(part.line, f"{part.name} needs a text")
    return value


def _options(call: Call | None) -> Options:
    timeout, retry = 0.0, 1
    for part in _body(call) if call is not None else ():
        if not isinstance(part, Call):
            raise PipelineError(getattr(part, "line", 1), "options are written like timeout(time: 10, unit: 'MINUTES')")
        if part.name == "timeout":
            timeout = duration(part)
        elif part.name == "retry":
            retry = _count(part)
        elif part.name not in IGNORED_OPTIONS:
            raise _unknown(part, "option", IGNORED_OPTIONS | {"timeout", "retry"})
    return Options(timeout, retry)


def duration(call: Call) -> float:
    """Seconds of `timeout(time: 10, unit: 'MINUTES')`; the unit is minutes unless it is given."""
    time = call.named.get("time", call.args[0] if call.args else None)
    unit = call.named.get("unit", "MINUTES")
    if not isinstance(time, int | float) or isinstance(time, bool) or time <= 0:
        raise PipelineError(call.line, f"{call.name} needs a number of time above 0")
    if unit not in UNITS:
        raise PipelineError(call.line, f"unit is one of {', '.join(UNITS)}")
    return time * UNITS[unit]


def _count(call: Call) -> int:
    count = call.args[0] if call.args else call.named.get("count")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise PipelineError(call.line, "retry needs a number from 1")
    return count


def _parameters(call: Call | None) -> tuple[Parameter, ...]:
    found = []
    for part in _body(call) if call is not None else ():
        if not isinstance(part, Call) or part.name not in PARAMETERS:
            raise _unknown(part if isinstance(part, Call) else Call("this", 1), "parameter", tuple(PARAMETERS))
        name = _plain(part, part.named.get("name"))
        choices = part.named.get("choices", ())
        choices = tuple(choices.split("\n")) if isinstance(choices, str) else tuple(choices)
        if part.name == "choice" and not choices:
            raise PipelineError(part.line, f"parameter {name} has no choices")
        usual = choices[0] if choices else PARAMETERS[part.name]
        default = part.named.get("defaultValue", usual)
        found.append(Parameter(part.name, name, default, choices, str(part.named.get("description", ""))))
    return tuple(found)


def _post(call: Call | None) -> dict[str, tuple[Step, ...]]:
    if call is None:
        return {}
    parts = _parts(call, POST)
    return {name: _steps(parts[name]) for name in POST if name in parts}


# --- stages and steps


def _stages(call: Call) -> tuple[Stage, ...]:
    found = []
    for part in _body(call):
        if not isinstance(part, Call) or part.name != "stage":
            line = getattr(part, "line", call.line)
            raise PipelineError(line, f"{call.name} holds stage('NAME') {{ ... }} and nothing else")
        found.append(_stage(part))
    if not found:
        raise PipelineError(call.line, f"{call.name} has no stage")
    return tuple(found)


_IN_STAGE = ("agent", "environment", "when", "options", "post", "steps", "stages", "parallel", "failFast")


def _stage(call: Call) -> Stage:
    name = _plain(call, call.args[0] if call.args else call.named.get("name"))
    _body(call)
    parts = _parts(call, _IN_STAGE)
    work = [each for each in ("steps", "stages", "parallel") if each in parts]
    if len(work) != 1:
        what = "one of steps, stages and parallel"
        raise PipelineError(call.line, f"stage {name!r} needs {what}" + (f", not {' and '.join(work)}" if work else ""))
    when = _body(parts["when"]) if "when" in parts else ()
    conditions.check(when)
    return Stage(
        name=name,
        line=call.line,
        steps=_steps(parts["steps"]) if "steps" in parts else (),
        stages=_stages(parts["stages"]) if "stages" in parts else (),
        parallel=_stages(parts["parallel"]) if "parallel" in parts else (),
        agent=_agent(parts["agent"]) if "agent" in parts else None,
        environment=_environment(parts.get("environment")),
        when=tuple(each for each in when if isinstance(each, Call)),
        options=_options(parts.get("options")),
        post=_post(parts.get("post")),
        fail_fast="failFast" in parts and parts["failFast"].args == (True,),
    )


def _steps(call: Call) -> tuple[Step, ...]:
    found = tuple(_step(part, call) for part in _body(call))
    if not found:
        raise PipelineError(call.line, f"{call.name} is empty")
    return found


def _step(part: Any, around: Call) -> Step:
    if isinstance(part, Ref):
        part = Call(part.path, part.line)
    if not isinstance(part, Call):
        raise PipelineError(
            getattr(part, "line", around.line), f"{_words(part)} is no step: write sh '...', echo '...'"
        )
    if part.name == "script":
        raise PipelineError(part.line, "script { } runs Groovy, which is not understood; write the steps, or use sh")
    known = STEPS | BLOCKS
    if part.name not in known:
        raise _unknown(part, "step", known)
    arguments = dict(part.named)
    main = MAIN_ARGUMENT[part.name]
    if part.args:
        if len(part.args) > 1 or not main or main in arguments:
            raise PipelineError(part.line, f"{part.name} takes " + (f"one {main}" if main else "nothing"))
        arguments[main] = part.args[0]
    if part.name in BLOCKS:
        _check_block(part)
        return Step(part.name, part.line, arguments, _steps(part))
    if part.body is not None:
        raise PipelineError(part.line, f"{part.name} takes no block")
    if main and main not in arguments and part.name != "checkout":
        raise PipelineError(part.line, f"{part.name} needs a {main}")
    return Step(part.name, part.line, arguments)


def _check_block(part: Call) -> None:
    checks: dict[str, Callable[[Call], object]] = {"timeout": duration, "retry": _count}
    if part.name in checks:
        checks[part.name](part)
    if part.name == "withEnv":
        listed = part.args[0] if part.args else part.named.get("overrides")
        if not isinstance(listed, tuple):
            raise PipelineError(part.line, "withEnv needs a list: withEnv(['NAME=value']) { ... }")
