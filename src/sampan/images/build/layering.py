"""Making one layer: from files that are copied, from what a command changed, for a directory. Blocking parts.

Each returns None when nothing changed. A new layer is in the content store and unpacked before it is returned.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from typing import BinaryIO, cast

from sampan.images.build import difference, owners, rootfs
from sampan.images.build.errors import BuildError
from sampan.images.build.packing import Archive, Attributes
from sampan.images.build.placing import Placing, Wish
from sampan.images.build.rootfs import Rootfs
from sampan.images.build.state import Layer, State
from sampan.images.build.workshop import Bench
from sampan.images.entries import clean
from sampan.images.store import ImageStore


def directories(store: ImageStore, state: State) -> list[str]:
    """The unpacked layers, the top one first."""
    return [store.layers.path(diff_id) for diff_id in reversed(state.chain)]


def write(store: ImageStore, epoch: int, fill: Callable[[Archive], None]) -> Layer | None:
    """Store and unpack what `fill` adds to an archive."""
    with Archive(store.content, epoch) as archive:
        fill(archive)
        if not archive.written:
            return None
        digest, size = archive.commit()
    with store.content.open(digest) as stream:
        store.layers.unpack(stream, digest)
    return Layer(digest, digest, size)


def copied(store: ImageStore, state: State, bench: Bench, wish: Wish, epoch: int) -> Layer | None:
    with rootfs.merged(directories(store, state), f"{bench.data}/below") as below:
        return write(store, epoch, lambda archive: Placing(below, wish).write(archive))


def changed(store: ImageStore, upper: str, epoch: int) -> Layer | None:
    return write(store, epoch, lambda archive: difference.pack(upper, archive))


def directory(store: ImageStore, state: State, bench: Bench, path: str, epoch: int) -> Layer | None:
    """WORKDIR: the directory with its parents, for the user that the image runs as."""
    with rootfs.merged(directories(store, state), f"{bench.data}/below") as below:
        if below.is_directory(path):
            return None
        owner = owners.owner(state.user, below) if state.user else (0, 0)
        return write(store, epoch, lambda archive: _add_directories(archive, below, path, owner))


def _add_directories(archive: Archive, below: Rootfs, path: str, owner: tuple[int, int]) -> None:
    parts = below.resolve(path).split("/")
    for length in range(1, len(parts) + 1):
        name = "/".join(parts[:length])
        if below.is_directory(name):
            archive.directory(name, below.attributes(name))
        else:
            archive.directory(name, Attributes(0o755, *owner))


def repacked(store: ImageStore, path: str, epoch: int) -> Layer:
    """An archive that somebody else made, as one of ours: sorted, without devices, of one time."""
    with tarfile.open(path) as source:
        members = sorted(source.getmembers(), key=lambda member: clean(member.name))
        layer = write(store, epoch, lambda archive: _add_members(archive, source, members))
    if layer is None:
        raise BuildError(f"{path} is empty")
    return layer


def _add_members(archive: Archive, source: tarfile.TarFile, members: Sequence[tarfile.TarInfo]) -> None:
    linked: dict[str, str] = {}
    for member in members:
        parts = clean(member.name)
        if not parts or parts[0] == "dev":
            continue
        name = "/".join(parts)
        attributes = Attributes(member.mode & 0o7777, member.uid, member.gid, _xattrs(member))
        if member.isdir():
            archive.directory(name, attributes)
        elif member.issym():
            archive.link(name, member.linkname, attributes)
        elif member.isreg() or member.islnk():
            file = member if member.isreg() else source.getmember(member.linkname)
            if file.name in linked:
                archive.hard_link(name, linked[file.name], attributes)
                continue
            linked[file.name] = name
            content = source.extractfile(file)
            assert content is not None
            archive.file(name, cast(BinaryIO, content), file.size, attributes)


def _xattrs(member: tarfile.TarInfo) -> dict[str, bytes]:
    prefix = "SCHILY.xattr."
    wanted = (prefix + "user.", prefix + "security.capability")
    return {
        key.removeprefix(prefix): value.encode("utf-8", "surrogateescape")
        for key, value in member.pax_headers.items()
        if key.startswith(wanted)
    }
