"""Archives of images: what `docker save`, skopeo and podman write, in and out.

Two layouts are read: Docker's (`manifest.json`) and OCI's (`index.json`, of several platforms). What we write is
both at once, so that everybody can load it.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

import msgspec

from sampan.host.containers import Image, ImageFailure
from sampan.images import documents
from sampan.images import reference as references
from sampan.images.content import CHUNK, Content
from sampan.images.documents import BadImage, Descriptor, Index, Manifest
from sampan.images.entries import LayerError
from sampan.images.layers import decompressed
from sampan.images.store import ImageStore

_DOCUMENT_LIMIT = 16 << 20


class _Saved(msgspec.Struct):
    """An element of Docker's manifest.json."""

    Config: str
    Layers: tuple[str, ...] = ()
    RepoTags: tuple[str, ...] | None = None


async def load(store: ImageStore, path: str, name: str = "") -> list[Image]:
    """Import an archive, plain or compressed. `name` names its only image, in place of the archive's names.

    Raises ImageFailure ErrImagePull for an archive that cannot be used, InvalidImageName for a name.
    """
    try:
        found = await store.call(lambda: _read(store.content, path))
    except (tarfile.TarError, BadImage, LayerError, ValueError, EOFError, KeyError) as error:
        raise ImageFailure("ErrImagePull", f"cannot load {path}: {error}") from error
    if name and len(found) != 1:
        raise ImageFailure("ErrImagePull", f"cannot load {path}: it has {len(found)} images, one name was given")
    images = []
    for manifest, names in found:
        wanted = [name] if name else names
        images.append(await store.add(manifest, [str(references.parse(each)) for each in wanted]))
    return images


def _read(content: Content, path: str) -> list[tuple[str, list[str]]]:
    """(manifest's digest, names) of each image; its blobs are stored."""
    with open(path, "rb") as file, _seekable(file) as plain, tarfile.open(fileobj=plain, mode="r:") as archive:
        members = {member.name.removeprefix("./"): member for member in archive}
        if "manifest.json" in members:
            return list(_docker(content, archive, members))
        if "index.json" in members:
            return list(_oci(content, archive, members))
        raise BadImage("neither index.json nor manifest.json is in the archive")


def _seekable(file: BinaryIO) -> BinaryIO:
    """The archive itself, or a decompressed copy in a temporary file that is gone when closed."""
    magic = file.read(4)
    file.seek(0)
    if magic[:2] != b"\x1f\x8b" and magic != b"\x28\xb5\x2f\xfd":
        return file
    copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  the caller closes it
    stream = decompressed(file)
    while chunk := stream.read(CHUNK):
        copy.write(chunk)
    copy.seek(0)
    return copy


def _file(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> BinaryIO:
    member = members.get(name)
    found = archive.extractfile(member) if member is not None else None
    if found is None:
        raise BadImage(f"{name} is not in the archive")
    return cast(BinaryIO, found)


def _document(archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> bytes:
    data = _file(archive, members, name).read(_DOCUMENT_LIMIT + 1)
    if len(data) > _DOCUMENT_LIMIT:
        raise BadImage(f"{name} is larger than {_DOCUMENT_LIMIT} bytes")
    return data


def _docker(
    content: Content, archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo]
) -> Iterator[tuple[str, list[str]]]:
    saved = documents.decode(_document(archive, members, "manifest.json"), tuple[_Saved, ...], "manifest.json")
    for image in saved:
        config = content.put(_document(archive, members, image.Config))
        layers = []
        for name in image.Layers:
            with _file(archive, members, name) as file:
                compressed = file.read(2) == b"\x1f\x8b"
                file.seek(0)
                digest = content.put_file(file)
            layers.append((documents.LAYER_GZIP if compressed else documents.LAYER, digest))
        yield put_manifest(content, config, layers), list(image.RepoTags or ())


def put_manifest(content: Content, config: str, layers: Sequence[tuple[str, str]]) -> str:
    """Store an OCI manifest of a configuration and (media type, digest) layers; returns its digest."""
    manifest = Manifest(
        config=Descriptor(documents.CONFIG, config, content.size(config)),
        layers=tuple(Descriptor(kind, digest, content.size(digest)) for kind, digest in layers),
        mediaType=documents.MANIFEST,
    )
    body = {"schemaVersion": 2, **msgspec.to_builtins(manifest)}
    return content.put(msgspec.json.encode(body))


def _oci(
    content: Content, archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo]
) -> Iterator[tuple[str, list[str]]]:
    index = documents.decode(_document(archive, members, "index.json"), Index, "index.json")
    for descriptor in index.manifests:
        annotations = descriptor.annotations or {}
        name = annotations.get(documents.IMAGE_NAME) or annotations.get(documents.REF_NAME, "")
        # a bare tag, as in an OCI layout, is not a name
        names = [name] if "/" in name or ":" in name else []
        yield _oci_image(content, archive, members, descriptor), names


def _oci_image(
    content: Content, archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], descriptor: Descriptor
) -> str:
    data = _document(archive, members, _blob(descriptor.digest))
    for _ in range(3):
        if not documents.is_index(data, descriptor.mediaType):
            break
        descriptor = documents.choose(documents.decode(data, Index, "index"))
        data = _document(archive, members, _blob(descriptor.digest))
    manifest = documents.decode(data, Manifest, "manifest")
    for part in (manifest.config, *manifest.layers):
        if not content.has(part.digest):
            with _file(archive, members, _blob(part.digest)) as file:
                content.put_file(file, part.digest)
    return content.put(data, descriptor.digest)


def _blob(digest: str) -> str:
    algorithm, _, number = digest.partition(":")
    return f"blobs/{algorithm}/{number}"


async def save(store: ImageStore, names: Sequence[str], path: str) -> None:
    """Write images to an archive. Raises ImageFailure when one is not here."""
    found = []
    for name in names:
        record = store.find(name)
        if record is None:
            raise ImageFailure("ErrImagePull", f"image {name!r} not found")
        found.append((name, record.id, record.manifest))
    await store.call(lambda: _write(store.content, found, path))


def _write(content: Content, images: Sequence[tuple[str, str, str]], path: str) -> None:
    written: set[str] = set()
    index, saved = [], []
    temporary = f"{path}.partial"
    with tarfile.open(temporary, "w") as archive:
        for name, id, digest in images:
            manifest = documents.decode(content.read(digest), Manifest, "manifest")
            for blob in (digest, id, *(layer.digest for layer in manifest.layers)):
                if blob not in written:
                    written.add(blob)
                    _add_blob(archive, content, blob)
            full = str(references.parse(name)) if not name.startswith("sha256:") else ""
            notes = {documents.IMAGE_NAME: full, documents.REF_NAME: full.rpartition(":")[2]} if full else {}
            kind = manifest.mediaType or documents.MANIFEST
            size = content.size(digest)
            index.append({"mediaType": kind, "digest": digest, "size": size, "annotations": notes})
            layers = [_blob(layer.digest) for layer in manifest.layers]
            saved.append({"Config": _blob(id), "RepoTags": [full] if full else [], "Layers": layers})
        _add(archive, "index.json", json.dumps({"schemaVersion": 2, "manifests": index}).encode())
        _add(archive, "manifest.json", json.dumps(saved).encode())
        _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    os.replace(temporary, path)


def _add_blob(archive: tarfile.TarFile, content: Content, digest: str) -> None:
    member = tarfile.TarInfo(_blob(digest))
    member.size = content.size(digest)
    with content.open(digest) as file:
        archive.addfile(member, file)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
