"""-o custom-columns=NAME:.metadata.name,... and the same from a file."""

from __future__ import annotations

from typing import Any, NamedTuple

from sampan.cli.context import CommandError
from sampan.cli.kubectl.printing.jsonpath import PathError, Template, show
from sampan.cli.kubectl.printing.table import Columns

Document = dict[str, Any]


class CustomColumn(NamedTuple):
    header: str
    path: Template


def parse(text: str) -> list[CustomColumn]:
    """`NAME:.metadata.name,IMAGES:.spec.containers[*].image`. Raises CommandError."""
    found = []
    for part in _split(text):
        header, colon, path = part.partition(":")
        if not colon or not path:
            raise CommandError(f"error: unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>")
        found.append(CustomColumn(header, template(path)))
    if not found:
        raise CommandError("error: custom-columns format specified but no custom columns given")
    return found


def parse_file(text: str) -> list[CustomColumn]:
    """A line of headers, and one of paths."""
    lines = text.splitlines()
    headers, paths = (line.split() for line in [*lines, "", ""][:2])
    if not headers or len(headers) != len(paths):
        raise CommandError("error: number of headers must match number of paths in a custom-columns file")
    return [CustomColumn(header, template(path)) for header, path in zip(headers, paths, strict=True)]


def template(path: str) -> Template:
    """A path with or without braces and leading dot."""
    bare = path.strip()
    if bare.startswith("{") and bare.endswith("}"):
        bare = bare[1:-1]
    if not bare.startswith((".", "$", "@", "[")):
        bare = "." + bare
    try:
        return Template("{" + bare + "}")
    except PathError as error:
        raise CommandError(f"error: error parsing path {path}: {error}") from error


def rows(columns: list[CustomColumn], document: Document) -> list[list[str]]:
    items = document["items"] if isinstance(document.get("items"), list) else [document]
    return [[_cell(column.path, item) for column in columns] for item in items]


def _cell(path: Template, item: Document) -> str:
    values = path.values(item)
    return ",".join("<nil>" if value is None else show(value) for value in values) or "<none>"


class ColumnPrinter:
    """Prints headers with the first rows only."""

    def __init__(self, columns: list[CustomColumn], *, headers: bool = True) -> None:
        self._columns = columns
        self._headers = headers
        self._layout = Columns()

    def __call__(self, document: Document) -> str:
        made = rows(self._columns, document)
        if self._headers:
            made.insert(0, [column.header for column in self._columns])
            self._headers = False
        return "".join(line + "\n" for line in self._layout.lines(made))


def _split(text: str) -> list[str]:
    """At commas outside brackets."""
    parts, depth, last = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and not depth:
            parts.append(text[last:at])
            last = at + 1
    return [part for part in (*parts, text[last:]) if part]
