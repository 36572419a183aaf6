"""Objects for tests, written as manifests: defaults filled in, decoded, ready for caches and planners."""

from __future__ import annotations

import textwrap
from typing import Any

import msgspec

from sampan.api import codec, kinds
from sampan.api import yaml as manifests
from sampan.api.kinds.kind import Document, Kind

_BY_NAME = {(kind.api_version, kind.name): kind for kind in kinds.ALL}


def kind_of(document: Document) -> Kind:
    """Raises KeyError for a kind that is not built in."""
    return _BY_NAME[document["apiVersion"], document["kind"]]


def load(text: str, *, namespace: str = "default") -> tuple[Any, ...]:
    """The Structs of a YAML text with any number of documents. Status is kept as it is written."""
    return tuple(struct(document, namespace=namespace) for document in documents(text))


def documents(text: str) -> list[Document]:
    """The documents of a YAML text, which may be indented as a whole, as in the middle of a test."""
    return [document for document, _ in manifests.documents(textwrap.dedent(text).encode())]


def one(text: str, *, namespace: str = "default") -> Any:
    (object,) = load(text, namespace=namespace)
    return object


def struct(document: Document, *, namespace: str = "default") -> Any:
    kind = kind_of(document)
    if kind.namespaced:
        document.setdefault("metadata", {}).setdefault("namespace", namespace)
    kind.default(document)
    codec.normalize(kind, document)
    return codec.decode(kind, document)


def document(object: msgspec.Struct) -> Document:
    """As a manifest would say it: without what is empty."""
    return codec.document(object)
