"""What the Structs' annotations say about documents: one walker per type, compiled once.

The walkers drop nulls, bring quantities, times and base64 into canonical form, list unknown fields, and
name a field's Go type in error messages.
"""

from __future__ import annotations

import binascii
import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from sampan.api import quantity
from sampan.api.types import base


class Node(NamedTuple):
    """One annotation: `form` is struct, list, map, any, or a scalar's Go type; `inner` what a list or map holds."""

    form: str
    type: type[msgspec.Struct] | None = None
    inner: Node | None = None

    @property
    def go(self) -> str:
        """The type's name in Go, as decoding errors print it."""
        if self.form == "list" and self.inner:
            return f"[]{self.inner.go}"
        if self.form == "map" and self.inner:
            return f"map[string]{self.inner.go}"
        if self.type is not None:
            return f"{self.type.__module__.rpartition('_')[2]}.{self.type.__name__}"
        return _GO.get(self.form, self.form)


_GO = {"quantity": "resource.Quantity", "time": "v1.Time", "microtime": "v1.MicroTime", "base64": "[]uint8"}
_SCALARS = {str: "string", int: "int64", bool: "bool", float: "float64"}


@functools.cache
def fields(type: type[msgspec.Struct]) -> dict[str, Node]:
    """The type's fields by their names on the wire."""
    return {field.encode_name: _node(field.type) for field in msgspec.structs.fields(type)}


def _node(annotation: Any) -> Node:
    if isinstance(annotation, str):
        return Node("any")
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _annotated(annotation)
    if origin in (typing.Union, types.UnionType):
        arms = [arm for arm in typing.get_args(annotation) if arm is not types.NoneType]
        return _node(arms[0]) if len(arms) == 1 else Node("intstr.IntOrString")
    if origin is tuple:
        return Node("list", inner=_node(typing.get_args(annotation)[0]))
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return Node("map", inner=_node(typing.get_args(annotation)[1]))
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return Node("struct", type=annotation)
    return Node(_SCALARS.get(annotation, "any"))


def _annotated(annotation: Any) -> Node:
    if annotation == base.Int32:
        return Node("int32")
    if annotation == base.Int64:
        return Node("int64")
    return Node(annotation.__metadata__[0])


# --- canonical form


@functools.lru_cache(maxsize=4096)
def _quantity(text: str) -> str:
    return quantity.canonical(text)


def canonical_time(text: str, micro: bool = False) -> str:
    """RFC 3339 in UTC, cut to seconds (or microseconds). Raises ValueError in Go's words."""
    if not micro and len(text) == 20 and text[19] == "Z":
        try:
            datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(_time_error(text)) from None
        return text if text[10] == "T" else text[:10] + "T" + text[11:]
    try:
        if _RFC3339.match(text) is None:
            raise ValueError
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except ValueError:
        raise ValueError(_time_error(text)) from None
    if micro:
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")
_LAYOUT = "2006-01-02T15:04:05Z07:00"
_PARTS = (
    ("2006", r"\d{4}"),
    ("-", "-"),
    ("01", r"\d\d"),
    ("-", "-"),
    ("02", r"\d\d"),
    ("T", "T"),
    ("15", r"\d\d"),
    (":", ":"),
    ("04", r"\d\d"),
    (":", ":"),
    ("05", r"\d\d(\.\d+)?"),
    ("Z07:00", r"Z|[+-]\d\d:\d\d"),
)


def _time_error(text: str) -> str:
    rest = text
    for word, pattern in _PARTS:
        match = re.match(pattern, rest)
        if match is None:
            return f'parsing time "{text}" as "{_LAYOUT}": cannot parse "{rest}" as "{word}"'
        rest = rest[match.end() :]
    return f'parsing time "{text}": ' + (f'extra text: "{rest}"' if rest else "day out of range")


def _base64(text: str) -> str:
    """Standard base64 without line breaks. Raises ValueError in Go's words."""
    bare = text.replace("\n", "").replace("\r", "") if "\n" in text or "\r" in text else text
    try:
        binascii.a2b_base64(bare, strict_mode=True)
    except (binascii.Error, ValueError):
        match = re.match(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", bare)
        wrong = re.search(r"[^A-Za-z0-9+/]", bare)
        at = wrong.start() if wrong else (match.end() if match else 0)
        raise ValueError(f"illegal base64 data at input byte {at}") from None
    return bare


def _visit_quantity(value: Any, container: Any, key: Any) -> None:
    if value.__class__ is str:
        container[key] = _quantity(value)
    elif value.__class__ in (int, float):
        container[key] = quantity.canonical(value)
    else:
        raise ValueError(quantity.FORMAT)


def _visit_quantities(value: Any, container: Any, key: Any) -> None:
    if value.__class__ is dict:
        for name, member in value.items():
            _visit_quantity(member, value, name)


def _visit_time(value: Any, container: Any, key: Any) -> None:
    if value.__class__ is str:
        container[key] = canonical_time(value)


def _visit_microtime(value: Any, container: Any, key: Any) -> None:
    if value.__class__ is str:
        container[key] = canonical_time(value, micro=True)


def _visit_base64(value: Any, container: Any, key: Any) -> None:
    if value.__class__ is str:
        container[key] = _base64(value)


Visit = Callable[[Any, Any, Any], None]
"""Brings `value`, which stands at container[key], into canonical form."""

_SCALAR_VISITS: dict[str, Visit] = {
    "quantity": _visit_quantity,
    "time": _visit_time,
    "microtime": _visit_microtime,
    "base64": _visit_base64,
}


@functools.cache
def walker(type: type[msgspec.Struct]) -> Visit:
    """Brings a document of `type` into canonical form, in place. Raises ValueError; wrong shapes are left alone.

    Few lookups and no closures between levels: a Pod costs 3 us.
    """
    members: list[tuple[str, Visit]] = []

    def walk(value: Any, container: Any, key: Any) -> None:
        if value.__class__ is dict:
            get = value.get
            for name, visit in members:
                member = get(name)
                if member is not None:
                    visit(member, value, name)

    for name, node in fields(type).items():
        if matters(node) and (visit := walk if node.type is type else _visit(node)):
            members.append((name, visit))
    return walk


@functools.cache
def matters(node: Node, above: frozenset[type[msgspec.Struct]] = frozenset()) -> bool:
    """Whether anything below has a canonical form to bring about."""
    if node.form in _SCALAR_VISITS:
        return True
    if node.inner is not None:
        return matters(node.inner, above)
    if node.type is None or node.type in above:
        return False
    return any(matters(inner, above | {node.type}) for inner in fields(node.type).values())


def _visit(node: Node) -> Visit | None:
    if node.form in _SCALAR_VISITS:
        return _SCALAR_VISITS[node.form]
    if node.type is not None:
        return walker(node.type)
    inner = _visit(node.inner) if node.inner else None
    if inner is None:
        return None
    if node.form == "map":
        return _visit_quantities if inner is _visit_quantity else _over_map(inner)
    return _over_list(inner)


def _over_list(inner: Visit) -> Visit:
    def over(value: Any, container: Any, key: Any) -> None:
        if value.__class__ is list:
            for index, item in enumerate(value):
                inner(item, value, index)

    return over


def _over_map(inner: Visit) -> Visit:
    def over(value: Any, container: Any, key: Any) -> None:
        if value.__class__ is dict:
            for name, member in value.items():
                inner(member, value, name)

    return over


def drop_nulls(value: Any) -> None:
    """Remove null members of objects at every depth, in place: null means absent."""
    if isinstance(value, dict):
        for key in [key for key, member in value.items() if member is None]:
            del value[key]
        for member in value.values():
            drop_nulls(member)
    elif isinstance(value, list):
        for member in value:
            drop_nulls(member)


# --- unknown fields


@functools.cache
def strict(type: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """A skeleton of `type` that refuses unknown fields: only what holds further Structs is typed, the rest is Any.

    Converting to it is how C tells that a document has no unknown field.
    """
    return _skeleton(type, ())


def _skeleton(type: type[msgspec.Struct], above: tuple[type[msgspec.Struct], ...]) -> type[msgspec.Struct]:
    members = []
    names: dict[str, str] = {}
    for index, (name, node) in enumerate(fields(type).items()):
        # A type within itself (a JSON schema) stays unchecked here; `unknown` looks at all of it.
        members.append((f"f{index}", _skeleton_of(node, (*above, type)), None))
        names[f"f{index}"] = name
    made: Any = msgspec.defstruct(type.__name__, members, forbid_unknown_fields=True, rename=names, gc=False)
    return made  # type: ignore[no-any-return]


def _skeleton_of(node: Node, above: tuple[type[msgspec.Struct], ...]) -> Any:
    if node.type is not None:
        return Any if node.type in above else _skeleton(node.type, above) | None
    if node.inner is None:
        return Any
    inner = _skeleton_of(node.inner, above)
    if inner is Any:
        return Any
    return dict[str, inner] if node.form == "map" else list[inner]  # type: ignore[valid-type]


@functools.cache
def recursive(type: type[msgspec.Struct]) -> bool:
    """Whether a type contains itself somewhere below."""
    return _recurs(type, ())


def _recurs(type: type[msgspec.Struct], above: tuple[type[msgspec.Struct], ...]) -> bool:
    if type in above:
        return True
    inner = (node.inner or node for node in fields(type).values())
    return any(_recurs(node.type, (*above, type)) for node in inner if node.type is not None)


def unknown(type: type[msgspec.Struct], document: dict[str, Any], path: str = "") -> list[str]:
    """Paths of fields that `type` does not have, such as `spec.containers[0].foo`."""
    known = fields(type)
    found = []
    for name, value in document.items():
        node = known.get(name)
        if node is None:
            found.append(path + name)
        else:
            found += _unknown_below(node, value, path + name)
    return found


def _unknown_below(node: Node, value: Any, path: str) -> list[str]:
    if node.type is not None and isinstance(value, dict):
        return unknown(node.type, value, f"{path}.")
    found = []
    if node.inner is not None and isinstance(value, dict):
        for key, member in value.items():
            found += _unknown_below(node.inner, member, f"{path}.{key}")
    elif node.inner is not None and isinstance(value, list):
        for index, item in enumerate(value):
            found += _unknown_below(node.inner, item, f"{path}[{index}]")
    return found
