"""`$(NAME)` in commands, arguments, variables and subPathExpr. `$$` stands for one dollar."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


def expand(text: str, *scopes: Mapping[str, str]) -> str:
    """The first scope that knows a name gives its value; a name that none knows stays as it is written."""
    return _replace(text, scopes, lambda name: f"$({name})")


def expand_strictly(text: str, *scopes: Mapping[str, str]) -> str:
    """As `expand`; raises KeyError with the first name that no scope knows."""

    def missing(name: str) -> str:
        raise KeyError(name)

    return _replace(text, scopes, missing)


def expand_all(texts: Sequence[str], *scopes: Mapping[str, str]) -> tuple[str, ...] | None:
    """A command or its arguments; None for none, as the container runtime tells them from the image's."""
    return tuple(expand(text, *scopes) for text in texts) or None


def _replace(text: str, scopes: Sequence[Mapping[str, str]], otherwise: Callable[[str], str]) -> str:
    if "$" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        name: str | None = match[1]
        if name is None:
            return "$"
        for scope in scopes:
            if name in scope:
                return scope[name]
        return otherwise(name)

    return _REFERENCE.sub(value, text)
