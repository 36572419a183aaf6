"""`when` of a declarative pipeline: whether a stage runs; and what texts with references come to.

Pure but for regular expressions, which take a process and so some time: `holds` blocks.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.delivery import expressions
from sampan.delivery.errors import PipelineError
from sampan.delivery.groovy import Binary, Call, Not, Ref, Template

SETTINGS = frozenset(("beforeAgent", "beforeInput", "beforeOptions"))
_COMBINED = frozenset(("allOf", "anyOf", "not"))
KNOWN = frozenset(
    ("branch", "tag", "buildingTag", "environment", "equals", "expression", "changeset", "changelog", *_COMBINED)
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run knows. `branch` and `tag` are "" when it is of the other."""

    branch: str = ""
    tag: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[str] = ()
    message: str = ""
    build: Mapping[str, str] = field(default_factory=dict)
    """What `currentBuild` knows, in `post`."""


def check(when: Sequence[Any]) -> None:
    """Refuse conditions that nobody knows before anything runs. Raises PipelineError."""
    for part in when:
        if not isinstance(part, Call) or part.name not in KNOWN | SETTINGS:
            name = part.name if isinstance(part, Call) else getattr(part, "path", "this")
            line = getattr(part, "line", 1)
            raise PipelineError(line, f"{name} is no condition; there are {', '.join(sorted(KNOWN))}")
        if part.name in _COMBINED:
            if not part.body or (part.name == "not" and len(part.body) != 1):
                raise PipelineError(part.line, f"{part.name} needs {'one condition' if part.name == 'not' else 'some'}")
            check(part.body)
        elif part.name == "expression" and (part.body is None or len(part.body) != 1):
            raise PipelineError(part.line, "expression needs one comparison: expression { params.X == 'y' }")


def holds(when: Sequence[Call], facts: Facts) -> bool:
    """Whether all conditions are met."""
    return all(_holds(each, facts) for each in when if each.name not in SETTINGS)


def _holds(call: Call, facts: Facts) -> bool:
    if call.name == "allOf":
        return all(_holds(each, facts) for each in call.body or ())
    if call.name == "anyOf":
        return any(_holds(each, facts) for each in call.body or ())
    if call.name == "not":
        return not _holds((call.body or ())[0], facts)
    if call.name == "expression":
        return truth(value((call.body or ())[0], facts))
    if call.name == "buildingTag":
        return bool(facts.tag)
    if call.name in ("branch", "tag"):
        there = facts.branch if call.name == "branch" else facts.tag
        if not call.args and "pattern" not in call.named:
            return bool(there)
        return bool(there) and _matches((there,), call, facts)
    if call.name == "environment":
        wanted = text(call.named.get("value", ""), facts)
        return facts.env.get(text(call.named.get("name", ""), facts), "") == wanted
    if call.name == "equals":
        return bool(value(call.named.get("expected"), facts) == value(call.named.get("actual"), facts))
    if call.name == "changeset":
        return _matches(facts.files, call, facts)
    return _found(text(call.args[0] if call.args else "", facts), (facts.message,), call)


def _matches(there: Sequence[str], call: Call, facts: Facts) -> bool:
    pattern = text(call.named.get("pattern", call.args[0] if call.args else ""), facts)
    how = call.named.get("comparator", "GLOB")
    if how == "EQUALS":
        return pattern in there
    if how == "REGEXP":
        return _found(pattern, there, call, whole=True)
    return any(fnmatch.fnmatchcase(each, pattern.replace("**/", "*")) for each in there)


def _found(expression: str, there: Sequence[str], call: Call, *, whole: bool = False) -> bool:
    try:
        return expressions.found(expression, there, whole=whole)
    except expressions.ExpressionError as error:
        raise PipelineError(call.line, f"{call.name}: {error}") from error


def value(given: Any, facts: Facts) -> Any:
    """What an expression comes to. Raises PipelineError for what cannot be computed here."""
    if isinstance(given, Ref):
        return _reference(given, facts)
    if isinstance(given, Template):
        return "".join(part if isinstance(part, str) else _shown(_reference(part, facts)) for part in given.parts)
    if isinstance(given, Not):
        return not truth(value(given.value, facts))
    if isinstance(given, Binary):
        return _binary(given, facts)
    if isinstance(given, Call):
        raise PipelineError(given.line, f"{given.name}(...) cannot be computed; compare env, params and texts")
    return given


def _binary(given: Binary, facts: Facts) -> Any:
    left = value(given.left, facts)
    if given.operator == "&&":
        return truth(left) and truth(value(given.right, facts))
    if given.operator == "||":
        return truth(left) or truth(value(given.right, facts))
    right = value(given.right, facts)
    if given.operator == "+":
        return _shown(left) + _shown(right)
    return (left == right) is (given.operator == "==")


def _reference(ref: Ref, facts: Facts) -> Any:
    head, _, rest = ref.path.partition(".")
    if head == "params" and rest:
        return facts.params.get(rest)
    if head == "env" and rest:
        return facts.env.get(rest)
    if head == "currentBuild" and rest in facts.build:
        return facts.build[rest]
    if rest:
        raise PipelineError(ref.line, f"{ref.path} is not known; there are env.NAME and params.NAME")
    if head in facts.env:
        return facts.env[head]
    if head in facts.params:
        return facts.params[head]
    raise PipelineError(ref.line, f"{head} is neither in environment nor in parameters")


def text(given: Any, facts: Facts) -> str:
    return _shown(value(given, facts))


def _shown(given: Any) -> str:
    """As Groovy prints it."""
    if given is None:
        return "null"
    return str(given).lower() if isinstance(given, bool) else str(given)


def truth(given: Any) -> bool:
    """Groovy's truth: empty, 0 and null are false."""
    return bool(given)
