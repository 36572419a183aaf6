"""The content store: blobs by digest, `blobs/sha256/<hex>`, as in the OCI image layout.

A blob is verified while it is written, synced, and then renamed to its place: what is there is whole and right.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import BinaryIO

from sampan.images.reference import is_digest

CHUNK = 1 << 20
_PARTIAL = ".partial-"


class DigestMismatch(ValueError):
    """Content is not what its digest says."""


class Content:
    def __init__(self, root: str) -> None:
        self.directory = f"{root}/blobs/sha256"
        os.makedirs(self.directory, exist_ok=True)

    def path(self, digest: str) -> str:
        """Where a blob is or would be. Raises ValueError for what is not a SHA-256 digest."""
        if not is_digest(digest) or not digest.startswith("sha256:"):
            raise ValueError(f"digest {digest!r} is not supported")
        return f"{self.directory}/{digest[7:]}"

    def has(self, digest: str) -> bool:
        return os.path.exists(self.path(digest))

    def size(self, digest: str) -> int:
        return os.path.getsize(self.path(digest))

    def read(self, digest: str, limit: int = 64 << 20) -> bytes:
        """A whole small blob (a manifest, a configuration). Raises FileNotFoundError; ValueError past `limit`."""
        with open(self.path(digest), "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ValueError(f"blob {digest} is larger than {limit} bytes")
        return data

    def open(self, digest: str) -> BinaryIO:
        return open(self.path(digest), "rb")

    def writer(self, resume: str = "") -> Writer:
        """A new blob. With `resume`, a name under which an interrupted download is kept; `recover` goes on with it."""
        return Writer(self, resume)

    def put(self, data: bytes | Iterable[bytes], digest: str = "") -> str:
        """Store and return the digest. Raises DigestMismatch when it is not the expected one."""
        with self.writer() as writer:
            for chunk in (data,) if isinstance(data, bytes) else data:
                writer.write(chunk)
            return writer.commit(digest)

    def put_file(self, file: BinaryIO, digest: str = "") -> str:
        return self.put(iter(lambda: file.read(CHUNK), b""), digest)

    def remove(self, digest: str) -> int:
        """Delete; returns bytes freed. Idempotent."""
        path = self.path(digest)
        try:
            size = os.path.getsize(path)
            os.unlink(path)
        except FileNotFoundError:
            return 0
        return size

    def digests(self) -> Iterator[str]:
        for name in os.listdir(self.directory):
            if not name.startswith(_PARTIAL):
                yield f"sha256:{name}"

    def discard_partial(self) -> None:
        """Delete what interrupted writers left; for the start, when none is at work."""
        for name in os.listdir(self.directory):
            if name.startswith(_PARTIAL):
                os.unlink(f"{self.directory}/{name}")


class Writer:
    """Writes one blob. Leaving the block without `commit` keeps a resumable part and deletes any other."""

    def __init__(self, content: Content, resume: str) -> None:
        self._content = content
        self._resume = resume
        self._path = f"{content.directory}/{_PARTIAL}{resume or os.urandom(8).hex()}"
        self._hash = hashlib.sha256()
        self._file: BinaryIO = open(self._path, "a+b" if resume else "w+b")  # noqa: SIM115  closed in __exit__
        self._done = False
        self.written = 0

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        interrupted = kind is not None and not issubclass(kind, DigestMismatch)
        if not self._done and not (self._resume and interrupted and self.written):
            os.unlink(self._path)

    def recover(self) -> None:
        """Take up what an interrupted download left: it is read again for its hash."""
        self._file.seek(0)
        while chunk := self._file.read(CHUNK):
            self._hash.update(chunk)
            self.written += len(chunk)

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)
        self.written += len(data)

    def restart(self) -> None:
        """Forget what was written: the other side does not resume."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.written = 0

    def commit(self, digest: str = "") -> str:
        """Sync, check and name the blob; returns its digest."""
        found = f"sha256:{self._hash.hexdigest()}"
        if digest and found != digest:
            raise DigestMismatch(f"content has digest {found}, expected {digest}")
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self._path, self._content.path(found))
        self._done = True
        return found
