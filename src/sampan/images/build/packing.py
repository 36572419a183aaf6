"""A layer's archive, written straight into the content store: the same entries give the same bytes.

Entries come sorted, times are one given second, owners are numbers without names (PAX, so that none is cut).
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, cast

from sampan.images.content import CHUNK, Content, Writer

_XATTR = "SCHILY.xattr."
_XATTRS = ("user.", "security.capability")
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an entry has besides its content; `mode` without the type."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    xattrs: Mapping[str, bytes] = field(default_factory=dict)


ROOT = Attributes()


class Archive:
    """One layer. `written` counts its entries; leaving the block without `commit` keeps nothing."""

    def __init__(self, content: Content, epoch: int) -> None:
        self._writer: Writer = content.writer()
        sink = cast(BinaryIO, io.BufferedWriter(_Sink(self._writer), CHUNK))
        self._tar = tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK)  # noqa: SIM115
        self._sink = sink
        self._epoch = epoch
        self._ended = False
        self.written = 0

    def __enter__(self) -> Archive:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self._ended:  # what it still has to write goes to a file that is dropped
                with contextlib.suppress(OSError):
                    self._tar.close()
                    self._sink.flush()
        finally:
            self._writer.__exit__(kind, error, trace)

    def commit(self) -> tuple[str, int]:
        """End the archive; returns (digest, size). The digest is the layer's diffID as well: it is not compressed."""
        self._ended = True
        self._tar.close()
        self._sink.flush()
        size = self._writer.written
        return self._writer.commit(), size

    def directory(self, name: str, attributes: Attributes = ROOT) -> None:
        self._add(self._member(name, tarfile.DIRTYPE, attributes))

    def link(self, name: str, target: str, attributes: Attributes = ROOT) -> None:
        """A symbolic link."""
        member = self._member(name, tarfile.SYMTYPE, attributes)
        member.linkname = target
        self._add(member)

    def hard_link(self, name: str, target: str, attributes: Attributes) -> None:
        """Another name for what has been added as `target`."""
        member = self._member(name, tarfile.LNKTYPE, attributes)
        member.linkname = target
        self._add(member)

    def file(self, name: str, content: BinaryIO, size: int, attributes: Attributes = ROOT) -> None:
        member = self._member(name, tarfile.REGTYPE, attributes)
        member.size = size
        self._add(member, content)

    def data(self, name: str, data: bytes, attributes: Attributes) -> None:
        self.file(name, io.BytesIO(data), len(data), attributes)

    def node(self, name: str, status: os.stat_result, attributes: Attributes) -> None:
        """A device or a fifo."""
        kinds = {stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE, stat.S_IFIFO: tarfile.FIFOTYPE}
        kind = kinds[stat.S_IFMT(status.st_mode)]
        member = self._member(name, kind, attributes)
        if kind != tarfile.FIFOTYPE:
            member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        self._add(member)

    def whiteout(self, directory: str, name: str) -> None:
        """Hide a name of the layers below."""
        self.data(_join(directory, WHITEOUT + name), b"", Attributes(0o600))

    def opaque(self, directory: str) -> None:
        """Hide all that the layers below have in a directory."""
        self.data(_join(directory, OPAQUE), b"", Attributes(0o600))

    def _member(self, name: str, kind: bytes, attributes: Attributes) -> tarfile.TarInfo:
        member = tarfile.TarInfo(name)
        member.type = kind
        member.mode = attributes.mode & 0o7777
        member.uid, member.gid = attributes.uid, attributes.gid
        member.mtime = self._epoch
        member.pax_headers = {
            _XATTR + key: value.decode("utf-8", "surrogateescape") for key, value in sorted(attributes.xattrs.items())
        }
        return member

    def _add(self, member: tarfile.TarInfo, content: BinaryIO | None = None) -> None:
        self._tar.addfile(member, content)
        self._tar.members = []  # type: ignore[attr-defined]  # a stream needs no list of what went by
        self.written += 1


class _Sink(io.RawIOBase):
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        chunk = bytes(cast(bytes, data))
        self._writer.write(chunk)
        return len(chunk)


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def attributes(status: os.stat_result, xattrs: Mapping[str, bytes] | None = None) -> Attributes:
    return Attributes(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, xattrs or {})


def xattrs(descriptor_or_path: int | str, *, follow: bool = True) -> dict[str, bytes]:
    """The extended attributes that belong into a layer: file capabilities, and those of users."""
    try:
        names = os.listxattr(descriptor_or_path, follow_symlinks=follow)
    except OSError:  # a file system without any
        return {}
    return {
        name: os.getxattr(descriptor_or_path, name, follow_symlinks=follow)
        for name in names
        if name.startswith(_XATTRS)
    }
