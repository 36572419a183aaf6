"""Sets of fields, as server-side apply tracks who owns what: paths of FieldsV1 elements.

A path is a tuple of elements in the wire's own form: `f:name` for a field, `k:{"name":"a"}` for an item of a list
with keys, `v:"x"` for a member of a set. A set holds the leaves, and the items of lists with keys themselves.
Sources: the field's documentation "Server-Side Apply"; KEP-555.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from sampan.api.patch import metadata
from sampan.api.types import schema

Document = dict[str, Any]
Path = tuple[str, ...]
Fields = frozenset[Path]

EMPTY: Fields = frozenset()

# What no manager owns: the server's own, and what names the object.
_UNOWNED = frozenset(
    [("f:apiVersion",), ("f:kind",)]
    + [
        ("f:metadata", f"f:{name}")
        for name in (
            "name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields",
            "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName",
        )
    ]
)  # fmt: skip
_KEY_DEFAULTS = {"protocol": "TCP"}


class Described(Protocol):
    """A definition that no generated type has: the schema of a custom resource."""

    def shape(self, name: str) -> Shape: ...


Definition = str | Described
"""The name of a type such as `core_v1.PodSpec`, "" for what is unknown, or a schema."""


class Shape(NamedTuple):
    """How a field is treated: `definition` of the value or of its items; atomic ones have one owner as a whole."""

    definition: Definition = ""
    list_type: str = "atomic"
    keys: tuple[str, ...] = ()
    atomic: bool = False


GRANULAR = Shape()


def shape(definition: Definition, name: str) -> Shape:
    """The shape of one field of a definition."""
    return _shape(definition, name) if isinstance(definition, str) else definition.shape(name)


@functools.lru_cache(maxsize=4096)
def _shape(definition: str, name: str) -> Shape:
    field = metadata.field(definition, name)
    hints: Mapping[str, Any] = schema.FIELDS.get(definition, {}).get(name, {})
    return Shape(
        field.definition,
        str(hints.get("list-type") or "atomic"),
        tuple(hints.get("list-map-keys") or ()),
        hints.get("map-type") == "atomic",
    )


def key_of(item: Document, keys: tuple[str, ...]) -> str:
    """The element of one item of a list with keys."""
    found = {name: item.get(name, _KEY_DEFAULTS.get(name)) for name in sorted(keys)}
    return "k:" + json.dumps({k: v for k, v in found.items() if v is not None}, separators=(",", ":"))


def member_of(value: Any) -> str:
    return "v:" + json.dumps(value, separators=(",", ":"), sort_keys=True)


def of_document(document: Document, definition: Definition) -> Fields:
    """Every field of an object that somebody can own."""
    return frozenset(path for path in _walk(document, Shape(definition), ()) if path not in _UNOWNED)


def _walk(value: Any, about: Shape, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and not about.atomic and path not in _UNOWNED:
        if not value and path:
            yield path
        for name, member in value.items():
            inner = shape(about.definition, name) if about.definition else GRANULAR
            yield from _walk(member, inner, (*path, f"f:{name}"))
    elif isinstance(value, list) and about.list_type == "map" and _keyed(value):
        for item in value:
            at = (*path, key_of(item, about.keys))
            yield at
            for name, member in item.items():
                yield from _walk(member, shape(about.definition, name), (*at, f"f:{name}"))
    elif isinstance(value, list) and about.list_type == "set":
        for member in value:
            yield (*path, member_of(member))
    else:
        yield path


def _keyed(value: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in value)


def find(document: Document, definition: Definition, path: Path) -> Any:
    """The value at a path; None when nothing is there."""
    value: Any = document
    about = Shape(definition)
    for element in path:
        kind, _, text = element.partition(":")
        if kind == "f":
            if not isinstance(value, dict) or text not in value:
                return None
            value, about = value[text], shape(about.definition, text) if about.definition else GRANULAR
        elif not isinstance(value, list):
            return None
        elif kind == "k":
            keys = about.keys
            value = next((item for item in value if isinstance(item, dict) and key_of(item, keys) == element), None)
            about = Shape(about.definition)
        else:
            value = next((member for member in value if member_of(member) == element), None)
    return value


# --- FieldsV1


def encode(fields: Iterable[Path]) -> Document:
    """FieldsV1 of a set."""
    tree: Document = {}
    for path in sorted(fields):
        branch = tree
        for element in path:
            branch = branch.setdefault(element, {})
        if path[-1].startswith("k:"):
            branch["."] = {}
    return tree


def decode(tree: Any) -> Fields:
    """The set that FieldsV1 says; what is no FieldsV1 is empty."""
    return frozenset(_leaves(tree, ())) if isinstance(tree, dict) else EMPTY


def _leaves(tree: Document, path: Path) -> Iterator[Path]:
    if path and (not tree or "." in tree):
        yield path
    for element, below in tree.items():
        if element != "." and isinstance(below, dict):
            yield from _leaves(below, (*path, element))


def dotted(path: Path) -> str:
    """As messages show it: `.spec.containers[name="web"].image`."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            pairs = json.loads(rest)
            text += "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in pairs.items()) + "]"
        else:
            text += f"[={rest}]"
    return text
