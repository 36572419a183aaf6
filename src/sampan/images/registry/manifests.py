"""Manifests: what a pushed document must be, and what it needs. Values in, an entry out.

By the OCI image specification 1.1 and the distribution specification, "Pushing Manifests".
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from sampan.images import documents
from sampan.images.content import Content
from sampan.images.reference import is_digest
from sampan.images.registry.errors import Refusal
from sampan.images.registry.repositories import Entry

LARGEST = 4 << 20
"""Bytes of a manifest."""

KNOWN = (*documents.MANIFESTS, *documents.INDEXES)
_ELSEWHERE = ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "vnd.oci.image.layer.nondistributable.")
"""Layers that a registry need not have."""


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def examine(data: bytes, content_type: str, content: Content) -> Entry:
    """The entry of a document. Raises Refusal for one that is damaged, or whose parts are not here."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("MANIFEST_INVALID", f"the manifest is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        raise Refusal("MANIFEST_INVALID", "a manifest is an object with schemaVersion 2")
    declared = document.get("mediaType") or ""
    media_type = content_type.partition(";")[0].strip() or declared
    if declared and declared != media_type:
        raise Refusal("MANIFEST_INVALID", f"its mediaType is {declared}, its Content-Type {media_type}")
    if media_type not in KNOWN:
        raise Refusal("MANIFEST_INVALID", f"media type {media_type or '(none)'} is not supported")
    if media_type in documents.INDEXES:
        parts = [_part(each, "manifests") for each in _list(document, "manifests")]
        config_type = ""
    else:
        config = _part(document.get("config"), "config")
        config_type = config.mediaType
        layers = [_part(each, "layers") for each in _list(document, "layers")]
        parts = [config, *(layer for layer in layers if not layer.mediaType.startswith(_ELSEWHERE))]
    for part in parts:
        if not content.has(part.digest):
            raise Refusal("MANIFEST_BLOB_UNKNOWN", f"{part.digest} is not here: push it first")
    digest = digest_of(data)
    subject = document.get("subject")
    return Entry(
        tuple(dict.fromkeys((digest, *(part.digest for part in parts)))),
        digest=digest,
        mediaType=media_type,
        size=len(data),
        artifactType=_text(document, "artifactType") or config_type,
        subject=_part(subject, "subject").digest if subject is not None else "",
        annotations=_annotations(document),
    )


def children(data: bytes) -> list[documents.Descriptor]:
    """The manifests that an index names."""
    return list(msgspec.json.decode(data, type=documents.Index).manifests)


def _list(document: dict[str, Any], name: str) -> list[Any]:
    found = document.get(name)
    if found is None:
        return []
    if not isinstance(found, list):
        raise Refusal("MANIFEST_INVALID", f"{name} is no list")
    return found


def _part(value: object, where: str) -> documents.Descriptor:
    try:
        found = msgspec.convert(value, documents.Descriptor)
    except msgspec.ValidationError as error:
        raise Refusal("MANIFEST_INVALID", f"{where}: {error}") from error
    if not is_digest(found.digest) or not found.digest.startswith("sha256:"):
        raise Refusal("MANIFEST_INVALID", f"{where}: digest {found.digest[:80]!r} is not supported")
    return found


def _text(document: dict[str, Any], name: str) -> str:
    found = document.get(name) or ""
    if not isinstance(found, str):
        raise Refusal("MANIFEST_INVALID", f"{name} is no string")
    return found


def _annotations(document: dict[str, Any]) -> dict[str, str] | None:
    found = document.get("annotations")
    if found is None:
        return None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Refusal("MANIFEST_INVALID", "annotations are no strings")
    return found
