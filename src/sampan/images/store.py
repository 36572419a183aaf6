"""The image store: which names mean which image, and what of its content is here. Implements ImageService.

    names -> records/<id>.json -> manifest, configuration and layer blobs (content) and unpacked layers

A record is written last and removed first, so that a crash leaves content without a record, never the reverse;
such content goes with the next collection. Several processes may use one store: each reads the records again
when their directory has changed, and changes them under a file lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from sampan.host import state, syscalls
from sampan.host.containers import Image, ImageFailure
from sampan.host.images import ImageConfig, ImageRoot
from sampan.images import reference as references
from sampan.images.content import Content
from sampan.images.documents import BadImage, Configuration, Manifest, decode
from sampan.images.layers import Layers
from sampan.images.pull import Puller

T = TypeVar("T")

THREADS = 2  # unpacking at once; one for each core of a small machine


@dataclass(frozen=True, slots=True)
class Record:
    """One image. `digests` are repository@digest; `layers` are diffIDs from the bottom to the top."""

    id: str
    manifest: str
    layers: tuple[str, ...]
    blobs: tuple[str, ...]
    config: ImageConfig
    size: int
    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()


class ImageStore:
    """Everything below one directory. `puller` talks to registries; without it nothing can be pulled."""

    def __init__(self, root: str, puller: Puller | None = None) -> None:
        self.root_directory = root
        self.content = Content(root)
        self.layers = Layers(root)
        self._records_directory = f"{root}/records"
        os.makedirs(self._records_directory, exist_ok=True)
        self._puller = puller
        self._records: dict[str, Record] = {}
        self._names: dict[str, str] = {}
        self._seen = -1
        self._threads = ThreadPoolExecutor(THREADS, "images")
        self._pulls: dict[str, asyncio.Lock] = {}

    async def call(self, action: Callable[[], T]) -> T:
        """Run blocking work in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, action)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _refresh(self) -> dict[str, Record]:
        seen = os.stat(self._records_directory).st_mtime_ns
        if seen != self._seen:
            self._records, self._names = {}, {}
            for name in state.directories(self._records_directory):
                record = state.read(f"{self._records_directory}/{name}", Record)
                if record is not None and name.endswith(".json"):
                    self._records[record.id] = record
                    self._names.update(dict.fromkeys((*record.names, *record.digests), record.id))
            self._seen = seen
        return self._records

    def find(self, reference: str) -> Record | None:
        """The record that an ID, a part of one (12 digits or more) or a reference names.

        Raises ImageFailure InvalidImageName for what is none of these.
        """
        records = self._refresh()
        bare = reference.removeprefix("sha256:")
        if len(bare) >= 12 and all(character in "0123456789abcdef" for character in bare):
            matches = [record for id, record in records.items() if id.removeprefix("sha256:").startswith(bare)]
            if len(matches) == 1:
                return matches[0]
            if reference.startswith("sha256:"):
                return None
        parsed = references.parse(reference)
        if parsed.digest:
            name = f"{parsed.name}@{parsed.digest}"
            return records.get(self._names.get(name, ""))
        return records.get(self._names.get(str(parsed), ""))

    def root(self, reference: str) -> ImageRoot | None:
        record = self.find(reference)
        if record is None:
            return None
        os.utime(self._path(record.id))
        top_first = tuple(self.layers.path(layer) for layer in reversed(record.layers))
        name = record.digests[0] if record.digests else record.id
        return ImageRoot(record.id, name, top_first, record.config)

    def _path(self, id: str) -> str:
        return f"{self._records_directory}/{id.removeprefix('sha256:')}.json"

    def _image(self, record: Record) -> Image:
        used = os.stat(self._path(record.id)).st_mtime
        return Image(record.id, record.names, record.digests, record.size, used, record.config.user)

    async def image(self, reference: str) -> Image | None:
        record = self.find(reference)
        return self._image(record) if record else None

    async def images(self) -> Sequence[Image]:
        return [self._image(record) for record in self._refresh().values()]

    async def usage(self) -> tuple[int, int]:
        """Bytes used counts each unpacked layer and each blob once."""
        records = self._refresh().values()
        layers = {layer for record in records for layer in record.layers}
        blobs = {blob for record in records for blob in record.blobs}
        used = await self.call(lambda: sum(map(self.layers.size, layers)) + sum(map(self.content.size, blobs)))
        status = os.statvfs(self.root_directory)
        return used, status.f_blocks * status.f_frsize

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time changes records; held for moments only."""
        with open(f"{self.root_directory}/lock", "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    async def add(self, manifest_digest: str, names: Sequence[str] = (), digests: Sequence[str] = ()) -> Image:
        """Make an image of content that is in the store: unpack its layers, note its names (taken from others).

        Raises ImageFailure ErrImagePull when a part is missing, damaged or not what it claims to be.
        """
        return await self.call(lambda: self._image(self._add(manifest_digest, tuple(names), tuple(digests))))

    def _add(self, manifest_digest: str, names: tuple[str, ...], digests: tuple[str, ...]) -> Record:
        try:
            record = self._unpack(manifest_digest)
        except (BadImage, ValueError, FileNotFoundError) as error:
            raise ImageFailure("ErrImagePull", f"failed to unpack image: {error}") from error
        self._sync()
        with self._locked():
            known = self._refresh().get(record.id)
            if known is not None:
                names, digests = _union(known.names, names), _union(known.digests, digests)
                record = replace(record, blobs=_union(known.blobs, record.blobs))
            for other in list(self._records.values()):
                if other.id != record.id and set(names) & set(other.names):
                    self._write(replace(other, names=tuple(n for n in other.names if n not in names)))
            record = replace(record, names=names, digests=digests)
            missing = [layer for layer in record.layers if not self.layers.has(layer)]
            if missing:
                raise ImageFailure("ErrImagePull", f"layer {missing[0]} was removed meanwhile")
            self._write(record)
        return record

    def _unpack(self, manifest_digest: str) -> Record:
        manifest = decode(self.content.read(manifest_digest), Manifest, f"manifest {manifest_digest}")
        configuration = decode(self.content.read(manifest.config.digest), Configuration, "image configuration")
        diff_ids = configuration.rootfs.diff_ids
        if len(diff_ids) != len(manifest.layers):
            raise BadImage(f"the manifest has {len(manifest.layers)} layers, the configuration {len(diff_ids)}")
        size = 0
        for descriptor, diff_id in zip(manifest.layers, diff_ids, strict=True):
            if not references.is_digest(diff_id):
                raise BadImage(f"invalid diffID {diff_id!r}")
            with self.content.open(descriptor.digest) as stream:
                size += self.layers.unpack(stream, diff_id)
        blobs = dict.fromkeys((manifest_digest, manifest.config.digest, *(layer.digest for layer in manifest.layers)))
        return Record(
            manifest.config.digest, manifest_digest, diff_ids, tuple(blobs), configuration.image_config(), size
        )

    def _sync(self) -> None:
        """Have the unpacked files on disk before a record speaks of them."""
        descriptor = os.open(self.layers.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syscalls.syncfs(descriptor)
        finally:
            os.close(descriptor)

    def _write(self, record: Record) -> None:
        state.write_file(self._path(record.id), msgspec.json.encode(record))
        self._seen = -1

    async def tag(self, reference: str, name: str) -> None:
        """Give an image one more name, taken from the image that had it. Raises ImageFailure when it is not here."""
        record = self.find(reference)
        if record is None:
            raise ImageFailure("ErrImagePull", f"image {reference!r} not found")
        await self.add(record.manifest, (str(references.parse(name)),))

    async def pull(self, reference: str, credentials: Sequence[tuple[str, str]] = ()) -> Image:
        if self._puller is None:
            raise ImageFailure("RegistryUnavailable", f"cannot pull {reference!r}: no registry is configured")
        parsed = references.parse(reference)
        async with self._pulls.setdefault(str(parsed), asyncio.Lock()):
            pulled = await self._puller.pull(parsed, credentials, self.content, self.call)
            name = (str(replace(parsed, digest="")),) if parsed.tag else ()
            return await self.add(pulled.manifest, name, (f"{parsed.name}@{pulled.digest}",))

    async def remove(self, id: str) -> int:
        """Forget an image with all its names. Raises ImageFailure when a running container uses it."""
        record = self.find(id)
        return 0 if record is None else await self.call(lambda: self._remove(record))

    def _remove(self, record: Record) -> int:
        with self._locked():
            layers = self._unused(record, "layers")
            self._refuse_mounted(record)
            os.unlink(self._path(record.id))
            self._seen = -1
            freed = sum(self.layers.remove(layer) for layer in layers)
            return freed + sum(self.content.remove(blob) for blob in self._unused(record, "blobs"))

    def _unused(self, record: Record, field: str) -> list[str]:
        others = [other for other in self._refresh().values() if other.id != record.id]
        kept = {each for other in others for each in getattr(other, field)}
        return [each for each in getattr(record, field) if each not in kept]

    def _refuse_mounted(self, record: Record) -> None:
        """A layer below a mounted overlay must not change, whoever mounted it."""
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            mounted = file.read()
        if record.layers and self.layers.path(record.layers[-1]) in mounted:
            raise ImageFailure("ImageInUse", f"image {record.id} is used by a running container")

    async def collect(self) -> int:
        """Delete content that no image needs, and what a crash left; returns bytes freed. For the start."""
        return await self.call(self._collect)

    def _collect(self) -> int:
        with self._locked():
            self.content.discard_partial()
            self.layers.discard_partial()
            records = self._refresh().values()
            layers = {layer for record in records for layer in record.layers}
            blobs = {blob for record in records for blob in record.blobs}
            freed = sum(self.layers.remove(layer) for layer in self.layers.known() if layer not in layers)
            return freed + sum(self.content.remove(blob) for blob in list(self.content.digests()) if blob not in blobs)


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
