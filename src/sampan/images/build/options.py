"""`--name=value` after an instruction's word, and the fields of `RUN --mount`. Pure; errors are ValueError."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any, get_args

from sampan.images.build import substitute
from sampan.images.build.instructions import MountKind, RunMount

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}
_SIZE = re.compile(r"([0-9]+)([a-z]*)\Z")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def split(rest: str, escape: str, known: Collection[str], keyword: str) -> tuple[list[tuple[str, str]], str]:
    """The options at the start and what follows them. A flag without a value has "true"."""
    found: list[tuple[str, str]] = []
    while rest.startswith("--"):
        length = _word_end(rest, escape)
        flag, following = rest[:length], rest[length:].lstrip()
        if flag == "--":
            return found, following
        name, equals, value = flag[2:].partition("=")
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean --{close[0]}?" if close else f"it takes {_listed(known)}"
            raise ValueError(f"{keyword} has no option --{name}: {hint}")
        found.append((name, substitute_quotes(value, escape) if equals else "true"))
        rest = following
    return found, rest


def _listed(known: Collection[str]) -> str:
    return ", ".join(f"--{name}" for name in known) or "none"


def _word_end(text: str, escape: str) -> int:
    quote, at = "", 0
    while at < len(text):
        character = text[at]
        if character == escape and quote != "'":
            at += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character.isspace():
            break
        at += 1
    return min(at, len(text))


def substitute_quotes(value: str, escape: str) -> str:
    """Quotes away, but not in front of a variable, which is replaced later."""
    return value if "$" in value else substitute.unquote(value, escape)


def flag(value: str, name: str) -> bool:
    if value.lower() in ("true", "1", "yes", "t", ""):
        return True
    if value.lower() in ("false", "0", "no", "f"):
        return False
    raise ValueError(f"--{name} is true or false, not {value!r}")


def duration(text: str, name: str) -> int:
    """Nanoseconds of `1m30s`."""
    at, total = 0, 0.0
    while match := _DURATION.match(text, at):
        total += float(match[1]) * _NANOSECONDS[match[2]]
        at = match.end()
    if not text or (at != len(text) and text != "0"):
        raise ValueError(f"--{name} is a duration such as 30s or 1m30s, not {text!r}")
    if 0 < total < 10**6:
        raise ValueError(f"--{name} is at least 1ms, not {text!r}")
    return int(total)


def size(text: str, name: str) -> int:
    match = _SIZE.match(text.lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{name} is a size such as 64m, not {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def _octal(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-7]{1,4}", text):
        raise ValueError(f"{name} is an octal number such as 0400, not {text!r}")
    return int(text, 8)


def _number(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text):
        raise ValueError(f"{name} is a number, not {text!r}")
    return int(text)


def _boolean(text: str, name: str) -> bool:
    return flag(text, name)


def _text(text: str, name: str) -> str:
    return text


def _sharing(text: str, name: str) -> str:
    if text not in ("shared", "private", "locked"):
        raise ValueError(f"sharing is shared, private or locked, not {text!r}")
    return text


Read = Callable[[str, str], Any]
_FIELDS: dict[str, tuple[str, Read]] = {
    "target": ("target", _text), "dst": ("target", _text), "destination": ("target", _text),
    "source": ("source", _text), "src": ("source", _text), "from": ("from_", _text), "id": ("id", _text),
    "env": ("env", _text), "mode": ("mode", _octal), "uid": ("uid", _number), "gid": ("gid", _number),
    "size": ("size", size), "sharing": ("sharing", _sharing), "required": ("required", _boolean),
    "readonly": ("readonly", _boolean), "ro": ("readonly", _boolean),
}  # fmt: skip
_ALLOWED: dict[str, frozenset[str]] = {
    "bind": frozenset(("target", "source", "from_", "readonly")),
    "cache": frozenset(("target", "source", "from_", "id", "readonly", "sharing", "mode", "uid", "gid")),
    "tmpfs": frozenset(("target", "size")),
    "secret": frozenset(("target", "id", "required", "mode", "uid", "gid", "env")),
    "ssh": frozenset(("target", "id", "required", "mode", "uid", "gid")),
}


def mount(text: str) -> RunMount:
    """`type=cache,target=/var/cache/apt` as a value. A bind mount is read-only unless it says `rw`."""
    pairs = [_pair(field) for field in _fields(text)]
    kinds = [value for name, value in pairs if name == "type"]
    kind = kinds[-1] if kinds else "bind"
    if kind not in get_args(MountKind):
        raise ValueError(f"mount type {kind!r} is not known: use bind, cache, tmpfs or secret")
    if kind == "ssh":
        raise ValueError("mounts of type ssh are not supported: give the key as a secret")
    values: dict[str, Any] = {"readonly": True} if kind == "bind" else {}
    for name, value in pairs:
        if name == "type":
            continue
        if name in ("rw", "readwrite"):
            values["readonly"] = not flag(value, name)
            continue
        field, read = _FIELDS.get(name, ("", _text))
        if field not in _ALLOWED[kind]:
            raise ValueError(f"a mount of type {kind} has no field {name!r}")
        values[field] = read(value, name)
    return _complete(RunMount(kind, **values), text)  # type: ignore[arg-type]


def _fields(text: str) -> Iterable[str]:
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise ValueError(f"--mount={text}: {error}") from error


def _pair(field: str) -> tuple[str, str]:
    name, equals, value = field.partition("=")
    return name.strip().lower(), value if equals else "true"


def _complete(found: RunMount, text: str) -> RunMount:
    if found.kind == "secret":
        id = found.id or found.target.rpartition("/")[2]
        if not id:
            raise ValueError(f"--mount={text}: a secret needs an id")
        return replace(found, id=id)
    if not found.target:
        raise ValueError(f"--mount={text}: a mount needs a target")
    return replace(found, id=found.id or found.target) if found.kind == "cache" else found
