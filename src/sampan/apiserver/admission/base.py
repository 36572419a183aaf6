"""What plugins share: their shape, their refusals, and careful steps through documents nobody has checked yet."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from sampan.api.errors import StatusError, forbidden_error
from sampan.api.kinds.kind import Document
from sampan.apiserver.contracts import Admission

MIRROR = "kubernetes.io/config.mirror"


class Plugin:
    """A plugin that does nothing; `name` is upstream's, `handles` as in contracts.AdmissionPlugin."""

    name = ""
    handles: tuple[str, ...] = ()

    def admit(self, admission: Admission) -> Awaitable[None] | None:
        """Change the document in place; its shape has not been checked."""
        return None

    def validate(self, admission: Admission) -> Awaitable[None] | None:
        """Judge the document, which its type has been decoded from."""
        return None


def refuse(admission: Admission, why: str) -> StatusError:
    """Forbidden, about the object as upstream names it: also one that has no name yet."""
    name = admission.attributes.name
    if not name:
        meta = metadata(admission.document or {})
        name = text(meta, "name") or text(meta, "generateName") or "Unknown"
    return forbidden_error(admission.kind.plural, admission.kind.group, name, why)


def metadata(document: Document) -> Document:
    value = document.get("metadata")
    return value if isinstance(value, dict) else {}


def text(document: Document, key: str) -> str:
    """The string at `key`; "" when something else or nothing stands there."""
    value = document.get(key)
    return value if isinstance(value, str) else ""


def items(document: Document, key: str) -> list[Any]:
    """The list at `key`, to be added to: made when absent, a detached one when something else stands there."""
    value = document.get(key)
    if value is None:
        value = document[key] = []
    return value if isinstance(value, list) else []


def is_plain(admission: Admission) -> bool:
    """Whether the write is of the object itself and brings a document."""
    return not admission.attributes.subresource and admission.document is not None


def is_mirror(pod: Document) -> bool:
    """A pod that a node shows here because it runs it from a file."""
    annotations = metadata(pod).get("annotations")
    return isinstance(annotations, dict) and MIRROR in annotations
