"""Lists: tags and repositories in pages, and what refers to a manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from sampan.http.types import Request, Response
from sampan.images import documents
from sampan.images.registry.errors import Refusal
from sampan.images.registry.repositories import Entry

if TYPE_CHECKING:
    from sampan.images.registry.app import Call, Registry

_JSON = ("Content-Type", "application/json")
PAGE = 1000
"""Names in one answer at most, unless the client asks for fewer."""


async def tags(registry: Registry, call: Call) -> Response:
    repositories = registry.repositories
    found: list[str] = await registry.store.call(lambda: repositories.tags(call.name))
    if not found and not await registry.store.call(lambda: repositories.exists(call.name)):
        raise Refusal("NAME_UNKNOWN", f"repository {call.name} is not known to this registry")
    page, link = _page(call.request, found, f"/v2/{call.name}/tags/list")
    return Response(200, msgspec.json.encode({"name": call.name, "tags": page}), (_JSON, *link))


async def catalog(registry: Registry, request: Request) -> Response:
    found: list[str] = await registry.store.call(registry.repositories.names)
    page, link = _page(request, found, "/v2/_catalog")
    return Response(200, msgspec.json.encode({"repositories": page}), (_JSON, *link))


def _page(request: Request, names: Sequence[str], path: str) -> tuple[list[str], tuple[tuple[str, str], ...]]:
    """Up to `n` names behind `last`, and a link to those that follow."""
    last, wanted = request.param("last"), request.param("n", str(PAGE))
    if not wanted.isdigit():
        raise Refusal("PAGINATION_NUMBER_INVALID", f"n is a number, not {wanted[:20]!r}")
    count = min(int(wanted), PAGE)
    rest = [name for name in names if name > last]
    page = rest[:count]
    if len(rest) <= count or not page:
        return page, ()
    query = urlencode({"n": count, "last": page[-1]})
    return page, (("Link", f'<{path}?{query}>; rel="next"'),)


async def referrers(registry: Registry, call: Call) -> Response:
    """An index of the manifests whose subject is this digest, of one type when asked so."""
    wanted = call.request.param("artifactType")

    def look() -> list[dict[str, Any]]:
        entries = registry.repositories.manifests(call.name)
        return [
            _descriptor(entry)
            for entry in entries
            if entry.subject == call.rest and (not wanted or entry.artifactType == wanted)
        ]

    found = await registry.store.call(look)
    body = msgspec.json.encode({"schemaVersion": 2, "mediaType": documents.INDEX, "manifests": found})
    filtered = (("OCI-Filters-Applied", "artifactType"),) if wanted else ()
    return Response(200, body, (("Content-Type", documents.INDEX), *filtered))


def _descriptor(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"mediaType": entry.mediaType, "digest": entry.digest, "size": entry.size}
    if entry.artifactType:
        found["artifactType"] = entry.artifactType
    if entry.annotations:
        found["annotations"] = entry.annotations
    return found
