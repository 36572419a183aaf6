"""From one CustomResourceDefinition to the Kinds by which it is served."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from sampan.api import codec, duration
from sampan.api.custom import jsonpath
from sampan.api.custom.check import check
from sampan.api.custom.object import CustomObject
from sampan.api.custom.schema import ANYTHING, Node
from sampan.api.errors import FieldError
from sampan.api.kinds.kind import SCALE, STATUS, VERBS, Column, Document, Kind, Storage
from sampan.api.types.apiextensions_v1 import (
    CustomResourceColumnDefinition,
    CustomResourceDefinition,
    CustomResourceDefinitionNames,
    CustomResourceDefinitionVersion,
    CustomResourceSubresourceScale,
)

_NAME = Column(
    "Name",
    lambda document, now: document["metadata"].get("name", ""),
    format="name",
    description="Name must be unique within a namespace.",
)
_AGE = CustomResourceColumnDefinition(name="Age", type="date", jsonPath=".metadata.creationTimestamp")
READING = ("get", "list", "watch", "delete", "deletecollection", "patch", "update")


class CustomKind:
    """One version of a definition (kinds.kind.Custom)."""

    def __init__(self, definition: CustomResourceDefinition, version: CustomResourceDefinitionVersion) -> None:
        props = version.schema.openAPIV3Schema if version.schema else None
        raw: dict[str, Any] = codec.document(props) if props is not None else {}
        self.schema = raw or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        self.definition = Node(raw) if raw else ANYTHING
        if definition.spec.preserveUnknownFields:
            self.definition.preserve = True
        parts = version.subresources
        self.status = parts is not None and parts.status is not None
        self.scale: CustomResourceSubresourceScale | None = parts.scale if parts is not None else None
        self.warning = ""
        if version.deprecated:
            name = f"{definition.spec.group}/{version.name} {definition.spec.names.kind}"
            self.warning = version.deprecationWarning or f"{name} is deprecated"

    def unknown(self, document: Document) -> list[str]:
        return sorted(self.definition.unknown(document, root=True))

    def prune(self, document: Document) -> None:
        self.definition.prune(document, root=True)

    def settle(self, document: Document) -> None:
        """Kind.default: unknown fields go, defaults come."""
        self.definition.prune(document, root=True)
        if self.definition.defaults:
            self.definition.fill(document)

    def begin(self, document: Document) -> None:
        """Kind.prepare_create: the status comes later, where it is a part of its own."""
        if self.status:
            document.pop("status", None)

    def keep(self, document: Document, old: Document) -> None:
        """Kind.prepare_update: the status stays."""
        if self.status:
            document.pop("status", None)
            if "status" in old:
                document["status"] = old["status"]

    def new_errors(self, errors: Sequence[FieldError], document: Document, old: Document) -> list[FieldError]:
        """Complaints about parts that are as they were are left out: the schema has become stricter since."""
        return [error for error in errors if _part(document, error) != _part(old, error)]

    def judge(self, object: CustomObject) -> list[FieldError]:
        """Kind.validate."""
        document: Document = {"apiVersion": object.apiVersion, "kind": object.kind, **object.content}
        if "metadata" in self.definition.properties:
            document["metadata"] = msgspec.to_builtins(object.metadata)
        elif "metadata" in self.definition.required:
            document["metadata"] = {}
        return check(self.definition, document)


def _part(document: Document, error: FieldError) -> Any:
    """The part that decides over a complaint: the value, a whole list, for a missing member what it is missing in."""
    names = re.split(r"[.\[]", error.field)
    if error.type == "FieldValueRequired":
        names = names[:-1]
    value: Any = document
    for name in names:
        if isinstance(value, list):
            return value
        if not isinstance(value, dict) or name not in value:
            return object()  # it cannot be told, which is a change
        value = value[name]
    return value


def kinds_of(
    definition: CustomResourceDefinition, names: CustomResourceDefinitionNames, type: type[CustomObject]
) -> tuple[Kind, ...]:
    """A Kind per version, whether it is served or not. Raises ValueError, re.error.

    A definition that was never changed has only objects of its storage version's present schema: they are shown as
    they are stored. Those of any other are brought into form when they are read.
    """
    spec = definition.spec
    stored = next((version for version in spec.versions if version.storage), spec.versions[0])
    ending = bool(definition.metadata.deletionTimestamp)
    untouched = definition.metadata.generation == 1 and definition.status.storedVersions in ((), (stored.name,))
    made = []
    for version in spec.versions:
        custom = CustomKind(definition, version)
        plain = version is stored and untouched
        made.append(
            Kind(
                type,
                spec.group,
                version.name,
                names.plural or spec.names.plural,
                tuple(names.shortNames),
                names.singular or spec.names.kind.lower(),
                tuple(names.categories),
                spec.scope == "Namespaced",
                READING if ending else VERBS,
                _parts(custom),
                default=custom.settle,
                prepare_create=custom.begin,
                prepare_update=custom.keep,
                validate=custom.judge,
                columns=_columns(version),
                selectable=tuple(".".join(jsonpath.names(each.jsonPath)) for each in version.selectableFields),
                storage=None if plain else _storage(definition, stored.name, version.name, custom.settle),
                name=spec.names.kind,
                custom=custom,
            )
        )
    return tuple(made)


def _parts(custom: CustomKind) -> tuple[Any, ...]:
    return (*((STATUS,) if custom.status else ()), *((SCALE,) if custom.scale is not None else ()))


def _storage(
    definition: CustomResourceDefinition, stored: str, version: str, settle: Callable[[Document], None]
) -> Storage:
    """Conversion None: the versions differ in their names, and in what their schemas keep and add."""
    group = definition.spec.group

    def to_stored(document: Document) -> Document:
        return {**document, "apiVersion": f"{group}/{stored}"}

    def from_stored(document: Document) -> Document:
        made: Document = msgspec.json.decode(msgspec.json.encode({**document, "apiVersion": f"{group}/{version}"}))
        settle(made)
        return made

    return Storage(group, stored, to_stored, from_stored)


# --- columns


def _columns(version: CustomResourceDefinitionVersion) -> tuple[Column, ...]:
    columns = version.additionalPrinterColumns or (_AGE,)
    return (_NAME, *(_column(each) for each in columns))


def _column(given: CustomResourceColumnDefinition) -> Column:
    path = jsonpath.Path(given.jsonPath)

    def cell(document: Document, now: float) -> Any:
        found = path.find(document)
        if not found:
            return None
        if given.type == "string":
            return " ".join(_text(value) for value in found)
        return _cell(found[0], given.type, now)

    about = given.description or (
        f"Custom resource definition column (in JSONPath format): {given.jsonPath}" if given is not _AGE else ""
    )
    return Column(given.name, cell, given.type, given.format or "", given.priority or 0, about)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def _cell(value: Any, type: str, now: float) -> Any:
    """One value as its column's type has it; None for what does not fit."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if type == "integer":
        return int(value) if number else None
    if type == "number":
        return float(value) if number else None
    if type == "boolean":
        return value if isinstance(value, bool) else None
    if type == "date":
        if not isinstance(value, str) or _TIME.match(value) is None:
            return "<invalid>"
        return duration.since(value, now)
    return None
