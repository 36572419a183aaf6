"""Words of an instruction: quotes, escapes, and every form of ${variable}. Pure.

By the Dockerfile reference, "Environment replacement", and the shell's parameter expansion, which it follows.
All errors are ValueError with what to do; who calls knows file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SPECIAL = "0123456789@*#?$!-"
_BLANKS = " \t\n\r\v\f"
_DEEPEST = 64


def word(text: str, values: Mapping[str, str], escape: str = "\\") -> str:
    """One word: variables replaced, quotes and escapes taken away, blanks kept."""
    expander = _Expander(text, values, escape)
    return expander.run()[0]


def words(text: str, values: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The words of a text, split at blanks outside quotes, those of unquoted variables included."""
    expander = _Expander(text, values, escape)
    return expander.run()[1]


def unquote(text: str, escape: str = "\\") -> str:
    """Without quotes and escapes; `$` stays."""
    return _Expander(text, None, escape).run()[0]


def raw_words(text: str, escape: str = "\\") -> list[str]:
    """Split at blanks outside quotes; quotes, escapes and variables stay as they are written."""
    found: list[str] = []
    current, quote, at, inside = "", "", 0, False
    while at < len(text):
        character = text[at]
        if character == escape and quote != "'" and at + 1 < len(text):
            current += text[at : at + 2]
            inside = True
            at += 2
            continue
        if quote:
            quote = "" if character == quote else quote
            current += character
        elif character in _BLANKS:
            if inside:
                found.append(current)
            current, inside = "", False
        else:
            quote = character if character in "'\"" else ""
            current += character
            inside = True
        at += 1
    if quote:
        raise ValueError(f"a {quote} is not closed: add the missing {quote}, or escape it with {escape}")
    return [*found, current] if inside else found


class _Expander:
    """Reads a text once; `values` of None leaves variables alone."""

    def __init__(self, text: str, values: Mapping[str, str] | None, escape: str, depth: int = 0) -> None:
        if depth > _DEEPEST:
            raise ValueError("variables are nested too deep")
        self._text = text
        self._values = values
        self._escape = escape
        self._depth = depth
        self._at = 0

    def run(self) -> tuple[str, list[str]]:
        """(as one word, as words)."""
        whole: list[str] = []
        split = _Split()
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "'":
                piece = self._single()
                split.add(piece)
            elif character == '"':
                piece = self._double()
                split.add(piece)
            elif character == "$" and self._values is not None:
                piece = self._variable()
                split.add_unquoted(piece)
            elif character == self._escape:
                piece = self._text[self._at + 1 : self._at + 2]
                self._at += 2
                if piece:
                    split.add(piece)
            else:
                piece = character
                self._at += 1
                split.add_unquoted(piece)
            whole.append(piece)
        return "".join(whole), split.words()

    def _single(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise ValueError(f"a ' is not closed: add the missing ', or escape it with {self._escape}")
        piece = self._text[self._at + 1 : end]
        self._at = end + 1
        return piece

    def _double(self) -> str:
        found: list[str] = []
        self._at += 1
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == '"':
                self._at += 1
                return "".join(found)
            if character == "$" and self._values is not None:
                found.append(self._variable())
            elif character == self._escape and self._text[self._at + 1 : self._at + 2] in (
                '"',
                "$",
                self._escape,
            ):
                found.append(self._text[self._at + 1])
                self._at += 2
            else:
                found.append(character)
                self._at += 1
        raise ValueError(f'a " is not closed: add the missing ", or escape it with {self._escape}')

    def _variable(self) -> str:
        assert self._values is not None
        self._at += 1
        if self._text[self._at : self._at + 1] == "{":
            self._at += 1
            return self._braced()
        match = _NAME.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
            return self._values.get(match[0], "")
        following = self._text[self._at : self._at + 1]
        if following and following in _SPECIAL:
            self._at += 1
            return self._values.get(following, "")
        return "$"

    def _braced(self) -> str:
        """What stands after `${`, to its `}`."""
        assert self._values is not None
        match = _NAME.match(self._text, self._at)
        name = match[0] if match else self._text[self._at : self._at + 1]
        if match is None and (not name or name not in _SPECIAL):
            raise ValueError(f"a name must follow '${{' in {self._text!r}")
        self._at += len(name)
        value = self._values.get(name)
        operator = self._operator()
        if not operator:
            return value or ""
        if operator[0] in "#%":
            pattern = self._argument("}", pattern=True)
            return _trim(value or "", operator, pattern)
        if operator[0] == "/":
            pattern = self._argument("/}", pattern=True)
            replacement = self._argument("}") if self._text[self._at - 1] == "/" else ""
            return _replace(value or "", pattern, replacement, everywhere=operator == "//")
        argument = self._argument("}")
        absent = value is None or (operator[0] == ":" and value == "")
        if operator[-1] == "-":
            return argument if absent else value or ""
        if operator[-1] == "+":
            return "" if absent else argument
        if absent:
            raise ValueError(f"{name}: {argument or 'it is not set'}: give it a value with ARG, ENV or --build-arg")
        return value or ""

    def _operator(self) -> str:
        """The operator after the name, consumed; "" for a plain `}`. Raises ValueError for what is none."""
        rest = self._text[self._at : self._at + 2]
        if rest[:1] == "}":
            self._at += 1
            return ""
        for operator in ("##", "%%", "//", ":-", ":+", ":?", "#", "%", "/", "-", "+", "?"):
            if rest.startswith(operator):
                self._at += len(operator)
                return operator
        if not rest:
            raise ValueError(f"a '${{' is not closed in {self._text!r}: add the missing '}}'")
        raise ValueError(f"unsupported modifier {rest[:1]!r} in {self._text!r}: use one of :- :+ :? # ## % %% / //")

    def _argument(self, stops: str, *, pattern: bool = False) -> str:
        """The text up to one of `stops`, which is consumed, with its own variables replaced."""
        assert self._values is not None
        start, depth, quote = self._at, 0, ""
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == self._escape and quote != "'":
                self._at += 2
                continue
            if quote:
                quote = "" if character == quote else quote
            elif character in "'\"":
                quote = character
            elif self._text.startswith("${", self._at):
                depth += 1
                self._at += 1
            elif character == "}" and depth:
                depth -= 1
            elif character in stops and not depth:
                break
            self._at += 1
        if self._at >= len(self._text):
            raise ValueError(f"a '${{' is not closed in {self._text!r}: add the missing '}}'")
        argument = self._text[start : self._at]
        self._at += 1
        inner = _Expander(argument, self._values, self._escape, self._depth + 1)
        return inner.pattern() if pattern else inner.run()[0]

    def pattern(self) -> str:
        """A shell pattern as a regular expression: `*` and `?` outside quotes and not escaped."""
        found: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "'":
                found.append(re.escape(self._single()))
            elif character == '"':
                found.append(re.escape(self._double()))
            elif character == "$":
                found.append("".join(map(_glob, self._variable())))
            elif character == self._escape:
                found.append(re.escape(self._text[self._at + 1 : self._at + 2]))
                self._at += 2
            else:
                if character != "*" or found[-1:] != [".*"]:
                    found.append(_glob(character))
                self._at += 1
        return "".join(found)


def _glob(character: str) -> str:
    return {"*": ".*", "?": "."}.get(character) or re.escape(character)


def _trim(value: str, operator: str, pattern: str) -> str:
    """The value without the shortest (one sign) or longest (two) part at its start (#) or end (%) that fits."""
    compiled = re.compile(pattern, re.DOTALL)
    lengths: Sequence[int] = range(len(value) + 1)
    if len(operator) == 2:
        lengths = lengths[::-1]
    for length in lengths:
        if operator[0] == "#":
            if compiled.fullmatch(value, 0, length):
                return value[length:]
        elif compiled.fullmatch(value, len(value) - length):
            return value[: len(value) - length]
    return value


def _replace(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    if not pattern:
        return value
    plain: Callable[[re.Match[str]], str] = lambda match: replacement if match[0] else ""  # noqa: E731
    return re.sub(pattern, plain, value, count=0 if everywhere else 1, flags=re.DOTALL)


class _Split:
    def __init__(self) -> None:
        self._words: list[str] = []
        self._current: list[str] = []
        self._inside = False

    def add(self, piece: str) -> None:
        """A quoted piece: it makes a word even when it is empty."""
        self._current.append(piece)
        self._inside = True

    def add_unquoted(self, piece: str) -> None:
        for character in piece:
            if character in _BLANKS:
                self._end()
            else:
                self._current.append(character)
                self._inside = True

    def _end(self) -> None:
        if self._inside:
            self._words.append("".join(self._current))
        self._current, self._inside = [], False

    def words(self) -> list[str]:
        self._end()
        return self._words
