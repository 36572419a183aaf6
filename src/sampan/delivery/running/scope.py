"""What holds where a step stands: environment, directory, agent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sampan.api.extra.pipelineruns import NAME
from sampan.delivery import conditions, trees
from sampan.delivery.conditions import Facts
from sampan.delivery.errors import PipelineError
from sampan.delivery.running.contracts import Slot, StepFailed
from sampan.delivery.running.outcomes import NAMED, Result


@dataclass(slots=True)
class State:
    """A stage as it goes. `phase` is one of outcomes.PHASES, Pending, Running or Skipped."""

    name: str
    phase: str = "Pending"
    started: float | None = None
    finished: float | None = None
    message: str = ""
    pod: str = ""
    result: Result = Result.SUCCESS

    def mark(self, result: Result, message: str = "") -> None:
        if result > self.result or (message and not self.message):
            self.message = message or self.message
        self.result = max(self.result, result)


@dataclass(frozen=True, slots=True)
class Scope:
    """`prefix` tells lines of parallel stages apart."""

    facts: Facts
    state: State
    slot: Slot | None = None
    directory: str = ""
    prefix: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def with_environment(self, more: Mapping[str, str]) -> Scope:
        environment = {**self.environment, **more}
        return replace(self, environment=environment, facts=replace(self.facts, env=environment))

    def text(self, given: Any) -> str:
        """Raises StepFailed for a reference that leads nowhere."""
        try:
            return conditions.text(given, self.facts)
        except PipelineError as error:
            raise StepFailed(str(error)) from error

    def flag(self, given: Any) -> bool:
        try:
            return conditions.truth(conditions.value(given, self.facts))
        except PipelineError as error:
            raise StepFailed(str(error)) from error

    def patterns(self, given: Any) -> tuple[str, ...]:
        """Ant patterns, separated by commas."""
        return tuple(part.strip() for part in self.text(given).split(",") if part.strip()) if given else ()

    def inside(self, path: str) -> str:
        """A directory below the one that we are in."""
        try:
            return trees.normal(f"{self.directory}/{path}".lstrip("/") if not path.startswith("/") else path)
        except ValueError as error:
            raise StepFailed(str(error)) from error


def overrides(scope: Scope, listed: Any) -> dict[str, str]:
    """`withEnv(['NAME=value', 'PATH+MORE=/opt/bin'])`: with + the value goes before what is there."""
    made: dict[str, str] = {}
    for each in listed:
        text = scope.text(each)
        name, equals, value = text.partition("=")
        if not equals:
            raise StepFailed(f"withEnv: {text}: write {text}=VALUE")
        name, plus, _ = name.partition("+")
        if NAME.match(name) is None:
            raise StepFailed(f"withEnv: {name} is no name of a variable: write letters, digits and _")
        there = made.get(name, scope.environment.get(name, f"${name}" if name == "PATH" else ""))
        made[name] = f"{value}:{there}" if plus and there else value
    return made


def named_result(scope: Scope, given: Any, default: Result) -> Result:
    """`FAILURE` or 'FAILURE'; null for none."""
    if given is None:
        return default
    word = getattr(given, "path", None) or scope.text(given)
    if word not in NAMED:
        raise StepFailed(f"{word} is no result; there are {', '.join(NAMED)}")
    return NAMED[word]
