"""How strategic patches treat each field: strategies and merge keys, found through the Structs' annotations."""

from __future__ import annotations

import functools
import importlib
import types
import typing
from typing import Any, NamedTuple

import msgspec

from sampan.api.types import schema


class Field(NamedTuple):
    """`definition` names the type of the value, or of the items of a list or map, when it is a Struct."""

    definition: str = ""
    merge: bool = False
    replace: bool = False
    retain_keys: bool = False
    merge_key: str = ""


PLAIN = Field()


@functools.cache
def fields(definition: str) -> dict[str, Field]:
    """The fields of a definition (`core_v1.Pod`) by their names on the wire; none for `""` and unknown ones."""
    module, _, name = definition.partition(".")
    if not name:
        return {}
    try:
        struct = getattr(importlib.import_module(f"sampan.api.types.{module}"), name)
    except (ImportError, AttributeError):
        return {}
    hints = schema.FIELDS.get(definition, {})
    return {f.encode_name: _field(f.type, hints.get(f.encode_name, {})) for f in msgspec.structs.fields(struct)}


def field(definition: str, name: str) -> Field:
    return fields(definition).get(name, PLAIN)


def _field(annotation: Any, hints: dict[str, Any]) -> Field:
    strategies = str(hints.get("patch-strategy", "")).split(",")
    struct, is_map = _struct(annotation)
    return Field(
        # The values of a map of Structs have their own names as keys: no field of the Struct itself is there.
        definition="" if struct is None or is_map else f"{struct.__module__.rpartition('.')[2]}.{struct.__name__}",
        merge="merge" in strategies,
        replace="replace" in strategies,
        retain_keys="retainKeys" in strategies,
        merge_key=str(hints.get("patch-merge-key", "")),
    )


def _struct(annotation: Any) -> tuple[type[msgspec.Struct] | None, bool]:
    """The Struct that an annotation speaks of, and whether a map holds it."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation, False
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union, tuple, typing.Annotated):
        for argument in arguments:
            found, is_map = _struct(argument)
            if found is not None:
                return found, is_map
    if origin is not None and len(arguments) == 2 and arguments[0] is str:
        return _struct(arguments[1])[0], True
    return None, False
