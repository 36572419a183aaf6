"""Manifests by tag or digest: read, pushed, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampan.host.containers import ImageFailure
from sampan.http.errors import BodyTooLarge
from sampan.http.types import Response
from sampan.images import documents
from sampan.images.registry import manifests
from sampan.images.registry.errors import Refusal
from sampan.images.registry.repositories import Entry

if TYPE_CHECKING:
    from sampan.images.registry.app import Call, Registry


async def get(registry: Registry, call: Call) -> Response:
    found = await registry.store.call(lambda: _read(registry, call))
    data, entry = found
    headers = [
        ("Content-Type", entry.mediaType),
        ("Docker-Content-Digest", entry.digest),
        ("ETag", f'"{entry.digest}"'),
    ]
    if call.request.headers.get("if-none-match") == f'"{entry.digest}"':
        return Response(304, b"", headers)
    return Response(200, data, headers)


def _read(registry: Registry, call: Call) -> tuple[bytes, Entry]:
    repositories = registry.repositories
    digest = call.rest if ":" in call.rest else repositories.resolve(call.name, call.rest)
    entry = repositories.find(call.name, digest) if digest else None
    if entry is None:
        if not repositories.exists(call.name):
            raise Refusal("NAME_UNKNOWN", f"repository {call.name} is not known to this registry")
        raise Refusal("MANIFEST_UNKNOWN", f"{call.name} has no manifest {call.rest}")
    try:
        return registry.store.content.read(entry.digest, manifests.LARGEST), entry
    except FileNotFoundError:
        raise Refusal("MANIFEST_UNKNOWN", f"{call.name} has no manifest {call.rest}") from None


async def put(registry: Registry, call: Call) -> Response:
    try:
        data = await call.request.read(manifests.LARGEST)
    except BodyTooLarge as error:
        raise Refusal("SIZE_INVALID", f"a manifest has at most {manifests.LARGEST} bytes") from error
    content_type = call.request.headers.get("content-type", "")
    async with registry.store.adding():
        entry = await registry.store.call(lambda: _write(registry, call, data, content_type))
    location = f"/v2/{call.name}/manifests/{entry.digest}"
    headers = [("Location", location), ("Docker-Content-Digest", entry.digest)]
    if entry.subject:
        headers.append(("OCI-Subject", entry.subject))
    return Response(201, b"", headers)


def _write(registry: Registry, call: Call, data: bytes, content_type: str) -> Entry:
    digest = manifests.digest_of(data)
    if ":" in call.rest and call.rest != digest:
        raise Refusal("DIGEST_INVALID", f"the manifest has digest {digest}, not {call.rest}")
    repositories, content = registry.repositories, registry.store.content
    entry = manifests.examine(data, content_type, content)
    if entry.mediaType in documents.INDEXES:
        _adopt(registry, call.name, data)
    content.put(data, digest)
    repositories.put(call.name, entry)
    if ":" not in call.rest:
        repositories.tag(call.name, call.rest, digest)
    return entry


def _adopt(registry: Registry, name: str, index: bytes) -> None:
    """The manifests of an index belong to its repository, wherever they were pushed."""
    content = registry.store.content
    for child in manifests.children(index):
        if registry.repositories.find(name, child.digest) is None:
            data = content.read(child.digest, manifests.LARGEST)
            registry.repositories.put(name, manifests.examine(data, child.mediaType, content))


async def delete(registry: Registry, call: Call) -> Response:
    """A tag alone, or a manifest with all its tags. Content goes with the next collection."""
    repositories, store = registry.repositories, registry.store
    by_digest = ":" in call.rest
    if by_digest:
        gone = await store.call(lambda: repositories.remove(call.name, call.rest))
    else:
        gone = await store.call(lambda: repositories.untag(call.name, call.rest))
    for name, record in list(store.named()):
        host, _, rest = name.partition("/")
        repository, _, tag = rest.rpartition(":")
        if host not in repositories.hosts or repository != call.name:
            continue
        if record.manifest == call.rest if by_digest else tag == call.rest:
            try:
                await store.untag(name)
            except ImageFailure as error:
                raise Refusal("DENIED", str(error), 405) from error
            gone = True
    if not gone:
        raise Refusal("MANIFEST_UNKNOWN", f"{call.name} has no manifest {call.rest}")
    return Response(202, b"")
