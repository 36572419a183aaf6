"""Where copied things go in the image, and the archive that puts them there.

The destination is resolved in the image below: links to directories are followed, directories that are there keep
their attributes, and those that are missing are made.
"""

from __future__ import annotations

import posixpath
import stat
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, cast

from sampan.images.build import owners, packing
from sampan.images.build.errors import BuildError
from sampan.images.build.packing import Archive, Attributes
from sampan.images.build.rootfs import Rootfs
from sampan.images.build.selection import Item
from sampan.images.entries import LayerError, clean
from sampan.images.layers import DAMAGE, decompressed


@dataclass(frozen=True, slots=True)
class Piece:
    """One source: files of a directory, a single file, a here-document (`data`), or an archive to unpack.

    `items` are a tree's below `root`; `name` is what a single file is called in a directory.
    """

    name: str
    root: str = ""
    directory: bool = False
    items: Sequence[Item] = ()
    data: bytes | None = None
    archive: bool = False
    prefix: str = ""
    default: Attributes | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """`target` is absolute; a trailing slash says that it is a directory. `own` is what `--chown` said."""

    target: str
    own: str = ""
    mode: str = ""
    pieces: Sequence[Piece] = ()
    keep_xattrs: bool = False


@dataclass(slots=True)
class _Entry:
    attributes: Attributes
    item: Item | None = None
    root: str = ""
    data: bytes | None = None


@dataclass(slots=True)
class Placing:
    """Collects entries by their final names, then writes them, parents first."""

    rootfs: Rootfs
    wish: Wish
    owner: tuple[int, int] = (0, 0)
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _resolved: dict[str, str] = field(default_factory=dict)
    _archives: list[tuple[str, str]] = field(default_factory=list)
    _made: set[str] = field(default_factory=set)

    def write(self, archive: Archive) -> None:
        """Raises BuildError, OSError."""
        if self.wish.own:
            self.owner = owners.owner(self.wish.own, self.rootfs)
        into = self.wish.target.endswith("/")
        target = self._directory(self.wish.target.strip("/"))
        for piece in self.wish.pieces:
            self._place(piece, target, into)
        for name in sorted(self._entries, key=_order):
            self._add(archive, name, self._entries[name])
        for path, directory in self._archives:
            self._unpack(archive, path, directory)

    def _directory(self, path: str) -> str:
        """Where a path leads in the image below, remembered."""
        if path not in self._resolved:
            self._resolved[path] = self.rootfs.resolve(path)
        return self._resolved[path]

    def _place(self, piece: Piece, target: str, into: bool) -> None:
        if piece.archive:
            self._parents(f"{target}/x" if target else "x")
            self._archives.append((f"{piece.root}/{piece.items[0].path}", target))
            return
        if piece.directory or piece.prefix:
            base = posixpath.join(target, piece.prefix) if piece.prefix else target
            for item in piece.items:
                self._item(piece, item, posixpath.join(base, item.name).rstrip("/"))
            return
        name = posixpath.join(target, piece.name) if into or self.rootfs.is_directory(target) else target
        if not name:
            raise BuildError("a file cannot become the root directory", "end the destination with a name or a slash")
        if piece.data is not None:
            self._put(name, _Entry(self._attributes(Attributes(0o644), False), data=piece.data), False)
        for item in piece.items:
            self._item(piece, item, name)

    def _item(self, piece: Piece, item: Item, name: str) -> None:
        attributes = packing.attributes(item.status)
        if piece.default is not None and item.name == "":
            attributes = piece.default
        if self.wish.keep_xattrs and not stat.S_ISLNK(item.status.st_mode):
            attributes = replace(attributes, xattrs=packing.xattrs(f"{piece.root}/{item.path}", follow=False))
        if item.directory and not item.name and (not name or self.rootfs.is_directory(name)):
            self._parents(f"{name}/x" if name else "x")
            return  # the destination itself is there and keeps what it has
        self._put(name, _Entry(self._attributes(attributes, item.directory), item, piece.root), item.directory)

    def _attributes(self, before: Attributes, directory: bool) -> Attributes:
        mode = owners.mode(self.wish.mode, before.mode, directory=directory) if self.wish.mode else before.mode
        return replace(before, mode=mode, uid=self.owner[0], gid=self.owner[1])

    def _put(self, name: str, entry: _Entry, directory: bool) -> None:
        parent, _, last = name.rpartition("/")
        name = posixpath.join(self._directory(parent), last) if parent else last
        status = self.rootfs.status(name)
        if directory and status is not None:
            if not stat.S_ISDIR(status.st_mode):
                raise BuildError(f"/{name} is a file in the image", "a directory cannot take its place: remove it")
            name = self._directory(name)
        elif status is not None and stat.S_ISDIR(status.st_mode) and not _is_link(entry):
            raise BuildError(f"/{name} is a directory in the image", "a file cannot take its place: remove it")
        self._parents(name)
        self._entries[name] = entry

    def _parents(self, name: str) -> None:
        """Entries for the directories above: what they are below, or new ones."""
        parent = posixpath.dirname(name)
        while parent and parent not in self._entries:
            if self.rootfs.is_directory(parent):
                found = self.rootfs.attributes(parent)
            elif self.rootfs.status(parent) is not None:
                raise BuildError(f"/{parent} is a file in the image", "a directory cannot take its place: remove it")
            else:
                found = Attributes(0o755, *self.owner)
            self._entries[parent] = _Entry(found)
            parent = posixpath.dirname(parent)

    def _add(self, archive: Archive, name: str, entry: _Entry) -> None:
        item = entry.item
        if entry.data is not None:
            archive.data(name, entry.data, entry.attributes)
        elif item is None or item.directory:
            archive.directory(name, entry.attributes)
        elif item.link:
            archive.link(name, item.link, replace(entry.attributes, mode=0o777))
        elif stat.S_ISREG(item.status.st_mode):
            with open(f"{entry.root}/{item.path}", "rb") as file:
                archive.file(name, file, item.status.st_size, entry.attributes)
        else:
            archive.node(name, item.status, entry.attributes)

    def _unpack(self, archive: Archive, path: str, directory: str) -> None:
        """ADD of an archive: its entries below `directory`, in their order, with their own owners."""
        with open(path, "rb") as file:
            try:
                with tarfile.open(fileobj=_tar_stream(file), mode="r|") as source:
                    for member in source:
                        self._member(archive, source, member, directory)
            except (*DAMAGE, LayerError) as error:
                raise BuildError(f"{posixpath.basename(path)} is a damaged archive: {error}") from error

    def _member(self, archive: Archive, source: tarfile.TarFile, member: tarfile.TarInfo, directory: str) -> None:
        parts = clean(member.name)
        if not parts or not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            return
        if parts[-1].startswith(packing.WHITEOUT):
            raise BuildError(f"{member.name} cannot be added", "names that begin with .wh. mean deletion in an image")
        name = posixpath.join(directory, *parts)
        parent, _, last = name.rpartition("/")
        name = posixpath.join(self._directory(parent), last) if parent else last
        self._archive_parents(archive, posixpath.dirname(name))
        attributes = Attributes(member.mode & 0o7777, member.uid, member.gid)
        if self.wish.own:
            attributes = replace(attributes, uid=self.owner[0], gid=self.owner[1])
        if self.wish.mode:
            mode = owners.mode(self.wish.mode, attributes.mode, directory=member.isdir())
            attributes = replace(attributes, mode=mode)
        if member.isdir():
            name = self._directory(name) if self.rootfs.is_directory(name) else name
            self._made.add(name)
            archive.directory(name, attributes)
        elif member.issym():
            archive.link(name, member.linkname, attributes)
        elif member.islnk():
            archive.hard_link(name, posixpath.join(directory, *clean(member.linkname)), attributes)
        else:
            content = source.extractfile(member)
            assert content is not None
            archive.file(name, cast(BinaryIO, content), member.size, attributes)

    def _archive_parents(self, archive: Archive, directory: str) -> None:
        """Directories of the image below keep their attributes when an archive has something in them."""
        parents = []
        while directory and directory not in self._made and directory not in self._entries:
            self._made.add(directory)
            parents.append(directory)
            directory = posixpath.dirname(directory)
        for parent in reversed(parents):
            if self.rootfs.is_directory(parent):
                archive.directory(parent, self.rootfs.attributes(parent))


def _is_link(entry: _Entry) -> bool:
    return entry.item is not None and bool(entry.item.link)


def _order(name: str) -> tuple[str, ...]:
    return tuple(name.split("/"))


def is_archive(path: str) -> bool:
    """Whether a file is a tar archive, plain or compressed, by its content."""
    try:
        with open(path, "rb") as file, tarfile.open(fileobj=_tar_stream(file), mode="r|") as archive:
            return archive.next() is not None
    except (*DAMAGE, LayerError, OSError):
        return False


def _tar_stream(file: BinaryIO) -> BinaryIO:
    head = file.read(6)
    file.seek(0)
    if head.startswith(b"BZh"):
        import bz2

        return cast(BinaryIO, bz2.BZ2File(file))
    if head == b"\xfd7zXZ\x00":
        import lzma

        return cast(BinaryIO, lzma.LZMAFile(file))
    return decompressed(file)
