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
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from sampan.host import state, syscalls
from sampan.host.containers import Image, ImageFailure
from sampan.host.images import ImageConfig, ImageRoot
from sampan.images import reference as references
from sampan.images.content import Content
from sampan.images.documents import BadImage, Configuration, Manifest, decode
from sampan.images.flights import Flights
from sampan.images.held import Held
from sampan.images.layers import Layers
from sampan.images.pull import Puller
from sampan.images.reference import Reference

T = TypeVar("T")

_TICK = 50_000_000  # nanoseconds; a file system's clock ticks every 10 ms or faster
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


@dataclass(frozen=True, slots=True)
class _Known:
    """The records as read when their directory had the modification time `seen`; -1 is none."""

    seen: int = -1
    records: Mapping[str, Record] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


class ImageStore:
    """Everything below one directory. `puller` talks to registries; without it nothing can be pulled."""

    def __init__(self, root: str, puller: Puller | None = None) -> None:
        self.root_directory = root
        self.content = Content(root)
        self.layers = Layers(root)
        self.held = Held(root)
        self._records_directory = f"{root}/records"
        os.makedirs(self._records_directory, exist_ok=True)
        self._puller = puller
        self._known = _Known()
        self._threads = ThreadPoolExecutor(THREADS, "images")
        self._pulls: Flights[Image] = Flights()

    async def call(self, action: Callable[[], T]) -> T:
        """Run blocking work in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, action)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _refresh(self) -> _Known:
        """The records on disk. Two changes within one tick of the clock look the same, so a young state is not kept."""
        seen = os.stat(self._records_directory).st_mtime_ns
        known = self._known
        if seen == known.seen:
            return known
        records = {}
        for name in state.directories(self._records_directory):
            record = state.read(f"{self._records_directory}/{name}", Record) if name.endswith(".json") else None
            if record is not None:
                records[record.id] = record
        names = {name: record.id for record in records.values() for name in (*record.names, *record.digests)}
        young = time.time_ns() - seen < _TICK
        self._known = _Known(-1 if young else seen, records, names)
        return self._known

    def find(self, reference: str) -> Record | None:
        """The record that an ID, a part of one (12 digits or more) or a reference names.

        Raises ImageFailure InvalidImageName for what is none of these.
        """
        known = self._refresh()
        bare = reference.removeprefix("sha256:")
        if len(bare) >= 12 and all(character in "0123456789abcdef" for character in bare):
            matches = [record for id, record in known.records.items() if id.removeprefix("sha256:").startswith(bare)]
            if len(matches) == 1:
                return matches[0]
            if reference.startswith("sha256:"):
                return None
        parsed = references.parse(reference)
        name = f"{parsed.name}@{parsed.digest}" if parsed.digest else str(parsed)
        return known.records.get(known.names.get(name, ""))

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
        config = record.config
        return Image(record.id, record.names, record.digests, record.size, used, config.user, config.env)

    async def image(self, reference: str) -> Image | None:
        record = self.find(reference)
        return self._image(record) if record else None

    async def images(self) -> Sequence[Image]:
        return [self._image(record) for record in self._refresh().records.values()]

    def named(self) -> Iterator[tuple[str, Record]]:
        """(name, image) of every name that an image has here."""
        records = self._refresh().records.values()
        return ((name, record) for record in records for name in record.names)

    def needed_blobs(self) -> set[str]:
        """The blobs that an image needs, or somebody holds. Blocking."""
        blobs, _ = self.held.needs()
        return blobs.union(*(record.blobs for record in self._refresh().records.values()))

    async def usage(self) -> tuple[int, int]:
        """Bytes used counts each unpacked layer and each blob once."""
        records = self._refresh().records.values()
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
            before = self._refresh()
            known = before.records.get(record.id)
            if known is not None:
                names, digests = _union(known.names, names), _union(known.digests, digests)
                record = replace(record, blobs=_union(known.blobs, record.blobs))
            for other in before.records.values():
                if other.id != record.id and set(names) & set(other.names):
                    self._write(replace(other, names=tuple(n for n in other.names if n not in names)))
            record = replace(record, names=names, digests=digests)
            gone = [layer for layer in record.layers if not self.layers.has(layer)]
            gone += [blob for blob in record.blobs if not self.content.has(blob)]
            if gone:
                raise ImageFailure("ErrImagePull", f"{gone[0]} was removed meanwhile")
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
        """Replace a record, on disk before this returns."""
        path = self._path(record.id)
        with open(f"{path}.new", "wb") as file:
            file.write(msgspec.json.encode(record))
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{path}.new", path)
        _sync_directory(self._records_directory)
        self._known = _Known()

    async def tag(self, reference: str, name: str) -> None:
        """Give an image one more name, taken from the image that had it. Raises ImageFailure when it is not here."""
        record = self.find(reference)
        if record is None:
            raise ImageFailure("ErrImagePull", f"image {reference!r} not found")
        await self.add(record.manifest, (str(references.parse(name)),))

    async def pull(self, reference: str, credentials: Sequence[tuple[str, str]] = ()) -> Image:
        """Two who pull the same with the same credentials at once pull it once."""
        if self._puller is None:
            text = f"cannot pull {reference!r}: no registry is configured"
            raise ImageFailure("RegistryUnavailable", text, unreachable=True)
        parsed = references.parse(reference)
        key = (str(parsed), tuple(credentials))
        return await self._pulls.join(key, self._pull(self._puller, parsed, credentials))

    async def _pull(self, puller: Puller, parsed: Reference, credentials: Sequence[tuple[str, str]]) -> Image:
        async with self.adding():
            pulled = await puller.pull(parsed, credentials, self.content, self.call)
            name = (str(replace(parsed, digest="")),) if parsed.tag else ()
            return await self.add(pulled.manifest, name, (f"{parsed.name}@{pulled.digest}",))

    @contextlib.asynccontextmanager
    async def adding(self) -> AsyncIterator[None]:
        """While content comes in that no record speaks of yet; `collect` leaves everything alone then."""
        descriptor = await self.call(self._start_adding)
        try:
            yield
        finally:
            os.close(descriptor)

    def _start_adding(self) -> int:
        descriptor = os.open(f"{self.root_directory}/adding", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    async def untag(self, name: str) -> int:
        """Take a name away, and the image with its last one; returns bytes freed.

        Raises ImageFailure when there is no such image, or when it is in use.
        """
        record = self.find(name)
        if record is None:
            raise ImageFailure("ErrImagePull", f"image {name!r} not found")
        return await self.call(lambda: self._untag(record.id, str(references.parse(name))))

    def _untag(self, id: str, name: str) -> int:
        with self._locked():
            record = self._refresh().records.get(id)
            if record is not None and name in record.names and len(record.names) > 1:
                self._write(replace(record, names=tuple(each for each in record.names if each != name)))
                return 0
        return self._remove(record) if record is not None else 0

    async def remove(self, id: str) -> int:
        """Forget an image with all its names. Raises ImageFailure when a running container uses it."""
        record = self.find(id)
        return 0 if record is None else await self.call(lambda: self._remove(record))

    def _remove(self, record: Record) -> int:
        with self._locked():
            blobs, layers = self._unused(record)
            self._refuse_mounted(record.id, layers)
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                os.unlink(self._path(record.id))
            self._known = _Known()
            freed = sum(self.layers.remove(layer) for layer in layers)
            return freed + sum(self.content.remove(blob) for blob in blobs)

    def _unused(self, record: Record) -> tuple[list[str], list[str]]:
        """(blobs, layers) that nobody but this image needs."""
        blobs, layers = self.held.needs()
        for other in self._refresh().records.values():
            if other.id != record.id:
                blobs.update(other.blobs)
                layers.update(other.layers)
        free = [blob for blob in record.blobs if blob not in blobs]
        return free, [layer for layer in record.layers if layer not in layers]

    def _refuse_mounted(self, id: str, layers: Sequence[str]) -> None:
        """A layer below a mounted overlay must not go, whoever mounted it."""
        if self._mounted(layers):
            raise ImageFailure("ImageInUse", f"image {id} is used by a running container")

    def _mounted(self, layers: Iterable[str]) -> set[str]:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            mounted = file.read()
        # without the directory above, which mounts of many layers leave out
        return {layer for layer in layers if "/".join(self.layers.path(layer).split("/")[-2:]) in mounted}

    async def collect(self) -> int:
        """Delete content that no image needs, and what a crash left; returns bytes freed. For the start.

        Does nothing while another process adds images.
        """
        return await self.call(self._collect)

    def _collect(self) -> int:
        with open(f"{self.root_directory}/adding", "w", encoding="ascii") as adding, self._locked():
            try:
                fcntl.flock(adding, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            self.content.discard_partial()
            self.layers.discard_partial()
            blobs, layers = self.held.needs()
            for record in self._refresh().records.values():
                blobs.update(record.blobs)
                layers.update(record.layers)
            layers |= self._mounted(self.layers.known())
            freed = sum(self.layers.remove(layer) for layer in self.layers.known() if layer not in layers)
            return freed + sum(self.content.remove(blob) for blob in list(self.content.digests()) if blob not in blobs)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
