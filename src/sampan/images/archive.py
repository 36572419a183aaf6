"""Archives of images: what `docker save`, skopeo, podman and buildx write, in and out.

Two layouts are read: Docker's (`manifest.json`) and OCI's (`index.json`, of several platforms), as a tar archive,
plain or compressed, or as a directory. What we write is both at once, so that everybody can load it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Protocol, cast

import msgspec

from sampan.host import syscalls
from sampan.host.containers import Image, ImageFailure
from sampan.images import documents
from sampan.images import reference as references
from sampan.images.content import CHUNK, Content
from sampan.images.documents import BadImage, Descriptor, Index, Manifest
from sampan.images.entries import Entry
from sampan.images.layers import DAMAGE, decompressed
from sampan.images.store import ImageStore

_DOCUMENT_LIMIT = 16 << 20
_NESTING = 3


class _Saved(msgspec.Struct):
    """An element of Docker's manifest.json."""

    Config: str
    Layers: tuple[str, ...] = ()
    RepoTags: tuple[str, ...] | None = None


class Source(Protocol):
    """The files of an archive by name."""

    def has(self, name: str) -> bool: ...

    def open(self, name: str) -> BinaryIO:
        """Raises BadImage when there is no such file."""
        ...


async def load(store: ImageStore, path: str, name: str = "") -> list[Image]:
    """Import an archive or a directory. `name` names its only image, in place of the archive's names.

    Raises ImageFailure ErrImagePull for an archive that cannot be used, InvalidImageName for a name.
    """
    if name:
        name = str(references.parse(name))
    try:
        async with store.adding():
            return await _load(store, path, name)
    except ImageFailure:
        await store.collect()
        raise


async def _load(store: ImageStore, path: str, name: str) -> list[Image]:
    try:
        found = await store.call(lambda: _read(store, path))
    except (*DAMAGE, OSError) as error:
        raise ImageFailure("ErrImagePull", f"cannot load {path}: {_words(error)}") from error
    if name and len(found) != 1:
        raise ImageFailure("ErrImagePull", f"cannot load {path}: it has {len(found)} images, one name was given")
    images = []
    for manifest, names in found:
        wanted = [name] if name else [str(references.parse(each)) for each in names]
        images.append(await store.add(manifest, wanted))
    return images


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


def _read(store: ImageStore, path: str) -> list[tuple[str, list[str]]]:
    """(manifest's digest, names) of each image; its blobs are stored."""
    with _open(path, store.root_directory) as source:
        if source.has("manifest.json"):
            found = list(_docker(store.content, source))
        elif source.has("index.json"):
            found = list(_oci(store.content, source))
        else:
            raise BadImage("neither index.json nor manifest.json is in it")
        if not found:
            raise BadImage("there is no image in it")
        return found


@contextlib.contextmanager
def _open(path: str, scratch: str) -> Iterator[Source]:
    if os.path.isdir(path):
        with contextlib.closing(_Directory(path)) as directory:
            yield directory
        return
    with (
        open(path, "rb") as file,
        _seekable(file, scratch) as plain,
        tarfile.open(fileobj=plain, mode="r:", tarinfo=Entry) as archive,
    ):
        yield _Tar(archive)


@contextlib.contextmanager
def _seekable(file: BinaryIO, scratch: str) -> Iterator[BinaryIO]:
    """The archive itself, or a decompressed copy of it in a file without a name."""
    stream = decompressed(file)
    if stream is file and file.seekable():
        yield file
        return
    with tempfile.TemporaryFile(dir=scratch) as copy:
        while chunk := stream.read(CHUNK):
            copy.write(chunk)
        copy.seek(0)
        yield cast(BinaryIO, copy)


class _Tar:
    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._members = {member.name.removeprefix("./"): member for member in archive}

    def has(self, name: str) -> bool:
        return name in self._members

    def open(self, name: str) -> BinaryIO:
        member = self._members.get(name)
        found = self._archive.extractfile(member) if member is not None else None
        if found is None:
            raise BadImage(f"{name} is not in the archive")
        return cast(BinaryIO, found)


class _Directory:
    """An image layout on disk; no name and no link in it leads out of it."""

    def __init__(self, path: str) -> None:
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._root)

    def has(self, name: str) -> bool:
        return os.access(name, os.R_OK, dir_fd=self._root)

    def open(self, name: str) -> BinaryIO:
        try:
            return open(syscalls.open_inside(self._root, name, os.O_RDONLY), "rb")
        except FileNotFoundError as error:
            raise BadImage(f"{name} is not in the directory") from error


def _document(source: Source, name: str) -> bytes:
    with source.open(name) as file:
        data = file.read(_DOCUMENT_LIMIT + 1)
    if len(data) > _DOCUMENT_LIMIT:
        raise BadImage(f"{name} is larger than {_DOCUMENT_LIMIT} bytes")
    return data


def _docker(content: Content, source: Source) -> Iterator[tuple[str, list[str]]]:
    saved = documents.decode(_document(source, "manifest.json"), tuple[_Saved, ...], "manifest.json")
    for image in saved:
        config = content.put(_document(source, image.Config))
        layers = []
        for name in image.Layers:
            with source.open(name) as file:
                kind = _kind(file.read(4))
                file.seek(0)
                digest = content.put_file(file)
            layers.append((kind, digest))
        yield put_manifest(content, config, layers), list(image.RepoTags or ())


def _kind(head: bytes) -> str:
    """The media type of a layer by its first bytes: `docker save` says nothing about compression."""
    if head.startswith(b"\x1f\x8b"):
        return documents.LAYER_GZIP
    return documents.LAYER_ZSTD if head == b"\x28\xb5\x2f\xfd" else documents.LAYER


def put_manifest(content: Content, config: str, layers: Sequence[tuple[str, str]]) -> str:
    """Store an OCI manifest of a configuration and (media type, digest) layers; returns its digest."""
    manifest = Manifest(
        config=Descriptor(documents.CONFIG, config, content.size(config)),
        layers=tuple(Descriptor(kind, digest, content.size(digest)) for kind, digest in layers),
        mediaType=documents.MANIFEST,
    )
    body = {"schemaVersion": 2, **msgspec.to_builtins(manifest)}
    return content.put(msgspec.json.encode(body))


def _oci(content: Content, source: Source) -> Iterator[tuple[str, list[str]]]:
    index = documents.decode(_document(source, "index.json"), Index, "index.json")
    for descriptor in documents.usable(index):
        annotations = descriptor.annotations or {}
        name = annotations.get(documents.IMAGE_NAME) or annotations.get(documents.REF_NAME, "")
        # a bare tag, as in an OCI layout, is not a name
        names = [name] if "/" in name or ":" in name else []
        yield _oci_image(content, source, descriptor), names


def _oci_image(content: Content, source: Source, descriptor: Descriptor) -> str:
    data = _document(source, _blob(descriptor.digest))
    for _ in range(_NESTING):
        if not documents.is_index(data, descriptor.mediaType):
            break
        descriptor = documents.choose(documents.decode(data, Index, "index"))
        data = _document(source, _blob(descriptor.digest))
    manifest = documents.decode(data, Manifest, "manifest")
    for part in (manifest.config, *manifest.layers):
        if not content.has(part.digest):
            with source.open(_blob(part.digest)) as file:
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
