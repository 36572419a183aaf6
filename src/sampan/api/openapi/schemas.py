"""Definitions for OpenAPI documents: upstream's plain form restored from the validation schemas."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Mapping
from typing import Any

import msgspec

from sampan.api.extra import schema as extra_schema

VERSION = "v1.37.0"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SOURCE = "#/$defs/"
_PLAIN = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
}


def load() -> dict[str, Any]:
    """All definitions by their full names (`io.k8s.api.core.v1.Pod`). Raises RuntimeError without the package."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package kubernetes-validate is not installed: run pip install kubernetes-validate")
    path = pathlib.Path(spec.origin).parent / "kubernetes-json-schema" / f"{VERSION}-local" / "_definitions.json"
    definitions: dict[str, Any] = msgspec.json.decode(path.read_bytes())["$defs"]
    return definitions


class Schemas:
    """The definitions that one document refers to; `prefix` is where the document holds them."""

    def __init__(self, custom: Mapping[tuple[str, str, str], Mapping[str, Any]], prefix: str) -> None:
        self._definitions = load()
        self._prefix = prefix
        self._custom: dict[str, dict[str, Any]] = {}
        self._reached: dict[str, None] = {}
        self._names = {
            (gvk["group"], gvk["version"], gvk["kind"]): name
            for name, schema in self._definitions.items()
            if len(gvks := schema.get("x-kubernetes-group-version-kind", ())) == 1
            for gvk in gvks
        }
        for gvk, schema in {**extra_schema.schemas(), **custom}.items():
            self._add_custom(gvk, schema)
        self._reached.clear()

    def ref(self, group: str, version: str, kind: str) -> dict[str, str]:
        """A reference to a kind's definition; what has none is any object."""
        name = self._names.get((group, version, kind))
        return self._ref(name) if name else {"type": "object"}

    def meta(self, name: str) -> dict[str, str]:
        """A reference to a definition of meta/v1, such as Status."""
        return self._ref(_META + name)

    def reached(self) -> dict[str, Any]:
        """Every definition that a reference asked for, and what those refer to, by name."""
        made: dict[str, Any] = {}
        waiting = list(self._reached)
        while waiting:
            name = waiting.pop()
            if name in made:
                continue
            self._reached = {}
            made[name] = self._custom[name] if name in self._custom else self._restore(name)
            waiting += self._refs(made[name]) if name in self._custom else self._reached
        return dict(sorted(made.items()))

    def _refs(self, schema: Any) -> list[str]:
        """The definitions that a finished schema refers to."""
        if isinstance(schema, list):
            return [name for member in schema for name in self._refs(member)]
        if not isinstance(schema, dict):
            return []
        own = schema.get("$ref")
        found = [own.removeprefix(self._prefix)] if isinstance(own, str) else []
        return found + [name for member in schema.values() for name in self._refs(member)]

    def _ref(self, name: str) -> dict[str, str]:
        self._reached[name] = None
        return {"$ref": self._prefix + name}

    def _restore(self, name: str) -> dict[str, Any]:
        source = self._definitions[name]
        if name in _PLAIN:
            return {"description": source.get("description", ""), **_PLAIN[name]}
        made = self._plain(source)
        if "properties" in source:
            made["properties"] = {key: self._property(value) for key, value in source["properties"].items()}
        if "required" in source:
            made["required"] = source["required"]
        return made

    def _plain(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """Everything but what refers to other schemas, and without the null that the validation form allows."""
        made = {
            key: value
            for key, value in source.items()
            if key in ("description", "format") or key.startswith("x-kubernetes-")
        }
        kinds = source.get("type", ())
        kind = next((k for k in ([kinds] if isinstance(kinds, str) else kinds) if k != "null"), None)
        if kind:
            made["type"] = kind
        return made

    def _property(self, source: Mapping[str, Any]) -> dict[str, Any]:
        made = self._plain(source)
        if "$ref" in source:
            ref = self._ref(source["$ref"].removeprefix(_SOURCE))
            # v2 puts the description beside the reference; v3 must wrap the reference for that.
            return {**made, **ref} if self._prefix.startswith("#/def") else {**made, "allOf": [ref]}
        for key in ("items", "additionalProperties"):
            if key in source:
                made[key] = self._property(source[key])
        return made

    def _add_custom(self, gvk: tuple[str, str, str], schema: Mapping[str, Any]) -> None:
        group, version, kind = gvk
        name = ".".join([*reversed(group.split(".")), version, kind])
        properties = dict(schema.get("properties", {}))
        properties["apiVersion"] = {"type": "string", "description": "the versioned schema of this object"}
        properties["kind"] = {"type": "string", "description": "the REST resource that this object represents"}
        properties["metadata"] = self._property({"$ref": f"{_SOURCE}{_META}ObjectMeta"})
        told = [{"group": group, "version": version, "kind": kind}]
        self._custom[name] = {
            **schema,
            "type": "object",
            "properties": properties,
            "x-kubernetes-group-version-kind": told,
        }
        items = self._property({"type": "array", "items": {"$ref": f"{_SOURCE}{name}"}})
        self._custom[f"{name}List"] = {
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": properties["apiVersion"],
                "kind": properties["kind"],
                "metadata": self._property({"$ref": f"{_SOURCE}{_META}ListMeta"}),
                "items": items,
            },
            "x-kubernetes-group-version-kind": [{**told[0], "kind": f"{kind}List"}],
        }
        self._names[gvk] = name
        self._names[(group, version, f"{kind}List")] = f"{name}List"
