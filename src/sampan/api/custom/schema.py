"""Structural schemas: what a CustomResourceDefinition says of its objects, compiled once per version.

A Node answers everything but whether values are valid (check.py): what is pruned, what is defaulted, how lists merge.
Source: Kubernetes' documentation "Specifying a structural schema", "Field pruning", "Defaulting".
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sampan.api import shapes
from sampan.api.patch.fieldsets import GRANULAR, Shape
from sampan.api.types import meta_v1

ENVELOPE = ("apiVersion", "kind", "metadata")
_NONE: Any = object()
Raw = Mapping[str, Any]


def go_pattern(text: str) -> re.Pattern[str]:
    r"""A pattern of Go's RE2 in Python's dialect. Raises re.error for what cannot be told (`\p{L}`)."""
    return re.compile(text.replace(r"\z", r"\Z"))


class Node:
    """One place of a schema. `checks` are the raw keywords by which values are judged."""

    __slots__ = (
        "additional", "all_of", "any_of", "atomic", "checks", "default", "defaults", "embedded", "int_or_string",
        "items", "keys", "list_type", "none_of", "nullable", "one_of", "pattern", "preserve", "properties", "required",
        "type",
    )  # fmt: skip

    def __init__(self, raw: Raw) -> None:
        self.checks = raw
        self.type: str = str(raw.get("type") or "")
        self.required: tuple[str, ...] = tuple(raw.get("required") or ())
        self.nullable = raw.get("nullable") is True
        self.preserve = raw.get("x-kubernetes-preserve-unknown-fields") is True
        self.embedded = raw.get("x-kubernetes-embedded-resource") is True
        self.int_or_string = raw.get("x-kubernetes-int-or-string") is True
        self.list_type = str(raw.get("x-kubernetes-list-type") or "atomic")
        self.keys: tuple[str, ...] = tuple(raw.get("x-kubernetes-list-map-keys") or ())
        self.atomic = raw.get("x-kubernetes-map-type") == "atomic"
        self.default: Any = raw.get("default", _NONE)
        self.pattern = go_pattern(raw["pattern"]) if raw.get("pattern") else None
        self.properties = {name: Node(below) for name, below in (raw.get("properties") or {}).items()}
        items = raw.get("items")
        self.items = Node(items) if isinstance(items, dict) else None
        additional = raw.get("additionalProperties")
        if additional is True:
            self.additional: Node | None = Node({"x-kubernetes-preserve-unknown-fields": True})
        else:
            self.additional = Node(additional) if isinstance(additional, dict) else None
        self.all_of = tuple(Node(below) for below in raw.get("allOf") or ())
        self.any_of = tuple(Node(below) for below in raw.get("anyOf") or ())
        self.one_of = tuple(Node(below) for below in raw.get("oneOf") or ())
        self.none_of = Node(raw["not"]) if isinstance(raw.get("not"), dict) else None
        below = [*self.properties.values(), *(node for node in (self.items, self.additional) if node is not None)]
        self.defaults: bool = self.default is not _NONE or any(node.defaults for node in below)
        """Whether anything here or below has a default."""

    def _below(self, name: str) -> Node | None:
        return self.properties.get(name) or self.additional

    # --- unknown fields

    def unknown(self, value: Any, path: str = "", *, root: bool = False) -> Iterator[str]:
        """Paths of members that the schema does not know, such as `spec.list[0].foo`."""
        for _, _, where in self._strangers(value, path, root):
            yield where

    def prune(self, value: Any, *, root: bool = False) -> None:
        """Remove what `unknown` tells, in place."""
        for owner, name, _ in list(self._strangers(value, "", root)):
            del owner[name]

    def _strangers(self, value: Any, path: str, root: bool) -> Iterator[tuple[dict[str, Any], str, str]]:
        if isinstance(value, list):
            for index, item in enumerate(value):
                if self.items is not None:
                    yield from self.items._strangers(item, f"{path}[{index}]", False)
                elif not self.preserve:
                    yield from _EMPTY._strangers(item, f"{path}[{index}]", False)
        if not isinstance(value, dict):
            return
        prefix = f"{path}." if path else ""
        for name, member in value.items():
            if (root or self.embedded) and name in ENVELOPE:
                if name == "metadata" and isinstance(member, dict):
                    for found in shapes.unknown(meta_v1.ObjectMeta, member):
                        if "." not in found and "[" not in found:
                            yield member, found, f"{prefix}metadata.{found}"
                continue
            below = self._below(name)
            if below is not None:
                yield from below._strangers(member, f"{prefix}{name}", False)
            elif not self.preserve:
                yield value, name, f"{prefix}{name}"

    # --- defaults

    def fill(self, value: Any) -> None:
        """Write defaults into a value, in place; a null that is not allowed gives way to a default."""
        if not self.defaults:
            return
        if isinstance(value, dict):
            for name, node in self.properties.items():
                if node.default is not _NONE and (name not in value or (value[name] is None and not node.nullable)):
                    value[name] = copy.deepcopy(node.default)
                if node.defaults and name in value:
                    node.fill(value[name])
            if self.additional is not None and self.additional.defaults:
                for name, member in value.items():
                    if name not in self.properties:
                        if member is None and not self.additional.nullable and self.additional.default is not _NONE:
                            value[name] = copy.deepcopy(self.additional.default)
                        self.additional.fill(value[name])
        elif isinstance(value, list) and self.items is not None:
            for index, member in enumerate(value):
                if member is None and not self.items.nullable and self.items.default is not _NONE:
                    value[index] = copy.deepcopy(self.items.default)
                self.items.fill(value[index])

    # --- server-side apply (patch.fieldsets.Described)

    def shape(self, name: str) -> Shape:
        """How a member is owned: by its fields, by items with keys, or as a whole."""
        if name == "metadata" and (self.embedded or "metadata" not in self.properties):
            return Shape("meta_v1.ObjectMeta")
        node = self._below(name)
        if node is None:
            return GRANULAR
        if node.items is not None:
            return Shape(node.items, node.list_type, node.keys, node.atomic)
        return Shape(node, atomic=node.atomic)


_EMPTY = Node({})
ANYTHING = Node({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
"""The schema of a version that has none."""
