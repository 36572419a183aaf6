"""A kind is one declaration; everything generic derives from it.

Routes, discovery, OpenAPI, storage keys, RBAC names, tables and clients read these fields. Hooks that
change work on documents (dict, in place, as decoded from JSON); hooks that judge work on Structs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from sampan.api.errors import FieldError

Document = dict[str, Any]

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`. `cell` takes the Struct and the Unix time now and returns a JSON scalar.

    `priority` 0 is always shown, 1 only with `-o wide`.
    """

    name: str
    cell: Callable[[Any, float], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class Subresource:
    """A named part of an object. `type` and `group`/`version` are those of the body it takes, when it is another kind.

    `replaces` names the top-level part that writing this subresource may change (`status`), if it works that way.
    """

    name: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    kind: str = ""
    group: str = ""
    version: str = ""
    replaces: str = ""


STATUS = Subresource("status", replaces="status")
SCALE = Subresource("scale", kind="Scale", group="autoscaling", version="v1")


@dataclass(frozen=True, slots=True)
class Storage:
    """Where objects are kept when that is another kind of the same plural: that kind's `group` and `version`.

    `to_stored` and `from_stored` turn a document of one into one of the other, apiVersion included; they may share
    parts with what they are given and leave it unchanged.
    """

    group: str
    version: str
    to_stored: Callable[[Document], Document]
    from_stored: Callable[[Document], Document]


class Custom(Protocol):
    """What a kind knows of its documents that its Struct does not say: the schema of a custom resource.

    `definition` is what server-side apply reads (patch.fieldsets.Described), `schema` the OpenAPI v3 schema to publish.
    """

    definition: Any
    schema: dict[str, Any]
    status: bool
    """Whether status is a part of its own."""
    warning: str
    """What every request is answered with, "" for nothing."""
    scale: Any

    def unknown(self, document: Document) -> list[str]:
        """Paths of members that the schema does not know."""
        ...

    def prune(self, document: Document) -> None:
        """Remove those members, in place."""
        ...

    def new_errors(self, errors: Sequence[FieldError], document: Document, old: Document) -> list[FieldError]:
        """The complaints about what an update has changed."""
        ...


def nothing(document: Document) -> None:
    """No defaults."""


def no_errors(*_: Any) -> list[FieldError]:
    """No rules beyond metadata's."""
    return []


def no_update(document: Document, old: Document) -> None:
    """Nothing to carry over."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object in one group and version.

    default:         fills defaults into a document before admission and decoding
    prepare_create:  what the server owns on creation (drops status where there is a status subresource, sets phases)
    prepare_update:  (document, old): what a plain update may not touch (status comes from old, ...)
    validate:        complaints about a new object (Struct)
    validate_update: complaints about (new, old), besides those of `validate`
    selectable:      field selectors besides metadata.name and metadata.namespace
    stored:          False for kinds that are only answered (SubjectAccessReview, ...)
    storage:         the kind whose stored objects these are another form of (autoscaling/v1, events.k8s.io/v1)
    custom:          for kinds whose `type` is an api.custom.object.CustomObject
    """

    type: type[msgspec.Struct]
    group: str
    version: str
    plural: str
    short: tuple[str, ...] = ()
    singular: str = ""
    categories: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = VERBS
    subresources: tuple[Subresource, ...] = ()
    default: Callable[[Document], None] = nothing
    prepare_create: Callable[[Document], None] = nothing
    prepare_update: Callable[[Document, Document], None] = no_update
    validate: Callable[[Any], Sequence[FieldError]] = no_errors
    validate_update: Callable[[Any, Any], Sequence[FieldError]] = no_errors
    columns: tuple[Column, ...] = ()
    selectable: tuple[str, ...] = ()
    stored: bool = True
    storage: Storage | None = None
    name: str = ""
    custom: Custom | None = None

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.type.__name__)
        if not self.singular:
            object.__setattr__(self, "singular", self.name.lower())

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`deployments.apps`, `pods`: the name in messages, RBAC and storage."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def prefix(self) -> str:
        """The URL prefix of the group-version: `/api/v1`, `/apis/apps/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, the object or its subresource."""
        parts = [self.prefix]
        if namespace and self.namespaced:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)
