"""Places tar entries in a layer directory without ever leaving it.

Every path is resolved by openat2(2) with RESOLVE_IN_ROOT: a symbolic link in the archive, absolute or with dots,
leads back into the directory. The last component is never followed. Whiteouts of the OCI image specification
become overlayfs's: a device 0:0 for one name, an attribute for a whole directory.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from typing import BinaryIO, cast

from sampan.host import syscalls

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_OPAQUE_ATTRIBUTE = "trusted.overlay.opaque"
_XATTR = "SCHILY.xattr."
_XATTRS = ("user.", "security.capability")
_WHOLE = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip
_LARGEST_HEADER = 1 << 20
_LARGEST_FILE = 1 << 40  # a sparse entry may claim any size
_DEEPEST = 256
CHUNK = 1 << 20


class LayerError(ValueError):
    """An archive that is damaged, or that means to leave its directory."""


class Entry(tarfile.TarInfo):
    """Refuses headers that would fill the memory: long names and attributes are read as a whole."""

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _WHOLE and self.size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size} bytes")
        return cast(tarfile.TarInfo, super()._proc_member(tarfile_))  # type: ignore[misc]


def clean(name: str) -> tuple[str, ...]:
    """The components of an entry's name below the root. Raises LayerError for one that climbs or has NUL."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in name:
        raise LayerError(f"entry {name!r} leaves the layer's directory")
    if len(parts) > _DEEPEST:
        raise LayerError(f"entry {name[:64]!r}... is {len(parts)} directories deep")
    return parts


class Tree:
    """One layer's directory while it is filled. Close it at the end: directories get their times then."""

    def __init__(self, path: str) -> None:
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._parent: tuple[tuple[str, ...], int] = ((), os.dup(self._root))
        self._times: dict[tuple[str, ...], float] = {}
        self.size = 0

    def close(self) -> None:
        for parts, when in reversed(self._times.items()):
            try:
                descriptor = syscalls.open_inside(self._root, "/".join(parts) or ".", os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue  # replaced by a later entry
            os.utime(descriptor, (when, when))
            os.close(descriptor)
        os.close(self._parent[1])
        os.close(self._root)

    def add(self, entry: tarfile.TarInfo, content: BinaryIO | None) -> None:
        """Place one entry. Raises LayerError or OSError."""
        parts = clean(entry.name)
        if not parts:
            self._directory_attributes(self._root, entry, ())
            return
        parent, name = self._directory(parts[:-1]), parts[-1]
        if name == _OPAQUE:
            os.setxattr(parent, _OPAQUE_ATTRIBUTE, b"y")
        elif name.startswith(_WHITEOUT):
            self._whiteout(parent, name.removeprefix(_WHITEOUT))
        elif entry.isdir():
            self._make_directory(parent, name, entry, parts)
        else:
            self._replace(parent, name)
            self._make(parent, name, entry, content)

    def _directory(self, parts: tuple[str, ...]) -> int:
        """A descriptor of a directory, made with its parents when missing; the last one asked for is kept."""
        if self._parent[0] == parts:
            return self._parent[1]
        current = os.dup(self._root)
        for length in range(1, len(parts) + 1):
            path = "/".join(parts[:length])
            try:
                found = syscalls.open_inside(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                _mkdir(current, parts[length - 1])
                found = syscalls.open_inside(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
            except NotADirectoryError as error:
                os.close(current)
                raise LayerError(f"entry {'/'.join(parts)!r}: {path!r} is not a directory") from error
            os.close(current)
            current = found
        os.close(self._parent[1])
        self._parent = (parts, current)
        return current

    def _forget_parent(self) -> None:
        os.close(self._parent[1])
        self._parent = ((), os.dup(self._root))

    def _replace(self, parent: int, name: str) -> None:
        """A later entry takes the place of an earlier one."""
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            self._remove_tree(parent, name)
            self._forget_parent_unless(parent)
        else:
            os.unlink(name, dir_fd=parent)

    def _forget_parent_unless(self, parent: int) -> None:
        if self._parent[1] != parent:
            self._forget_parent()

    def _remove_tree(self, parent: int, name: str) -> None:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            for child in os.listdir(descriptor):
                if stat.S_ISDIR(os.stat(child, dir_fd=descriptor, follow_symlinks=False).st_mode):
                    self._remove_tree(descriptor, child)
                else:
                    os.unlink(child, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        os.rmdir(name, dir_fd=parent)

    def _whiteout(self, parent: int, name: str) -> None:
        """Hide a name of the layers below; what this layer itself has there stays."""
        if name in ("", ".", "..") or "/" in name:
            raise LayerError(f"invalid whiteout {name!r}")
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            os.mknod(name, stat.S_IFCHR | 0o600, os.makedev(0, 0), dir_fd=parent)
            return
        if stat.S_ISDIR(status.st_mode):
            _set_opaque(parent, name)

    def _make_directory(self, parent: int, name: str, entry: tarfile.TarInfo, parts: tuple[str, ...]) -> None:
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            if not stat.S_ISDIR(status.st_mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, 0o755, dir_fd=parent)
                if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                    _set_opaque(parent, name)
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            self._directory_attributes(descriptor, entry, parts)
        finally:
            os.close(descriptor)

    def _directory_attributes(self, descriptor: int, entry: tarfile.TarInfo, parts: tuple[str, ...]) -> None:
        if not entry.isdir():
            raise LayerError("the root of the layer is not a directory")
        _set_attributes(descriptor, entry)
        self._times[parts] = _time(entry)

    def _make(self, parent: int, name: str, entry: tarfile.TarInfo, content: BinaryIO | None) -> None:
        if entry.isreg():
            self._file(parent, name, entry, content)
        elif entry.issym():
            os.symlink(entry.linkname, name, dir_fd=parent)
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
            os.utime(name, (_time(entry), _time(entry)), dir_fd=parent, follow_symlinks=False)
        elif entry.islnk():
            self._link(parent, name, entry)
        elif entry.ischr() or entry.isblk() or entry.isfifo():
            self._node(parent, name, entry)
        else:
            raise LayerError(f"entry {entry.name!r} has the unknown type {entry.type!r}")

    def _file(self, parent: int, name: str, entry: tarfile.TarInfo, content: BinaryIO | None) -> None:
        if not 0 <= entry.size <= _LARGEST_FILE:
            raise LayerError(f"entry {entry.name!r} claims {entry.size} bytes")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=parent), "wb", buffering=0) as file:
            left = entry.size
            while left and content is not None:
                chunk = content.read(min(CHUNK, left))
                if not chunk:
                    raise LayerError(f"entry {entry.name!r} is cut short")
                file.write(chunk)
                left -= len(chunk)
            self.size += entry.size
            _set_attributes(file.fileno(), entry)
            os.utime(file.fileno(), (_time(entry), _time(entry)))

    def _link(self, parent: int, name: str, entry: tarfile.TarInfo) -> None:
        target = clean(entry.linkname)
        if not target:
            raise LayerError(f"entry {entry.name!r} links to the root")
        directory = self._open_target(entry, target[:-1])
        try:
            os.link(target[-1], name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EPERM):
                raise LayerError(f"entry {entry.name!r} links to {entry.linkname!r}, which cannot be linked") from error
            raise
        finally:
            os.close(directory)

    def _open_target(self, entry: tarfile.TarInfo, parts: tuple[str, ...]) -> int:
        try:
            return syscalls.open_inside(self._root, "/".join(parts) or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise LayerError(f"entry {entry.name!r} links to {entry.linkname!r}, which is missing") from error

    def _node(self, parent: int, name: str, entry: tarfile.TarInfo) -> None:
        kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK if entry.isblk() else stat.S_IFIFO
        device = 0 if entry.isfifo() else os.makedev(entry.devmajor, entry.devminor)
        os.mknod(name, kind | 0o600, device, dir_fd=parent)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.chmod(name, entry.mode & 0o7777, dir_fd=parent)


def _mkdir(parent: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=parent)
    except FileExistsError as error:
        # A link whose target is missing: nothing is made behind it.
        raise LayerError(f"{name!r} is a link that leads nowhere") from error


def _set_opaque(parent: int, name: str) -> None:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.setxattr(descriptor, _OPAQUE_ATTRIBUTE, b"y")
    finally:
        os.close(descriptor)


def _set_attributes(descriptor: int, entry: tarfile.TarInfo) -> None:
    """Owner before mode and attributes: chown drops setuid bits and file capabilities."""
    os.fchown(descriptor, entry.uid, entry.gid)
    os.fchmod(descriptor, entry.mode & 0o7777)
    for key, value in entry.pax_headers.items():
        name = key.removeprefix(_XATTR)
        if name != key and name.startswith(_XATTRS):
            os.setxattr(descriptor, name, value.encode("utf-8", "surrogateescape"))


def _time(entry: tarfile.TarInfo) -> float:
    return min(max(float(entry.mtime), 0.0), 2.0**40)
