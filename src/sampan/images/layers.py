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

from sampan.images.content import CHUNK, DigestMismatch
from sampan.images.entries import LayerError, Tree

_SHORT = 24  # hexadecimal digits of the diffID; the whole one stands in the file beside
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_NEW = ".new-"


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
        try:
            with open(f"{self._place(diff_id)}/diff-id", encoding="ascii") as file:
                return file.read().split()[0] == diff_id
        except FileNotFoundError:
            return False

    def size(self, diff_id: str) -> int:
        """Bytes in its files."""
        with open(f"{self._place(diff_id)}/diff-id", encoding="ascii") as file:
            return int(file.read().split()[1])

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
            try:
                os.rename(temporary, self._place(diff_id))
            except OSError:
                if not self.has(diff_id):  # else another unpacked the same meanwhile
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return size

    def remove(self, diff_id: str) -> int:
        """Delete; returns bytes freed. Idempotent."""
        if not self.has(diff_id):
            return 0
        size = self.size(diff_id)
        doomed = f"{self.directory}/{_NEW}{os.urandom(8).hex()}"
        os.rename(self._place(diff_id), doomed)
        shutil.rmtree(doomed)
        return size

    def known(self) -> list[str]:
        found = []
        for name in os.listdir(self.directory):
            if not name.startswith(_NEW):
                with open(f"{self.directory}/{name}/diff-id", encoding="ascii") as file:
                    found.append(file.read().split()[0])
        return found

    def discard_partial(self) -> None:
        """Delete what interrupted unpacking left; for the start, when none is at work."""
        for name in os.listdir(self.directory):
            if name.startswith(_NEW):
                shutil.rmtree(f"{self.directory}/{name}")


def extract(stream: BinaryIO, directory: str) -> tuple[str, int]:
    """Unpack an archive into an empty directory; returns (digest of the uncompressed bytes, bytes in files)."""
    source = Hashing(decompressed(stream))
    tree = Tree(directory)
    try:
        with tarfile.open(fileobj=cast(BinaryIO, source), mode="r|", bufsize=CHUNK) as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() else None
                tree.add(entry, cast("BinaryIO | None", content))
        while source.read(CHUNK):  # what follows the end of the archive counts for the digest
            pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeError, OverflowError) as error:
        raise LayerError(f"damaged layer archive: {error}") from error
    except LayerError:
        raise
    except (ValueError, IndexError, KeyError, MemoryError) as error:  # what tarfile lets through of bad headers
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
        import zstandard  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise LayerError("the layer is compressed with zstd: pip install zstandard") from error
    return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(stream, read_across_frames=True))


def diff_id(stream: BinaryIO) -> str:
    """The digest of the uncompressed bytes."""
    source = Hashing(decompressed(stream))
    while source.read(CHUNK):
        pass
    return f"sha256:{source.digest()}"
