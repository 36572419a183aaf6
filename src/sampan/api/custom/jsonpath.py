"""The JSONPath that definitions use for columns, scales and selectable fields.

Steps: `.name`, `['name']`, `[0]`, `[*]`, and filters on one member: `[?(@.type=="Ready")]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_STEP = re.compile(
    r"""\.(?P<name>(?:\\.|[^.\[\]\s'"])+)
    |\[(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]
    |\[(?P<index>-?\d+)\]
    |(?P<all>\[\*\]|\.\*)
    |\[\?\(\s*@\.(?P<member>[A-Za-z0-9_.\-/]+)\s*(?P<operator>==|!=)\s*
        (?P<value>'[^']*'|"[^"]*"|-?\d+(?:\.\d+)?|true|false)\s*\)\]""",
    re.VERBOSE,
)
_SIMPLE = re.compile(r"(?:\.[A-Za-z0-9_\-]+|\['[^'\[\]]+'\])+")


class Path:
    """A compiled path. Raises ValueError in the words that follow `is an invalid json path`-like complaints."""

    def __init__(self, text: str) -> None:
        bare = text.strip().removeprefix("{").removesuffix("}").removeprefix("$")
        self._steps: list[Step] = []
        at = 0
        while at < len(bare):
            match = _STEP.match(bare, at)
            if match is None:
                raise ValueError(f"cannot understand {bare[at:]!r}")
            self._steps.append(_step(match))
            at = match.end()
        if not self._steps:
            raise ValueError("the path is empty")

    def find(self, value: Any) -> list[Any]:
        """Every value at the path."""
        found: Iterable[Any] = [value]
        for step in self._steps:
            found = [below for each in found for below in step(each)]
        return list(found)

    def first(self, value: Any) -> Any:
        found = self.find(value)
        return found[0] if found else None


def names(text: str) -> tuple[str, ...]:
    """The members of a path without lists (`.spec.replicas`). Raises ValueError for any other."""
    if _SIMPLE.fullmatch(text) is None:
        raise ValueError("must be a simple json path with dot notation")
    return tuple(dotted or quoted for dotted, quoted in re.findall(r"\.([A-Za-z0-9_\-]+)|\['([^']+)'\]", text))


def _step(match: re.Match[str]) -> Step:
    if match["all"]:
        return _everything
    if match["index"] is not None:
        return _item(int(match["index"]))
    if match["member"]:
        return _filter(match["member"].split("."), match["operator"] == "==", match["value"])
    name = match["name"] or match["quoted"][1:-1]
    return _member(re.sub(r"\\(.)", r"\1", name))


def _member(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _item(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _everything(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def _filter(member: list[str], equal: bool, text: str) -> Step:
    wanted = text[1:-1] if text[0] in "'\"" else text

    def step(value: Any) -> Iterator[Any]:
        for item in value if isinstance(value, list) else ():
            found = item
            for name in member:
                found = found.get(name) if isinstance(found, dict) else None
            shown = ("true" if found else "false") if isinstance(found, bool) else str(found)
            if (found is not None and shown == wanted) == equal:
                yield item

    return step
