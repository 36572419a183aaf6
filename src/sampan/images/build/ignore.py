"""What a .dockerignore leaves out of the build context. Pure.

By the Dockerfile reference, ".dockerignore file": patterns of Go's filepath.Match with `**`, `!` for exceptions,
the last one that fits decides, and what fits a directory fits all below it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from sampan.images.build.errors import DockerfileError


@dataclass(frozen=True, slots=True)
class Rule:
    """`keeps` is an exception (`!`)."""

    pattern: str
    keeps: bool
    expression: re.Pattern[str]


class Ignore:
    """Answers whether a path is left out. Paths are relative to the context, with slashes."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self.rules = tuple(rules)
        self._exceptions = any(rule.keeps for rule in self.rules)

    def __call__(self, path: str) -> bool:
        ignored = False
        for rule in self.rules:
            if rule.keeps == ignored and rule.expression.match(path):
                ignored = not rule.keeps
        return ignored

    def prunes(self, directory: str) -> bool:
        """Whether nothing below an ignored directory can be an exception, so that nobody needs to look."""
        if not self._exceptions:
            return True
        return not any(rule.keeps and _may_be_below(rule.pattern, directory) for rule in self.rules)


NOTHING = Ignore()


def parse(text: str, file: str = ".dockerignore") -> Ignore:
    """Raises DockerfileError."""
    rules = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        pattern = line.strip()
        if not pattern or line.startswith("#"):
            continue
        keeps = pattern.startswith("!")
        try:
            rules.append(rule(pattern.removeprefix("!").strip(), keeps=keeps))
        except ValueError as error:
            raise DockerfileError(file, number, str(error)) from error
    return Ignore(each for each in rules if each.pattern != ".")


def rule(pattern: str, *, keeps: bool = False) -> Rule:
    """Raises ValueError for a pattern that is none."""
    if not pattern:
        raise ValueError("an empty pattern: a ! needs one behind it")
    cleaned = posixpath.normpath(pattern).lstrip("/") or "."
    while cleaned.startswith("../"):
        cleaned = cleaned[3:]
    return Rule(cleaned, keeps, re.compile(f"{expression(cleaned)}(?:/.*)?\\Z", re.DOTALL))


def expression(pattern: str) -> str:
    """A pattern as a regular expression: `*` and `?` stay within a name, `**` does not."""
    found, at = [], 0
    while at < len(pattern):
        character = pattern[at]
        if pattern.startswith("**/", at):
            found.append("(?:.*/)?")
            at += 3
            continue
        if pattern.startswith("**", at):
            found.append(".*")
            at += 2
            continue
        if character == "*":
            found.append("[^/]*")
        elif character == "?":
            found.append("[^/]")
        elif character == "[":
            at, piece = _class(pattern, at)
            found.append(piece)
            continue
        elif character == "\\":
            at += 1
            if at == len(pattern):
                raise ValueError(f"pattern {pattern!r} ends with a backslash")
            found.append(re.escape(pattern[at]))
        else:
            found.append(re.escape(character))
        at += 1
    return "".join(found)


def _class(pattern: str, at: int) -> tuple[int, str]:
    """`[a-z]` or `[^a-z]`; returns where it ends, and the expression."""
    end = at + 1
    negated = pattern[end : end + 1] in ("^", "!")
    end += negated
    body: list[str] = []
    while end < len(pattern) and (pattern[end] != "]" or not body):
        if pattern[end] == "\\" and end + 1 < len(pattern):
            end += 1
            body.append("\\" + pattern[end])
        else:
            body.append(pattern[end] if pattern[end] == "-" else re.escape(pattern[end]))
        end += 1
    if end >= len(pattern):
        raise ValueError(f"pattern {pattern!r} has a [ without ]")
    piece = f"[{'^/' if negated else ''}{''.join(body)}]"
    try:
        re.compile(piece)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} has a bad range") from error
    return end + 1, piece


def _may_be_below(pattern: str, directory: str) -> bool:
    """Whether a pattern could fit something below a directory: their first components agree."""
    for wanted, name in zip(pattern.split("/"), directory.split("/"), strict=False):
        if "**" in wanted:
            return True
        if not re.fullmatch(expression(wanted), name, re.DOTALL):
            return False
    return True
