"""The paths of OpenAPI documents, from the kinds' scope, verbs and subresources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from sampan.api.kinds.kind import Kind, Subresource
from sampan.api.openapi.schemas import Schemas

Schema = dict[str, Any]
PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)
BODIES = ("application/json", "application/yaml")

# (verb, HTTP method, action, word of the operation ID) of a collection and of an item.
COLLECTION = (
    ("list", "get", "list", "list"),
    ("create", "post", "post", "create"),
    ("deletecollection", "delete", "deletecollection", "deletecollection"),
)
ITEM = (
    ("get", "get", "get", "read"),
    ("update", "put", "put", "replace"),
    ("delete", "delete", "delete", "delete"),
    ("patch", "patch", "patch", "patch"),
    ("create", "post", "post", "create"),
)

_PRETTY = ("pretty", "string", "print the answer with indentation")
_DRY = ("dryRun", "string", "All: run every step but keep nothing")
_MANAGER = ("fieldManager", "string", "name of the actor that makes this change")
_VALIDATION = ("fieldValidation", "string", "what to do with unknown and repeated fields: Ignore, Warn or Strict")
_FORCE = ("force", "boolean", "apply: take over fields that others manage")
_SELECT = (
    ("continue", "string", "the token of the next page"),
    ("fieldSelector", "string", "restrict the list by fields"),
    ("labelSelector", "string", "restrict the list by labels"),
    ("limit", "integer", "the most objects to return"),
    ("resourceVersion", "string", "the version to read at"),
    ("resourceVersionMatch", "string", "how resourceVersion applies"),
    ("sendInitialEvents", "boolean", "begin a watch with what is there"),
    ("timeoutSeconds", "integer", "end after so many seconds"),
)
_WATCH = (
    ("allowWatchBookmarks", "boolean", "send BOOKMARK events"),
    ("watch", "boolean", "answer with a stream of changes"),
)
_DELETE = (
    ("gracePeriodSeconds", "integer", "seconds before the object goes"),
    ("orphanDependents", "boolean", "deprecated: use propagationPolicy"),
    ("propagationPolicy", "string", "Orphan, Background or Foreground"),
)
QUERIES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "list": (*_SELECT, *_WATCH),
    "deletecollection": (_DRY, *_SELECT, *_DELETE),
    "post": (_DRY, _MANAGER, _VALIDATION),
    "put": (_DRY, _MANAGER, _VALIDATION),
    "patch": (_DRY, _MANAGER, _VALIDATION, _FORCE),
    "delete": (_DRY, *_DELETE),
}


class Dialect(NamedTuple):
    """How a version of OpenAPI writes parameters, bodies and answers."""

    parameter: Callable[[str, str, str, str], Schema]  # name, where, type, description
    body: Callable[[Schema, Sequence[str]], Schema]
    answer: Callable[[Schema], Schema]


def _parameter_v2(name: str, where: str, type: str, about: str) -> Schema:
    required = {"required": True} if where == "path" else {}
    return {"name": name, "in": where, "type": type, "uniqueItems": True, "description": about, **required}


def _parameter_v3(name: str, where: str, type: str, about: str) -> Schema:
    required = {"required": True} if where == "path" else {}
    return {"name": name, "in": where, "description": about, "schema": {"type": type, "uniqueItems": True}, **required}


def _body_v2(schema: Schema, media: Sequence[str]) -> Schema:
    return {"consumes": list(media), "parameters": [{"name": "body", "in": "body", "required": True, "schema": schema}]}


def _body_v3(schema: Schema, media: Sequence[str]) -> Schema:
    return {"requestBody": {"content": {name: {"schema": schema} for name in media}, "required": True}}


def _answer_v2(schema: Schema) -> Schema:
    return {"description": "OK", "schema": schema}


def _answer_v3(schema: Schema) -> Schema:
    return {"description": "OK", "content": {name: {"schema": schema} for name in BODIES}}


V2 = Dialect(_parameter_v2, _body_v2, _answer_v2)
V3 = Dialect(_parameter_v3, _body_v3, _answer_v3)


def of_kinds(kinds: Sequence[Kind], schemas: Schemas, dialect: Dialect) -> dict[str, Schema]:
    """All paths of the kinds, sorted."""
    made: dict[str, Schema] = {}
    for kind in kinds:
        made.update(_Writer(kind, schemas, dialect).paths())
    return dict(sorted(made.items()))


class _Writer:
    def __init__(self, kind: Kind, schemas: Schemas, dialect: Dialect) -> None:
        self.kind, self.schemas, self.dialect = kind, schemas, dialect
        self.gvk = (kind.group, kind.version, kind.name)
        group = kind.group.removesuffix(".k8s.io").replace(".", "_") or "core"
        self.tag = f"{group}_{kind.version}"
        self.id = "".join(part[:1].upper() + part[1:] for part in f"{group}_{kind.version}".split("_"))

    def paths(self) -> dict[str, Schema]:
        kind = self.kind
        collection = kind.path("{namespace}")
        made = {
            collection: self._path(collection, COLLECTION, kind.verbs, self.gvk, ""),
            kind.path("{namespace}", "{name}"): self._path("{name}", ITEM, self._item_verbs(), self.gvk, ""),
        }
        if kind.namespaced and "list" in kind.verbs:
            everywhere = self._path(kind.path(), COLLECTION[:1], kind.verbs, self.gvk, "ForAllNamespaces")
            made[kind.path()] = everywhere
        for sub in kind.subresources:
            made[kind.path("{namespace}", "{name}", sub.name)] = self._subresource(sub)
        return {path: item for path, item in made.items() if any(key != "parameters" for key in item)}

    def _item_verbs(self) -> Sequence[str]:
        return [verb for verb in self.kind.verbs if verb != "create"]

    def _subresource(self, sub: Subresource) -> Schema:
        gvk = (sub.group, sub.version, sub.kind) if sub.version else (*self.gvk[:2], sub.kind or self.kind.name)
        return self._path("{name}", ITEM, sub.verbs, gvk, sub.name.capitalize())

    def _path(
        self, path: str, table: Iterable[tuple[str, str, str, str]], verbs: Sequence[str], gvk: Any, suffix: str
    ) -> Schema:
        item: Schema = {
            method: self._operation(action, word, gvk, suffix) for verb, method, action, word in table if verb in verbs
        }
        shared = []
        if "{name}" in path:
            shared.append(self.dialect.parameter("name", "path", "string", f"name of the {self.kind.name}"))
        if self.kind.namespaced and suffix != "ForAllNamespaces":
            shared.append(self.dialect.parameter("namespace", "path", "string", "the object's namespace"))
        shared.append(self.dialect.parameter(_PRETTY[0], "query", *_PRETTY[1:]))
        item["parameters"] = shared
        return item

    def _operation(self, action: str, word: str, gvk: tuple[str, str, str], suffix: str) -> Schema:
        group, version, name = gvk
        own = self.schemas.ref(group, version, name)
        kind = self.kind
        scope = "Namespaced" if kind.namespaced and suffix != "ForAllNamespaces" else ""
        answers = {
            "list": lambda: self.schemas.ref(group, version, f"{name}List"),
            "delete": lambda: self.schemas.meta("Status"),
            "deletecollection": lambda: self.schemas.meta("Status"),
        }
        operation: Schema = {
            "description": f"{word} {kind.name}" + (f" {suffix}" if suffix else ""),
            "operationId": f"{word}{self.id}{scope}{kind.name}{suffix}",
            "tags": [self.tag],
            "parameters": [
                self.dialect.parameter(query, "query", type, about) for query, type, about in QUERIES.get(action, ())
            ],
            "responses": {
                "200": self.dialect.answer(answers.get(action, lambda: own)()),
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": name},
        }
        for key, value in self._body(action, own).items():
            operation[key] = [*value, *operation["parameters"]] if key == "parameters" else value
        return operation

    def _body(self, action: str, own: Schema) -> Schema:
        if action in ("post", "put"):
            return self.dialect.body(own, BODIES)
        if action == "patch":
            custom = self.kind.custom is not None
            media = [name for name in PATCHES if not (custom and "strategic" in name)]
            return self.dialect.body(self.schemas.meta("Patch"), media)
        if action in ("delete", "deletecollection"):
            return self.dialect.body(self.schemas.meta("DeleteOptions"), BODIES)
        return {}
