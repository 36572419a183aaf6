"""Unpacked layers: one directory per diffID, shared by all images and never written again.

A layer is unpacked beside its place, its diffID checked against the uncompressed bytes, and then renamed, so that
a directory that exists is whole. Directory names are short, because overlayfs takes all of them in one page.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import tarfile
import zlib
from typing import BinaryIO, cast

from sampan import removal
from sampan.images.content import CHUNK, DigestMismatch
from sampan.images.entries import Entry, LayerError, Tree

_SHORT = 24  # hexadecimal digits of the diffID; the whole one stands in the file beside
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_NEW = ".new-"
_BUFFER = 64 << 10  # tarfile copies what is left of it with every read


DAMAGE = (
    tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, IndexError, KeyError, OverflowError,
    MemoryError, RecursionError,
)  # fmt: skip
"""What tarfile and the decompressors raise for bytes that are no archive."""


class Layers:
    def __init__(self, root: str) -> None:
        self.directory = f"{root}/layers"
        os.makedirs(self.directory, mode=0o711, exist_ok=True)

    def path(self, diff_id: str) -> str:
        """The directory with the layer's files."""
        return f"{self._place(diff_id)}/fs"

    def _place(self, diff_id: str) -> str:
        return f"{self.directory}/{diff_id.removeprefix('sha256:')[:_SHORT]}"

    def has(self, diff_id: str) -> bool:
        note = _note(self._place(diff_id))
        return note is not None and note[0] == diff_id

    def size(self, diff_id: str) -> int:
        """Bytes in its files. Raises FileNotFoundError."""
        note = _note(self._place(diff_id))
        if note is None:
            raise FileNotFoundError(f"layer {diff_id} is not here")
        return note[1]

    def unpack(self, stream: BinaryIO, diff_id: str) -> int:
        """Unpack a layer's archive, plain or compressed; returns bytes in files. Blocking.

        Raises LayerError for a bad archive, DigestMismatch when its content is not what `diff_id` says.
        """
        if self.has(diff_id):
            return self.size(diff_id)
        temporary = f"{self.directory}/{_NEW}{os.urandom(8).hex()}"
        os.makedirs(f"{temporary}/fs", mode=0o755)
        try:
            found, size = extract(stream, f"{temporary}/fs")
            if found != diff_id:
                raise DigestMismatch(f"layer has diffID {found}, the image's configuration says {diff_id}")
            with open(f"{temporary}/diff-id", "w", encoding="ascii") as file:
                file.write(f"{diff_id} {size}\n")
            self._settle(temporary, diff_id)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return size

    def _settle(self, temporary: str, diff_id: str) -> None:
        try:
            os.rename(temporary, self._place(diff_id))
        except OSError:
            if self.has(diff_id):  # another unpacked the same meanwhile
                return
            self._discard(self._place(diff_id))  # a power loss left it without a note
            os.rename(temporary, self._place(diff_id))

    def _discard(self, place: str) -> None:
        doomed = f"{self.directory}/{_NEW}{os.urandom(8).hex()}"
        os.rename(place, doomed)
        removal.remove(doomed)

    def remove(self, diff_id: str) -> int:
        """Delete; returns bytes freed. Idempotent."""
        if not self.has(diff_id):
            return 0
        size = self.size(diff_id)
        self._discard(self._place(diff_id))
        return size

    def known(self) -> list[str]:
        notes = [_note(f"{self.directory}/{name}") for name in os.listdir(self.directory) if not name.startswith(_NEW)]
        return [note[0] for note in notes if note is not None]

    def discard_partial(self) -> None:
        """Delete what interrupted unpacking left; for the start, when none is at work."""
        for name in os.listdir(self.directory):
            if name.startswith(_NEW) or _note(f"{self.directory}/{name}") is None:
                removal.remove(f"{self.directory}/{name}")


def _note(place: str) -> tuple[str, int] | None:
    """(diffID, bytes) of the file beside a layer; None without a whole one."""
    try:
        with open(f"{place}/diff-id", encoding="ascii") as file:
            words = file.read(256).split()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return (words[0], int(words[1])) if len(words) == 2 and words[1].isdigit() else None


def extract(stream: BinaryIO, directory: str) -> tuple[str, int]:
    """Unpack an archive into an empty directory; returns (digest of the uncompressed bytes, bytes in files)."""
    source = Hashing(decompressed(stream))
    tree = Tree(directory)
    try:
        with tarfile.open(fileobj=cast(BinaryIO, source), mode="r|", bufsize=_BUFFER, tarinfo=Entry) as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() else None
                tree.add(entry, cast("BinaryIO | None", content))
        while source.read(CHUNK):  # what follows the end of the archive counts for the digest
            pass
    except LayerError:
        raise
    except DAMAGE as error:
        raise LayerError(f"damaged layer archive: {error}") from error
    except OSError as error:
        raise LayerError(f"cannot unpack layer: {error}") from error
    finally:
        tree.close()
    return f"sha256:{source.digest()}", tree.size


class Hashing:
    """A reader that hashes what it hands on."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        return self._hash.hexdigest()


def decompressed(stream: BinaryIO) -> BinaryIO:
    """The stream without its compression, found by its first bytes. Raises LayerError for zstd without its module."""
    buffered = stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, stream), CHUNK)
    magic = buffered.peek(4)[:4]
    if magic.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=buffered))
    if magic == _ZSTD:
        return _zstd(buffered)
    return buffered


def _zstd(stream: BinaryIO) -> BinaryIO:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
    except ImportError:
        pass
    else:
        return cast(BinaryIO, _Checked(zstd.ZstdFile(stream), zstd.ZstdError))
    try:
        import zstandard  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise LayerError("it is compressed with zstd: pip install zstandard") from error
    reader = zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True)
    return cast(BinaryIO, _Checked(reader, zstandard.ZstdError))


class _Checked:
    """A decompressing reader whose own kind of error becomes ours."""

    def __init__(self, stream: BinaryIO, failure: type[Exception]) -> None:
        self._stream = stream
        self._failure = failure

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except self._failure as error:
            raise LayerError(f"damaged zstd stream: {error}") from error


def diff_id(stream: BinaryIO) -> str:
    """The digest of the uncompressed bytes."""
    source = Hashing(decompressed(stream))
    while source.read(CHUNK):
        pass
    return f"sha256:{source.digest()}"
