"""The merged view of a stack of layers, mounted where needed, and questions about what is in it.

Every path is resolved inside the view (openat2 with RESOLVE_IN_ROOT): links of an image never lead to the host.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sampan.host import mounts, syscalls
from sampan.images.build import packing
from sampan.images.build.packing import Attributes


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A directory tree; `descriptor` is open on its root, which is mounted at `path`."""

    path: str
    descriptor: int

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        """Raises OSError."""
        return syscalls.open_inside(self.descriptor, path or ".", flags)

    def is_directory(self, path: str) -> bool:
        status = self.status(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def status(self, path: str) -> os.stat_result | None:
        """Of what a path leads to, links followed; None when it leads nowhere."""
        try:
            descriptor = self.open(path, os.O_PATH)
        except OSError:
            return None
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def attributes(self, path: str) -> Attributes:
        """Of a directory that exists. Raises OSError."""
        descriptor = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return packing.attributes(os.fstat(descriptor), packing.xattrs(descriptor))
        finally:
            os.close(descriptor)

    def resolve(self, path: str) -> str:
        """Where a path leads when links are followed, without leading slash; the part that is missing is kept."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        for length in range(len(parts), 0, -1):
            found = self._real("/".join(parts[:length]))
            if found is not None:
                return "/".join(part for part in (found, *parts[length:]) if part)
        return "/".join(parts)

    def _real(self, path: str) -> str | None:
        try:
            descriptor = self.open(path, os.O_PATH)
        except OSError:
            return None
        try:
            where = os.readlink(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        root = os.readlink(f"/proc/self/fd/{self.descriptor}")
        return where[len(root.rstrip("/")) :].strip("/")

    def read(self, path: str, limit: int = 1 << 20) -> str:
        """The text of a regular file; "" when there is none."""
        try:
            descriptor = self.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return ""
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            return file.read(limit).decode(errors="replace")


@contextlib.contextmanager
def opened(path: str) -> Iterator[Rootfs]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Rootfs(path, descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def merged(layers: Sequence[str], place: str) -> Iterator[Rootfs]:
    """The layers' directories (from the top to the bottom) as one, read-only, for as long as the block runs.

    `place` is a directory of ours to mount below.
    """
    os.makedirs(f"{place}/view", exist_ok=True)
    # an overlay without upper directory takes two layers or more
    os.makedirs(f"{place}/empty", exist_ok=True)
    lower = [*layers, f"{place}/empty"] if layers else []
    if not lower:
        with opened(f"{place}/empty") as found:
            yield found
        return
    mounts.overlay(f"{place}/view", lower, "", "")
    try:
        with opened(f"{place}/view") as found:
            yield found
    finally:
        mounts.unmount(f"{place}/view")
