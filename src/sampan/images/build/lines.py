"""A Dockerfile's text to logical lines: directives, comments, continuations, here-documents. Pure.

By the Dockerfile reference, "Format", "Parser directives" and "Here-Documents".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sampan.images.build import substitute
from sampan.images.build.errors import DockerfileError

DIRECTIVES = ("syntax", "escape", "check")
LARGEST = 4 << 20  # characters of a Dockerfile
_DIRECTIVE = re.compile(r"#[ \t]*([a-zA-Z][a-zA-Z0-9]*)[ \t]*=[ \t]*(.+?)[ \t]*\Z")
_HEREDOC = re.compile(r"\d*<<(-?)([^<]+)\Z")
_HEREDOC_INSTRUCTIONS = ("RUN", "COPY", "ADD")


@dataclass(frozen=True, slots=True)
class Heredoc:
    """`expand` says that variables in it are replaced (its delimiter was not quoted); `chomp`, that tabs went."""

    name: str
    content: str
    expand: bool = True
    chomp: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A logical line: where it starts, its text without continuations, and the documents that follow it."""

    number: int
    text: str
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def keyword(self) -> str:
        return self.text.split(None, 1)[0].upper()

    @property
    def rest(self) -> str:
        return self.text.split(None, 1)[1].strip() if len(self.text.split(None, 1)) > 1 else ""


@dataclass(frozen=True, slots=True)
class Lines:
    lines: tuple[Line, ...]
    escape: str = "\\"
    syntax: str = ""


def read(text: str, file: str = "Dockerfile") -> Lines:
    """Raises DockerfileError."""
    if len(text) > LARGEST:
        raise DockerfileError(file, 1, f"it has more than {LARGEST} characters", "is this a Dockerfile?")
    if "\0" in text:
        raise DockerfileError(file, text[: text.index("\0")].count("\n") + 1, "a NUL character", "is this a text file?")
    physical = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    directives = _directives(physical, file)
    escape = directives.get("escape", "\\")
    if escape not in ("\\", "`"):
        raise DockerfileError(file, 1, f"the escape character cannot be {escape!r}", "use a backslash or a backtick")
    return Lines(tuple(_Reader(physical, escape, file).lines()), escape, directives.get("syntax", ""))


def _directives(physical: list[str], file: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(physical, 1):
        match = _DIRECTIVE.match(line.strip())
        if match is None or match[1].lower() not in DIRECTIVES:
            break
        name = match[1].lower()
        if name in found:
            raise DockerfileError(file, number, f"the directive {name} is given twice", "delete one of them")
        found[name] = match[2]
    return found


class _Reader:
    def __init__(self, physical: list[str], escape: str, file: str) -> None:
        self._physical = physical
        self._escape = escape
        self._file = file
        self._at = 0
        mark = re.escape(escape)
        self._continued = re.compile(rf"(?:^|[^{mark}]){mark}[ \t]*\Z")

    def lines(self) -> Iterator[Line]:
        while self._at < len(self._physical):
            number = self._at + 1
            text = self._logical()
            if text:
                yield Line(number, text, self._heredocs(number, text))

    def _logical(self) -> str:
        """The next line with all that continues it; "" for an empty line or a comment."""
        parts: list[str] = []
        while self._at < len(self._physical):
            line = self._physical[self._at]
            self._at += 1
            bare = line.strip(" \t")
            if bare.startswith("#") or (parts and not bare):
                if not parts:
                    return ""
                continue
            if not parts:
                line = line.lstrip(" \t")
            if self._continued.search(line) is None:
                parts.append(line)
                break
            parts.append(line.rstrip(" \t")[:-1])
        return "".join(parts).strip()

    def _heredocs(self, number: int, text: str) -> tuple[Heredoc, ...]:
        words = text.split(None, 2)
        keyword = words[0].upper()
        if keyword == "ONBUILD" and len(words) > 1:
            keyword = words[1].upper()
        if keyword not in _HEREDOC_INSTRUCTIONS or "<<" not in text:
            return ()
        try:
            raw = substitute.raw_words(text, self._escape)
        except ValueError:
            return ()  # quotes that do not close: the shell's business, which such a line is meant for
        return tuple(self._heredoc(number, match[2], match[1] == "-") for w in raw if (match := _HEREDOC.match(w)))

    def _heredoc(self, number: int, delimiter: str, chomp: bool) -> Heredoc:
        name = substitute.unquote(delimiter, self._escape)
        if not name or re.search(r"\s", name):
            raise DockerfileError(self._file, number, f"a here-document needs one word after <<, not {delimiter!r}")
        content: list[str] = []
        while self._at < len(self._physical):
            line = self._physical[self._at]
            self._at += 1
            if chomp:
                line = line.lstrip("\t")
            if line == name:
                return Heredoc(name, "".join(f"{each}\n" for each in content), name == delimiter, chomp)
            content.append(line)
        raise DockerfileError(
            self._file, number, f"the here-document {name} has no end", f"add a line that is only {name}"
        )
