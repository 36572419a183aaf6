"""Digests of files, remembered by what tells that a file has not changed: device, inode, size, times.

Reading them all again would cost an unchanged build most of its time. A file changed within the last moment is
not remembered: another change could look the same.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import BinaryIO

import msgspec

_TICK = 50_000_000  # nanoseconds; a file system's clock ticks every 10 ms or faster
_CHUNK = 1 << 20


class _Kept(msgspec.Struct, array_like=True):
    stamp: tuple[int, ...]
    digest: str


class Digests:
    """Of one context. `save` keeps what was asked for this time, and nothing else."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            with open(path, "rb") as file:
                self._before = msgspec.json.decode(file.read(), type=dict[str, _Kept])
        except (FileNotFoundError, msgspec.DecodeError):
            self._before = {}
        self._now: dict[str, _Kept] = {}
        self._changed = False

    def of(self, path: str, name: str, status: os.stat_result) -> str:
        """The SHA-256 in hexadecimal of the file at `path`, which the context knows as `name`. Raises OSError."""
        stamp = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = self._before.get(name)
        if known is not None and known.stamp == stamp:
            self._now[name] = known
            return known.digest
        with open(path, "rb") as file:
            digest = of_stream(file)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _TICK:
            self._now[name] = _Kept(stamp, digest)
            self._changed = True
        return digest

    def save(self) -> None:
        if not self._changed and len(self._now) == len(self._before):
            return
        temporary = f"{self._path}.{os.getpid()}.new"
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(msgspec.json.encode(self._now))
        os.replace(temporary, self._path)


def of_stream(file: BinaryIO) -> str:
    found = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()
