"""Blobs: whole and in ranges, uploads in one piece, in chunks, and from another repository."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, BinaryIO

from sampan.http.types import Request, Response
from sampan.images.content import DigestMismatch
from sampan.images.reference import is_digest
from sampan.images.registry.errors import Refusal
from sampan.images.registry.uploads import Upload, reached

if TYPE_CHECKING:
    from sampan.images.registry.app import Call, Registry

CHUNK = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
_CONTENT_RANGE = re.compile(r"(?:bytes[ =])?(\d+)-(\d+)(?:/(?:\d+|\*))?\Z")
_SMALL = 64 << 10


async def get(registry: Registry, call: Call) -> Response:
    digest, content = call.rest, registry.store.content
    try:
        size = content.size(digest)
    except FileNotFoundError:
        raise Refusal("BLOB_UNKNOWN", f"{digest} is not here") from None
    headers = [
        ("Content-Type", "application/octet-stream"),
        ("Docker-Content-Digest", digest),
        ("ETag", f'"{digest}"'),
        ("Accept-Ranges", "bytes"),
        ("Cache-Control", "max-age=31536000, immutable"),
    ]
    if call.request.headers.get("if-none-match") == f'"{digest}"':
        return Response(304, b"", headers)
    first, last = _range(call.request, size)
    partial = (first, last) != (0, size - 1)
    length = last - first + 1
    headers.append(("Content-Length", str(length)))
    if partial:
        headers.append(("Content-Range", f"bytes {first}-{last}/{size}"))
    status = 206 if partial else 200
    if call.request.method == "HEAD" or not length:
        return Response(status, b"", headers)
    file = content.open(digest)
    if length <= _SMALL:
        with file:
            file.seek(first)
            return Response(status, file.read(length), headers)
    return Response(status, _stream(file, first, length), headers)


def _range(request: Request, size: int) -> tuple[int, int]:
    """(first, last) byte to send. Several ranges, and units that we do not know, are answered by the whole."""
    match = _RANGE.match(request.headers.get("range", ""))
    if match is None or match[0] == "bytes=-":
        return 0, size - 1
    if not match[1]:
        first, last = max(0, size - int(match[2])), size - 1
        satisfiable = int(match[2]) > 0 and size > 0
    else:
        first, last = int(match[1]), min(int(match[2]), size - 1) if match[2] else size - 1
        satisfiable = first < size and first <= last
    if not satisfiable:
        raise Refusal("RANGE_INVALID", f"the blob has {size} bytes", headers=(("Content-Range", f"bytes */{size}"),))
    return first, last


async def _stream(file: BinaryIO, first: int, length: int) -> AsyncIterator[bytes]:
    """Reads the next chunk while the last one is sent."""
    loop = asyncio.get_running_loop()
    with file:
        file.seek(first)
        reading = loop.run_in_executor(None, file.read, min(CHUNK, length))
        while length:
            chunk = await reading
            if not chunk:
                return
            length -= len(chunk)
            reading = loop.run_in_executor(None, file.read, min(CHUNK, length))
            try:
                yield chunk
            except GeneratorExit:
                await reading
                raise
        await reading


async def delete(registry: Registry, call: Call) -> Response:
    """A blob that manifests or images need stays."""
    digest, store = call.rest, registry.store
    if not store.content.has(digest):
        raise Refusal("BLOB_UNKNOWN", f"{digest} is not here")

    def remove() -> bool:
        registry.repositories.forget_uploaded(digest)
        if digest in store.needed_blobs():
            return False
        store.content.remove(digest)
        return True

    if not await store.call(remove):
        raise Refusal("UNSUPPORTED", f"{digest} is needed by manifests or images of the node: delete these first")
    return Response(202, b"")


# Uploads


async def start(registry: Registry, call: Call) -> Response:
    """A session, or the blob at once: from another repository (mount), or in this request's body (digest)."""
    request = call.request
    mount, digest = request.param("mount"), request.param("digest")
    if mount and is_digest(mount) and mount.startswith("sha256:") and await _held(registry, mount):
        return _created(call, mount)
    if digest:
        return await _monolithic(registry, call, _checked(digest))
    upload = await registry.uploads.start(call.name)
    return _accepted(call, upload)


async def _monolithic(registry: Registry, call: Call, digest: str) -> Response:
    if await _held(registry, digest):
        await discard(call.request)
        return _created(call, digest)
    if isinstance(call.request.content, bytes) and len(call.request.content) <= _SMALL:
        content = call.request.content
        try:
            await registry.store.call(lambda: registry.store.content.put(content, digest))
        except DigestMismatch as error:
            raise Refusal("DIGEST_INVALID", str(error)) from error
        return _created(call, digest)
    upload = await registry.uploads.start(call.name)
    try:
        await registry.uploads.append(upload, call.request.content, None)
    except BaseException:
        await registry.uploads.end(upload)
        raise
    await registry.uploads.finish(upload, digest)
    return _created(call, digest)


async def discard(request: Request) -> None:
    """Read what we have already, so that the client need not send it on another connection."""
    if not isinstance(request.content, bytes):
        async for _ in request.content:
            continue


def _checked(text: str) -> str:
    if not is_digest(text) or not text.startswith("sha256:"):
        raise Refusal("DIGEST_INVALID", f"digest {text[:80]!r} is not supported; use sha256")
    return text


async def _held(registry: Registry, digest: str) -> bool:
    """Whether a blob is here. It is held before anybody looks, so that no collection comes in between."""
    await registry.store.call(lambda: registry.repositories.uploaded(digest))
    return registry.store.content.has(digest)


def _created(call: Call, digest: str) -> Response:
    location = f"/v2/{call.name}/blobs/{digest}"
    return Response(201, b"", (("Location", location), ("Docker-Content-Digest", digest)))


def _accepted(call: Call, upload: Upload, status: int = 202) -> Response:
    location = f"/v2/{call.name}/blobs/uploads/{upload.id}"
    headers = (("Location", location), ("Range", reached(upload)), ("Docker-Upload-UUID", upload.id))
    return Response(status, b"", headers)


async def status(registry: Registry, call: Call) -> Response:
    return _accepted(call, registry.uploads.get(call.rest, call.name), 204)


async def append(registry: Registry, call: Call) -> Response:
    upload = registry.uploads.get(call.rest, call.name)
    await registry.uploads.append(upload, call.request.content, _offset(call.request))
    return _accepted(call, upload)


def _offset(request: Request) -> int | None:
    text = request.headers.get("content-range", "")
    if not text:
        return None
    match = _CONTENT_RANGE.match(text)
    if match is None:
        raise Refusal("BLOB_UPLOAD_INVALID", f"Content-Range {text[:80]!r} is not FIRST-LAST")
    length = request.headers.get("content-length")
    if length is not None and int(match[2]) - int(match[1]) + 1 != int(length):
        raise Refusal("SIZE_INVALID", f"Content-Range {text[:80]} and Content-Length {length} do not agree", 400)
    return int(match[1])


async def finish(registry: Registry, call: Call) -> Response:
    upload = registry.uploads.get(call.rest, call.name)
    digest = _checked(call.request.param("digest"))
    await registry.uploads.append(upload, call.request.content, _offset(call.request))
    await registry.store.call(lambda: registry.repositories.uploaded(digest))
    await registry.uploads.finish(upload, digest)
    return _created(call, digest)


async def cancel(registry: Registry, call: Call) -> Response:
    upload = registry.uploads.get(call.rest, call.name)
    if upload.busy:
        raise Refusal("BLOB_UPLOAD_INVALID", "another request writes to this upload", 409)
    await registry.uploads.end(upload)
    return Response(204, b"")
