"""What a command changed: the upper directory of its overlay as a layer.

Deleted names are devices 0:0 there, replaced directories carry an attribute (the kernel's overlayfs.rst); both
become whiteouts of the OCI image specification.
"""

from __future__ import annotations

import os
import stat

from sampan.images.build import packing
from sampan.images.build.errors import BuildError
from sampan.images.build.packing import Archive

_OPAQUE = "trusted.overlay.opaque"
_REDIRECT = "trusted.overlay.redirect"


def pack(upper: str, archive: Archive) -> None:
    """Add all that is below `upper`, sorted. Sockets are left out. Raises BuildError, OSError."""
    _Difference(archive).directory(upper, "")


class _Difference:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._seen: dict[tuple[int, int], str] = {}

    def directory(self, path: str, name: str) -> None:
        if _marked(path, _REDIRECT):
            raise BuildError(f"the kernel moved the directory /{name} by reference", "turn overlay's redirect_dir off")
        if name and _marked(path, _OPAQUE):
            self._archive.opaque(name)
        with os.scandir(path) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        for entry in found:
            self._entry(entry, f"{name}/{entry.name}" if name else entry.name, name)

    def _entry(self, entry: os.DirEntry[str], name: str, parent: str) -> None:
        status = entry.stat(follow_symlinks=False)
        mode = status.st_mode
        if stat.S_ISCHR(mode) and status.st_rdev == 0:
            self._archive.whiteout(parent, entry.name)
            return
        if entry.name.startswith(packing.WHITEOUT):
            raise BuildError(f"a file cannot be called /{name}", "names that begin with .wh. mean deletion in an image")
        attributes = packing.attributes(status, packing.xattrs(entry.path, follow=False))
        if stat.S_ISDIR(mode):
            self._archive.directory(name, attributes)
            self.directory(entry.path, name)
        elif stat.S_ISSOCK(mode):
            return
        elif status.st_nlink > 1 and (status.st_dev, status.st_ino) in self._seen:
            self._archive.hard_link(name, self._seen[status.st_dev, status.st_ino], attributes)
        else:
            if status.st_nlink > 1:
                self._seen[status.st_dev, status.st_ino] = name
            self._file(entry.path, name, status, attributes)

    def _file(self, path: str, name: str, status: os.stat_result, attributes: packing.Attributes) -> None:
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                self._archive.file(name, file, status.st_size, attributes)
        elif stat.S_ISLNK(status.st_mode):
            self._archive.link(name, os.readlink(path), attributes)
        else:
            self._archive.node(name, status, attributes)


def _marked(path: str, attribute: str) -> bool:
    try:
        return os.getxattr(path, attribute, follow_symlinks=False) != b"n"
    except OSError:
        return False
