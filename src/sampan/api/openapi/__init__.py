"""OpenAPI v2 and v3 of the served kinds: what `kubectl explain`, validation and apply read.

Schemas and descriptions come from kubernetes-validate's definitions, which are loaded for one call and
then forgotten (15 MB); the caller keeps the bytes. Call these off the hot path: v2 takes 35 ms, a v3 document 10.
Custom resources bring their schema along: `schemas` maps (group, version, kind) to an OpenAPI v3 schema.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sampan.api.kinds.kind import Kind
from sampan.api.openapi import paths
from sampan.api.openapi.schemas import Schemas

Custom = Mapping[tuple[str, str, str], Mapping[str, Any]]
INFO = {"title": "Kubernetes", "version": "v1.37.0"}


def v2(kinds: Sequence[Kind], schemas: Custom | None = None) -> bytes:
    """`/openapi/v2` as JSON: every kind's definition and paths."""
    found = Schemas(schemas or {}, "#/definitions/")
    made = paths.of_kinds(kinds, found, paths.V2)
    document = {
        "swagger": "2.0",
        "info": INFO,
        "paths": made,
        "definitions": found.reached(),
        "securityDefinitions": {
            "BearerToken": {
                "description": "Bearer Token authentication",
                "type": "apiKey",
                "name": "authorization",
                "in": "header",
            }
        },
        "security": [{"BearerToken": []}],
    }
    return msgspec.json.encode(document)


def v3(kinds: Sequence[Kind], group: str, version: str, schemas: Custom | None = None) -> bytes | None:
    """`/openapi/v3/apis/GROUP/VERSION` (or `/openapi/v3/api/v1`) as JSON, None when nothing is served there."""
    members = [kind for kind in kinds if (kind.group, kind.version) == (group, version)]
    if not members:
        return None
    found = Schemas(schemas or {}, "#/components/schemas/")
    made = paths.of_kinds(members, found, paths.V3)
    document = {
        "openapi": "3.0.0",
        "info": INFO,
        "paths": made,
        "components": {
            "schemas": found.reached(),
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey",
                    "description": "Bearer Token authentication",
                    "name": "authorization",
                    "in": "header",
                }
            },
        },
        "security": [{"BearerToken": []}],
    }
    return msgspec.json.encode(document)


def v3_index(kinds: Sequence[Kind], schemas: Custom | None = None) -> bytes:
    """`/openapi/v3`: where each group-version's document is, with a hash that changes when the document does."""
    versions: dict[str, list[Kind]] = {}
    for kind in kinds:
        versions.setdefault(kind.prefix.removeprefix("/"), []).append(kind)
    listed = {
        path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_hash(members, schemas or {})}"}
        for path, members in versions.items()
    }
    return msgspec.json.encode({"paths": listed})


def _hash(kinds: Sequence[Kind], schemas: Custom) -> str:
    """Of the declarations, not of the document: building every document only to hash it would cost memory and time."""
    told = [
        (kind.name, kind.plural, kind.verbs, [sub.name for sub in kind.subresources],
         schemas.get((kind.group, kind.version, kind.name)))
        for kind in kinds
    ]  # fmt: skip
    return hashlib.sha512(msgspec.json.encode((INFO["version"], told), order="sorted")).hexdigest().upper()
