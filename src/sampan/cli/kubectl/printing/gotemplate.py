"""Go templates (text/template) over JSON documents: fields, variables, if, with, range, pipelines, functions.

Source: the documentation of Go's text/template, and kubectl's two more functions, base64decode and exists.
Not there: define, template, block, break and continue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sampan.cli.kubectl.printing import gofunctions
from sampan.cli.kubectl.printing.gofunctions import MISSING, TemplateError, show, truth

__all__ = ["Template", "TemplateError"]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<raw>`[^`]*`)|(?P<char>'(?:[^'\\]|\\.)')
    |(?P<number>[-+]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?))
    |(?P<field>(?:\.[A-Za-z_][\w-]*)+)|(?P<variable>\$\w*)
    |(?P<word>[A-Za-z_]\w*)|(?P<symbol>:=|=|\||\(|\)|,|\.))""",
    re.VERBOSE,
)


class Node(NamedTuple):
    """`kind` is text, print, if, with, range, assign; `body` and `other` are what `end` and `else` enclose."""

    kind: str
    text: str = ""
    pipe: Pipe | None = None
    body: tuple[Node, ...] = ()
    other: tuple[Node, ...] = ()


class Pipe(NamedTuple):
    variables: tuple[str, ...]
    declare: bool
    commands: tuple[tuple[Any, ...], ...]
    """Each a tuple of operands: evaluators from a frame to a value, or names of functions."""


@dataclass(slots=True)
class Frame:
    dot: Any
    variables: dict[str, Any] = field(default_factory=dict)

    def inner(self, dot: Any) -> Frame:
        return Frame(dot, dict(self.variables))


class Template:
    """Raises TemplateError when the text makes no sense."""

    def __init__(self, text: str) -> None:
        self._nodes, end = _parse(_pieces(text))
        if end:
            raise TemplateError(f"unexpected {{{{{end}}}}}")

    def render(self, document: Any) -> str:
        """Raises TemplateError for what goes wrong with this document."""
        return "".join(_run(self._nodes, Frame(document, {"$": document})))


# --- text to nodes ---


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """("text", ...) and ("code", ...), blanks trimmed where `{{-` and `-}}` say so."""
    at, trim = 0, False
    for match in re.finditer(
        r"\{\{(-(?=\s))?((?:\"(?:[^\"\\]|\\.)*\"|`[^`]*`|(?!\}\}).)*?)((?<=\s)-)?\}\}", text, re.DOTALL
    ):
        plain = text[at : match.start()]
        plain = plain.lstrip() if trim else plain
        yield "text", plain.rstrip() if match[1] else plain
        code = match[2].strip()
        if not code.startswith("/*"):
            yield "code", code
        at, trim = match.end(), bool(match[3])
    rest = text[at:]
    if "{{" in rest:
        raise TemplateError("unclosed action")
    yield "text", rest.lstrip() if trim else rest


def _parse(pieces: Iterator[tuple[str, str]]) -> tuple[tuple[Node, ...], str]:
    """The nodes up to `end` or `else`, and which of them it was."""
    nodes: list[Node] = []
    for kind, text in pieces:
        if kind == "text":
            if text:
                nodes.append(Node("text", text))
            continue
        word, _, rest = text.partition(" ")
        if word in ("end", "else"):
            return tuple(nodes), text
        if word in ("if", "with", "range"):
            nodes.append(_block(word, rest, pieces))
        elif word in ("define", "template", "block", "break", "continue"):
            raise TemplateError(f"{word} is not supported")
        else:
            pipe = _pipe(text)
            nodes.append(Node("assign" if pipe.variables else "print", pipe=pipe))
    return tuple(nodes), ""


def _block(word: str, text: str, pieces: Iterator[tuple[str, str]]) -> Node:
    body, end = _parse(pieces)
    other: tuple[Node, ...] = ()
    if end == "else":
        other, end = _parse(pieces)
    elif end.startswith("else "):
        inner, _, rest = end.removeprefix("else ").strip().partition(" ")
        if inner not in ("if", "with"):
            raise TemplateError(f"unexpected {end!r}")
        other, end = (_block(inner, rest, pieces),), "end"
    if end != "end":
        raise TemplateError(f"unclosed {word}" if not end else f"unexpected {{{{{end}}}}}")
    return Node(word, pipe=_pipe(text), body=body, other=other)


class _Tokens:
    def __init__(self, text: str) -> None:
        self.left: list[tuple[str, str]] = []
        at = 0
        text = text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.end() == at:
                raise TemplateError(f"unexpected {text[at:].strip()[:20]!r}")
            self.left.append((str(match.lastgroup), match[match.lastgroup or 0]))
            at = match.end()

    def peek(self) -> tuple[str, str]:
        return self.left[0] if self.left else ("", "")

    def take(self) -> tuple[str, str]:
        return self.left.pop(0) if self.left else ("", "")


def _pipe(text: str) -> Pipe:
    tokens = _Tokens(text)
    pipe = _pipe_of(tokens)
    if tokens.left:
        raise TemplateError(f"unexpected {tokens.left[0][1]!r}")
    return pipe


def _pipe_of(tokens: _Tokens) -> Pipe:
    variables: list[str] = []
    declare = False
    names = [text for _, text in tokens.left[:4]]
    for sign in (":=", "="):
        if sign in names and names[0].startswith("$"):
            while tokens.peek()[1] != sign:
                kind, text = tokens.take()
                if kind == "variable":
                    variables.append(text)
            tokens.take()
            declare = sign == ":="
            break
    commands = [_command(tokens)]
    while tokens.peek()[1] == "|":
        tokens.take()
        commands.append(_command(tokens))
    return Pipe(tuple(variables), declare, tuple(commands))


def _command(tokens: _Tokens) -> tuple[Any, ...]:
    operands: list[Any] = []
    while tokens.peek()[0] and tokens.peek()[1] not in ("|", ")"):
        operands.append(_operand(tokens))
    if not operands:
        raise TemplateError("missing value for command")
    return tuple(operands)


def _operand(tokens: _Tokens) -> Any:
    kind, text = tokens.take()
    value: Callable[[Frame], Any]
    match kind:
        case "string":
            literal = gofunctions.unquote(text)
            value = lambda frame: literal  # noqa: E731
        case "raw":
            value = lambda frame: text[1:-1]  # noqa: E731
        case "char":
            value = lambda frame: ord(gofunctions.unquote(f'"{text[1:-1]}"'))  # noqa: E731
        case "number":
            number = int(text, 0) if re.fullmatch(r"[-+]?(0x[0-9a-fA-F]+|\d+)", text) else float(text)
            value = lambda frame: number  # noqa: E731
        case "field":
            path = text[1:].split(".")
            value = lambda frame: gofunctions.walk(frame.dot, path)  # noqa: E731
        case "variable":
            value = _variable(text)
        case "word" if text in ("true", "false", "nil"):
            value = lambda frame: {"true": True, "false": False}.get(text)  # noqa: E731
        case "word":
            if text not in gofunctions.FUNCTIONS:
                raise TemplateError(f'function "{text}" not defined')
            return text
        case "symbol" if text == ".":
            value = lambda frame: frame.dot  # noqa: E731
        case "symbol" if text == "(":
            pipe = _pipe_of(tokens)
            if tokens.take()[1] != ")":
                raise TemplateError("unclosed left paren")
            value = lambda frame: _value(pipe, frame)  # noqa: E731
        case _:
            raise TemplateError(f"unexpected {text!r} in operand")
    if kind in ("variable", "symbol") and tokens.peek()[0] == "field":
        steps = tokens.take()[1][1:].split(".")
        return lambda frame: gofunctions.walk(value(frame), steps)
    return value


def _variable(name: str) -> Callable[[Frame], Any]:
    def value(frame: Frame) -> Any:
        if name not in frame.variables:
            raise TemplateError(f'undefined variable "{name}"')
        return frame.variables[name]

    return value


# --- nodes to text ---


def _run(nodes: tuple[Node, ...], frame: Frame) -> Iterator[str]:
    for node in nodes:
        if node.kind == "text":
            yield node.text
            continue
        assert node.pipe is not None
        if node.kind == "range":
            yield from _range(node, node.pipe, frame)
            continue
        value = _value(node.pipe, frame)
        if node.kind == "print":
            yield show(value)
        elif node.kind in ("if", "with"):
            inner = frame.inner(value if node.kind == "with" else frame.dot)
            if node.pipe.variables:
                inner.variables[node.pipe.variables[0]] = value
            yield from _run(node.body, inner) if truth(value) else _run(node.other, frame.inner(frame.dot))
        else:
            frame.variables[node.pipe.variables[0]] = value


def _range(node: Node, pipe: Pipe, frame: Frame) -> Iterator[str]:
    value = _value(pipe, frame)
    pairs: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        pairs = sorted(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        pairs = [(at, at) for at in range(value)]
    elif value is not None and value is not MISSING:
        raise TemplateError(f"range can't iterate over {show(value)}")
    if not pairs:
        yield from _run(node.other, frame.inner(frame.dot))
    for key, each in pairs:
        inner = frame.inner(each)
        if len(pipe.variables) == 1:
            inner.variables[pipe.variables[0]] = each
        elif pipe.variables:
            inner.variables.update(zip(pipe.variables, (key, each), strict=False))
        yield from _run(node.body, inner)


def _value(pipe: Pipe, frame: Frame) -> Any:
    value: Any = MISSING
    for at, command in enumerate(pipe.commands):
        piped = [value] if at else []
        first = command[0]
        if isinstance(first, str):
            arguments = [_argument(each, frame) for each in command[1:]] + piped
            value = gofunctions.call(first, arguments)
        elif len(command) > 1 or piped:
            raise TemplateError("can't give argument to non-function")
        else:
            value = first(frame)
    return value


def _argument(operand: Any, frame: Frame) -> Any:
    return gofunctions.call(operand, []) if isinstance(operand, str) else operand(frame)
