"""The functions of Go templates, and how their values look and compare."""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus


class TemplateError(ValueError):
    """The template cannot be understood, or does not fit the document."""


class _Missing:
    def __repr__(self) -> str:
        return "<no value>"


MISSING: Any = _Missing()
"""What a field that is not there is; it prints as `<no value>`."""


def unquote(text: str) -> str:
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1].encode().decode("unicode_escape")


def walk(value: Any, path: list[str]) -> Any:
    for name in path:
        if isinstance(value, dict):
            value = value.get(name, MISSING)
        elif value is None or value is MISSING:
            return MISSING
        else:
            raise TemplateError(f"can't evaluate field {name} in type {_type(value)}")
    return value


def truth(value: Any) -> bool:
    return value is not MISSING and bool(value)


def show(value: Any) -> str:
    """As Go prints it: `<no value>`, `map[a:1 b:2]`, `[x y]`."""
    if value is None or value is MISSING:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_inside(each)}' for key, each in sorted(value.items()))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_inside, value))}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


def _inside(value: Any) -> str:
    return "<nil>" if value is None else show(value)


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, list):
        return "[]interface {}"
    return {str: "string", int: "int64", float: "float64", dict: "map[string]interface {}"}.get(type(value), "nil")


def call(name: str, arguments: list[Any]) -> Any:
    try:
        return FUNCTIONS[name](*arguments)
    except (TypeError, KeyError, IndexError) as error:
        raise TemplateError(f"error calling {name}: {error}") from error


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, MISSING)
        elif isinstance(value, list | str):
            if not 0 <= int(key) < len(value):
                raise TemplateError(f"error calling index: index out of range: {key}")
            value = value[int(key)]
        else:
            raise TemplateError(f"error calling index: can't index item of type {_type(value)}")
    return value


def _exists(value: Any, *keys: Any) -> bool:
    for key in keys:
        known = isinstance(value, dict) and key in value
        if not known and not (isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value)):
            return False
        value = value[key]
    return True


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except binascii.Error as error:
        raise TemplateError(f"base64 decode failed: {error}") from error


_VERB = re.compile(r"%([-+ #0]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])")


def _printf(text: str, *values: Any) -> str:
    left = list(values)

    def one(match: re.Match[str]) -> str:
        marks, width, digits, verb = match[1], match[2] or "", match[3], match[4]
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        if verb in "sv":
            return format_text(show(value), marks, width)
        if verb == "q":
            return format_text(json.dumps(show(value), ensure_ascii=False), marks, width)
        if verb == "t":
            return show(bool(value))
        kind = f".{digits}{verb}" if digits and verb in "feg" else verb
        return str(("%" + marks + width + kind) % value) if verb in "dfegxXo" else f"%!{verb}({show(value)})"

    return _VERB.sub(one, text) + "".join(f"%!(EXTRA {_type(value)}={show(value)})" for value in left)


def format_text(text: str, marks: str, width: str) -> str:
    size = int(width or 0)
    return text.ljust(size) if "-" in marks else text.rjust(size)


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def run(one: Any, other: Any) -> bool:
        if isinstance(one, str) is not isinstance(other, str):
            raise TemplateError("incompatible types for comparison")
        return test(one, other)

    return run


def _eq(one: Any, *others: Any) -> bool:
    return any(one == other for other in others)


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _print(*values: Any) -> str:
    """Blanks only between values that are both no strings."""
    made = ""
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            made += " "
        made += show(value)
    return made


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not truth(value),
    "eq": _eq,
    "ne": lambda one, other: one != other,
    "lt": _compare(lambda one, other: one < other),
    "le": _compare(lambda one, other: one <= other),
    "gt": _compare(lambda one, other: one > other),
    "ge": _compare(lambda one, other: one >= other),
    "len": len,
    "index": _index,
    "slice": lambda value, *bounds: value[slice(*(bounds if len(bounds) > 1 else (*bounds, None)))],
    "exists": _exists,
    "base64decode": _decode,
    "print": _print,
    "printf": _printf,
    "println": lambda *values: " ".join(map(show, values)) + "\n",
    "html": lambda *values: html.escape(_print(*values)),
    "urlquery": lambda *values: quote_plus(_print(*values)),
    "js": lambda *values: json.dumps(_print(*values))[1:-1],
}
