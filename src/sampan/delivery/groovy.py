"""The part of Groovy that declarative Jenkinsfiles are written in: words, values, blocks. Pure.

Reads into a tree and runs nothing. Source: Apache Groovy's documentation ("Syntax").

    name 'value', key: value { ... }      Call
    NAME = value                          Assign
    "text ${env.NAME}"                    Template
    a == b && !c                          Binary, Not
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

DEPTH = 50
"""Blocks and brackets within each other, at most."""
SIZE = 1 << 18
"""Characters of a Jenkinsfile, at most."""


class GroovyError(ValueError):
    """What is wrong, and in which line (from 1)."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


class Ref(NamedTuple):
    """`env.NAME`, `params.NAME`, `NAME`."""

    path: str
    line: int


class Template(NamedTuple):
    """A text with references in it: texts and Refs in turn."""

    parts: tuple[Any, ...]
    line: int


class Binary(NamedTuple):
    operator: str
    left: Any
    right: Any
    line: int


class Not(NamedTuple):
    value: Any
    line: int


@dataclass(frozen=True, slots=True)
class Call:
    """`body` is None without braces. A Call without arguments, brackets and braces is written like a Ref."""

    name: str
    line: int
    args: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)
    body: tuple[Any, ...] | None = None


class Assign(NamedTuple):
    name: str
    value: Any
    line: int


class _Token(NamedTuple):
    kind: str
    value: Any
    line: int


_PATTERN = re.compile(
    r"""(?P<blank>[ \t\r\f]+|\\\n)|(?P<newline>\n)|(?P<comment>//[^\n]*|\#![^\n]*|/\*.*?\*/)
    |(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)|(?P<number>\d+(?:\.\d+)?)
    |(?P<text>'''|\"\"\"|'|")|(?P<mark>==~|=~|==|!=|<=|>=|&&|\|\||[-+{}()\[\],:;=.!<>?*/@%&|^~])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}
_WORDS = {"true": True, "false": False, "null": None}
_REFERENCE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


def parse(text: str) -> tuple[Any, ...]:
    """The statements of a file: Calls and Assigns. Raises GroovyError."""
    if len(text) > SIZE:
        raise GroovyError(1, f"the file has more than {SIZE} characters")
    return _Parser(_tokens(text)).file()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, line = 0, 1
    while at < len(text):
        match = _PATTERN.match(text, at)
        if match is None:
            raise GroovyError(line, f"{text[at]!r} is not expected here")
        kind, value = match.lastgroup or "", match.group()
        at = match.end()
        if kind == "text":
            begun = line
            made, at, line = _text(text, at, line, value)
            found.append(_Token("value", made, begun))
            continue
        if kind == "newline":
            found.append(_Token("newline", "", line))
        elif kind == "number":
            found.append(_Token("value", float(value) if "." in value else int(value), line))
        elif kind in ("name", "mark"):
            found.append(_Token(kind, value, line))
        line += value.count("\n")
    found.append(_Token("end", "", line))
    return found


def _text(text: str, at: int, line: int, quote: str) -> tuple[Any, int, int]:
    """A text after its opening quote: its value, and where and in which line it ends."""
    begun = line
    parts: list[Any] = [""]
    while True:
        if text.startswith(quote, at):
            break
        if at >= len(text) or (text[at] == "\n" and len(quote) == 1):
            raise GroovyError(begun, f"a text is not closed: {quote} is missing")
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            parts[-1] += _ESCAPES.get(text[at + 1], text[at + 1] if text[at + 1] in "\\'\"$" else "\\" + text[at + 1])
            line += text[at + 1] == "\n"
            at += 2
        elif char == "$" and quote[0] == '"':
            reference, at = _reference(text, at + 1, line)
            parts += [reference, ""]
        else:
            parts[-1] += char
            line += char == "\n"
            at += 1
    kept = [part for part in parts if part != ""]
    if all(isinstance(part, str) for part in kept):
        return "".join(kept), at + len(quote), line
    return Template(tuple(kept), begun), at + len(quote), line


def _reference(text: str, at: int, line: int) -> tuple[Ref, int]:
    """What stands behind a `$`."""
    braced = text.startswith("{", at)
    end = text.find("}", at) if braced else -1
    if braced and end < 0:
        raise GroovyError(line, "${ is not closed: } is missing")
    if braced:
        inner = text[at + 1 : end].strip()
        if _REFERENCE.fullmatch(inner) is None:
            why = "only names such as ${env.NAME} and ${params.NAME} can stand there"
            raise GroovyError(line, f"${{{inner}}} is an expression: {why}; in sh use '...' and the shell's own $")
        return Ref(inner, line), end + 1
    match = _REFERENCE.match(text, at)
    if match is None:
        raise GroovyError(line, "a $ in \"...\" begins a name: write \\$, or '...' around the text")
    return Ref(match.group(), line), match.end()


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    # --- tokens

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token

    def _is(self, *marks: str) -> bool:
        token = self._peek()
        return token.kind == "mark" and token.value in marks

    def _take(self, mark: str) -> bool:
        if not self._is(mark):
            return False
        self._at += 1
        return True

    def _expect(self, mark: str, opened: int) -> None:
        if not self._take(mark):
            raise GroovyError(
                self._peek().line, f"{mark} is missing (opened in line {opened}), not {_show(self._peek())}"
            )

    def _skip(self, *, semicolons: bool = False) -> None:
        while self._peek().kind == "newline" or (semicolons and self._is(";")):
            self._at += 1

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise GroovyError(self._peek().line, f"more than {DEPTH} blocks or brackets within each other")

    # --- statements

    def file(self) -> tuple[Any, ...]:
        found = []
        self._skip(semicolons=True)
        while self._peek().kind != "end":
            found.append(self._statement())
            self._skip(semicolons=True)
        return tuple(found)

    def _block(self) -> tuple[Any, ...]:
        opened = self._peek().line
        self._deeper()
        self._expect("{", opened)
        found = []
        self._skip(semicolons=True)
        while not self._is("}"):
            if self._peek().kind == "end":
                raise GroovyError(self._peek().line, f"}} is missing (opened in line {opened})")
            found.append(self._statement())
            self._skip(semicolons=True)
        self._at += 1
        self._depth -= 1
        return tuple(found)

    def _statement(self) -> Any:
        token = self._peek()
        if token.kind != "name" or token.value in _WORDS:
            return self._expression()
        if token.value == "return":
            self._at += 1
            return self._expression()
        if token.value in ("def", "if", "for", "while", "try", "switch", "class", "import"):
            raise GroovyError(
                token.line, f"`{token.value}` is scripted Groovy; only declarative pipelines are understood"
            )
        start = self._at
        name = self._dotted()
        if self._take("="):
            self._skip()
            return Assign(name, self._expression(), token.line)
        if self._is("(", "{") or self._begins_value():
            call = self._call(name, token.line)
            if not self._is("==", "!=", "&&", "||", "+", "."):
                return call
        self._at = start
        return self._expression()

    def _begins_value(self) -> bool:
        """Whether an argument without brackets follows: `sh 'x'`, `string name: 'X'`, `retry 3`."""
        token = self._peek()
        return token.kind in ("value", "name") or self._is("[")

    def _call(self, name: str, line: int) -> Call:
        args: list[Any] = []
        named: dict[str, Any] = {}
        if self._is("("):
            opened = self._next().line
            self._deeper()
            self._skip()
            while not self._is(")"):
                self._argument(args, named)
                self._skip()
                if not self._take(","):
                    break
                self._skip()
            self._expect(")", opened)
            self._depth -= 1
        elif self._begins_value():
            self._argument(args, named)
            while self._take(","):
                self._skip()
                self._argument(args, named)
        body = self._block() if self._is("{") else None
        return Call(name, line, tuple(args), named, body)

    def _argument(self, args: list[Any], named: dict[str, Any]) -> None:
        token, after = self._peek(), self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        if token.kind == "name" and after.kind == "mark" and after.value == ":":
            self._at += 2
            self._skip()
            if token.value in named:
                raise GroovyError(token.line, f"{token.value} is given twice")
            named[token.value] = self._expression()
        else:
            args.append(self._expression())

    def _dotted(self) -> str:
        name = str(self._next().value)
        while self._is(".") and self._tokens[self._at + 1].kind == "name":
            self._at += 1
            name += f".{self._next().value}"
        return name

    # --- values

    def _expression(self) -> Any:
        return self._chain(("||",), lambda: self._chain(("&&",), self._comparison))

    def _chain(self, operators: tuple[str, ...], inner: Any) -> Any:
        left = inner()
        while self._is(*operators):
            token = self._next()
            self._skip()
            left = Binary(token.value, left, inner(), token.line)
        return left

    def _comparison(self) -> Any:
        return self._chain(("==", "!="), lambda: self._chain(("+",), self._single))

    def _single(self) -> Any:
        self._deeper()
        made = self._primary()
        self._depth -= 1
        return made

    def _primary(self) -> Any:
        token = self._next()
        if token.kind == "value":
            return token.value
        if token.kind == "mark" and token.value == "!":
            return Not(self._single(), token.line)
        if token.kind == "mark" and token.value == "-" and isinstance(self._peek().value, int | float):
            return -self._next().value
        if token.kind == "mark" and token.value == "(":
            self._skip()
            made = self._expression()
            self._skip()
            self._expect(")", token.line)
            return made
        if token.kind == "mark" and token.value == "[":
            return self._list(token.line)
        if token.kind == "name":
            if token.value in _WORDS:
                return _WORDS[token.value]
            self._at -= 1
            name = self._dotted()
            return self._call(name, token.line) if self._is("(") else Ref(name, token.line)
        raise GroovyError(token.line, f"a value is missing, not {_show(token)}")

    def _list(self, opened: int) -> Any:
        """`[a, b]` as a tuple, `[k: v]` as a dict."""
        args: list[Any] = []
        named: dict[str, Any] = {}
        self._skip()
        if self._is(":"):
            self._at += 1
        while not self._is("]"):
            self._argument(args, named)
            self._skip()
            if not self._take(","):
                break
            self._skip()
        self._expect("]", opened)
        if args and named:
            raise GroovyError(opened, "a list and a map cannot be one: write [a, b] or [k: v]")
        return named if named else tuple(args)


def _show(token: _Token) -> str:
    if token.kind == "end":
        return "the file's end"
    if token.kind == "newline":
        return "the line's end"
    return repr(token.value)
