"""Changes of frozen Structs: a new object that shares all that stays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from sampan.api import shapes

T = TypeVar("T", bound=msgspec.Struct)
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def replace(object: T, changes: Mapping[str, Any]) -> T:
    """The object with what the paths name set, such as `{"spec.nodeName": "n1", "spec.containers[0].image": "x"}`.

    Names are Struct attributes (`continue_`); a Struct on the way that is absent is made. Keys of mappings follow
    the last dot of their mapping: `metadata.labels` takes a whole mapping. Raises AttributeError and IndexError
    for paths that do not exist.
    """
    for path, value in changes.items():
        object = _set(object, [name or int(index) for name, index in _STEP.findall(path)], value)
    return object


def _set(current: Any, steps: list[str | int], value: Any) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        items = list(current)
        items[step] = _set(items[step], rest, value)
        return tuple(items)
    inner = getattr(current, step)
    if inner is None and rest:
        inner = _empty(type(current), step)
    return msgspec.structs.replace(current, **{step: _set(inner, rest, value)})


def _empty(owner: type[msgspec.Struct], name: str) -> msgspec.Struct:
    """An empty Struct of the type that the owner's attribute has."""
    wire = next(f.encode_name for f in msgspec.structs.fields(owner) if f.name == name)
    made = shapes.fields(owner)[wire].type
    if made is None:
        raise AttributeError(f"{owner.__name__}.{name} holds no Struct to step into")
    return made()
