"""kubectl's JSONPath templates: `{.items[*].metadata.name}`, ranges, filters, slices, unions, recursion.

Source: Kubernetes' documentation "JSONPath Support". Fields that are missing give nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class PathError(ValueError):
    """The template cannot be understood; the message is for a person."""


Step = Callable[[Any, Any], Iterator[Any]]
"""(value, root) -> values"""


class _Text(NamedTuple):
    text: str


class _Path(NamedTuple):
    steps: tuple[Step, ...]


class _Range(NamedTuple):
    steps: tuple[Step, ...]
    body: tuple[_Text | _Path | _Range, ...]


class Template:
    """Raises PathError when the text makes no sense."""

    def __init__(self, text: str) -> None:
        self._parts, rest = _parts(list(_tokens(text)), inside=False)
        if rest:
            raise PathError("unexpected {end}")

    def render(self, document: Any) -> str:
        return "".join(_render(self._parts, document, document, show))

    def values(self, document: Any) -> list[Any]:
        """What the expressions find, for those who do not want text."""
        found: list[Any] = []
        for part in self._parts:
            if isinstance(part, _Path):
                found += _walk(part.steps, document, document)
        return found


def _render(parts: Any, value: Any, root: Any, text: Callable[[Any], str]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, _Text):
            yield part.text
        elif isinstance(part, _Path):
            yield " ".join(text(found) for found in _walk(part.steps, value, root))
        else:
            for each in _walk(part.steps, value, root):
                yield from _render(part.body, each, root, text)


def _walk(steps: tuple[Step, ...], value: Any, root: Any) -> list[Any]:
    values = [value]
    for step in steps:
        values = [found for each in values for found in step(each, root)]
    return values


def show(value: Any) -> str:
    """Scalars bare, everything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list):
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return str(value)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """("text", ...) and ("code", what is between braces)."""
    at = 0
    while at < len(text):
        start = text.find("{", at)
        if start < 0:
            yield "text", text[at:]
            return
        if start > at:
            yield "text", text[at:start]
        end = _closing(text, start + 1)
        yield "code", text[start + 1 : end].strip()
        at = end + 1


def _closing(text: str, at: int) -> int:
    quote = ""
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\":
                at += 1
            elif letter == quote:
                quote = ""
        elif letter in "'\"":
            quote = letter
        elif letter == "}":
            return at
        at += 1
    raise PathError("unclosed action")


def _parts(tokens: list[tuple[str, str]], *, inside: bool) -> tuple[tuple[Any, ...], bool]:
    """The parts up to the end or {end}; and whether {end} was found."""
    found: list[Any] = []
    while tokens:
        kind, text = tokens.pop(0)
        if kind == "text":
            found.append(_Text(text))
        elif text == "end":
            return tuple(found), True
        elif text.startswith("range"):
            steps = _steps(text.removeprefix("range").strip())
            body, closed = _parts(tokens, inside=True)
            if not closed:
                raise PathError("unclosed range")
            found.append(_Range(steps, body))
        elif text[:1] in "'\"" and text:
            found.append(_Text(_unquoted(text)))
        elif text:
            found.append(_Path(_steps(text)))
    return tuple(found), False


_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def _unquoted(text: str) -> str:
    if len(text) < 2 or text[-1] != text[0]:
        raise PathError("unterminated quoted string")
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1])


_NAME = re.compile(r"(?:[^.\[\]\\ ]|\\.)+")


def _steps(text: str) -> tuple[Step, ...]:
    """`$.a.b[0]['c']..d[?(@.x=="y")]`"""
    steps: list[Step] = []
    text = text.strip()
    if text.startswith(("$", "@")):
        text = text[1:]
    at = 0
    if text and text[0] not in ".[":
        text = "." + text
    while at < len(text):
        if text.startswith("..", at):
            at += 2
            steps.append(_everything)
            if at < len(text) and text[at] == "[":
                continue
            match = _NAME.match(text, at)
            if match:
                steps.append(_field(match[0]))
                at = match.end()
        elif text[at] == ".":
            match = _NAME.match(text, at + 1)
            if match is None:
                at += 1
                if at < len(text) and text[at] != "[":
                    raise PathError(f"unrecognized character in action: {text[at]!r}")
                continue
            steps.append(_field(match[0]))
            at = match.end()
        elif text[at] == "[":
            end = _bracket(text, at + 1)
            steps.append(_index(text[at + 1 : end].strip()))
            at = end + 1
        else:
            raise PathError(f"unrecognized character in action: {text[at]!r}")
    return tuple(steps)


def _bracket(text: str, at: int) -> int:
    depth, quote = 1, ""
    while at < len(text):
        letter = text[at]
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "[":
            depth += 1
        elif letter == "]":
            depth -= 1
            if not depth:
                return at
        at += 1
    raise PathError("unterminated array")


def _field(name: str) -> Step:
    if name == "*":
        return _children
    plain = name.replace("\\.", ".").replace("\\", "")

    def step(value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, dict) and plain in value:
            yield value[plain]

    return step


def _children(value: Any, root: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _everything(value: Any, root: Any) -> Iterator[Any]:
    yield value
    for child in _children(value, root):
        if isinstance(child, dict | list):
            yield from _everything(child, root)


def _index(text: str) -> Step:
    if text == "*":
        return _children
    if text.startswith("?(") and text.endswith(")"):
        return _filter(text[2:-1].strip())
    parts = [part.strip() for part in _split(text, ",")]
    if len(parts) > 1:
        steps = [_index(part) for part in parts]
        return lambda value, root: (found for step in steps for found in step(value, root))
    if text[:1] in ("'", '"'):
        return _key(_unquoted(text))
    return _slice(text)


def _key(name: str) -> Step:
    def step(value: Any, root: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _slice(text: str) -> Step:
    try:
        numbers = [int(part) if part.strip() else None for part in text.split(":")]
    except ValueError:
        raise PathError(f"invalid array index {text}") from None
    if len(numbers) > 3:
        raise PathError(f"invalid array index {text}")

    def step(value: Any, root: Any) -> Iterator[Any]:
        if not isinstance(value, list):
            return
        if len(numbers) > 1:
            yield from value[slice(*numbers)]
        elif numbers[0] is not None:
            if not -len(value) <= numbers[0] < len(value):
                raise PathError(f"array index out of bounds: index {numbers[0]}, length {len(value)}")
            yield value[numbers[0]]

    return step


def _split(text: str, separator: str) -> list[str]:
    parts, quote, last = [], "", 0
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == separator:
            parts.append(text[last:at])
            last = at + 1
    return [*parts, text[last:]]


_COMPARISON = re.compile(r"(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+)\Z", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def _filter(text: str) -> Step:
    match = _COMPARISON.match(text)
    if match is None:
        steps = _steps(text)
        return lambda value, root: (
            each for each in (value if isinstance(value, list) else []) if _walk(steps, each, root)
        )
    left, compare, right = _operand(match[1]), _COMPARE[match[2]], _operand(match[3])

    def step(value: Any, root: Any) -> Iterator[Any]:
        for each in value if isinstance(value, list) else []:
            ones, others = left(each, root), right(each, root)
            if ones and others and _holds(compare, ones[0], others[0]):
                yield each

    return step


def _holds(compare: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    try:
        return compare(one, other)
    except TypeError:
        return False


def _operand(text: str) -> Callable[[Any, Any], list[Any]]:
    text = text.strip()
    if text[:1] in ("'", '"'):
        literal: Any = _unquoted(text)
    elif text[:1] in ("@", "$", "."):
        steps = _steps(text)
        of_root = text[0] == "$"
        return lambda value, root: _walk(steps, root if of_root else value, root)
    else:
        try:
            literal = json.loads(text)
        except ValueError:
            raise PathError(f"unrecognized operand {text!r}") from None
    return lambda value, root: [literal]
