"""Files that change all at once: readers see the old set or the new one, never a mixture.

    volume/..2026_01_02_03_04_05.123/a/b     the files of one version
    volume/..data -> ..2026_01_02_03_04_05.123
    volume/a      -> ..data/a

A rename of `..data` swaps the versions; the names that users see never change. Programs that watch mounted
configuration (and tests of Kubernetes) know this layout.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass

DATA = "..data"
_NEXT = "..data_tmp"


@dataclass(frozen=True, slots=True)
class File:
    """What one file holds and who may read it; -1 leaves owner or group as it is."""

    content: bytes
    mode: int = 0o644
    uid: int = -1
    gid: int = -1


Payload = Mapping[str, File]
"""Files by path below the volume, such as `ca.crt` or `tls/key.pem`."""


def check(path: str) -> None:
    """Raises ValueError for a path that would leave the volume or meet the names of the layout."""
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts:
        raise ValueError(f"invalid path {path!r}: it must be relative and must not contain '..'")
    if parts[0].startswith(".."):
        raise ValueError(f"invalid path {path!r}: it must not start with '..'")


def write(directory: str, payload: Payload, *, gid: int = -1) -> bool:
    """Make the directory hold exactly `payload`; returns whether anything changed. Raises OSError and ValueError.

    With `gid` the directories belong to that group, which may read them. What an interrupted write left is removed.
    """
    files = {os.path.normpath(path): file for path, file in payload.items()}
    for path in payload:
        check(path)
    os.makedirs(directory, exist_ok=True)
    _own_directory(directory, gid)
    current = _current(directory)
    if current and _same(f"{directory}/{current}", files) and _linked(directory, files):
        _clean(directory, current, files)
        return False
    version = _write_version(directory, files, gid)
    _swap(directory, version)
    for name in _names(files):
        link = f"{directory}/{name}"
        if not os.path.islink(link):
            os.symlink(f"{DATA}/{name}", link)
    _clean(directory, version, files)
    return True


def _own_directory(path: str, gid: int) -> None:
    """A group's directory hands the group on to what is made in it."""
    if gid < 0:
        mode = 0o755
    else:
        mode = 0o2755
        os.chown(path, -1, gid)
    os.chmod(path, mode)


def _names(files: Mapping[str, File]) -> set[str]:
    return {path.split("/", 1)[0] for path in files}


def _current(directory: str) -> str:
    try:
        version = os.readlink(f"{directory}/{DATA}")
    except FileNotFoundError:
        return ""
    return version if os.path.isdir(f"{directory}/{version}") else ""


def _linked(directory: str, files: Mapping[str, File]) -> bool:
    return all(os.path.islink(f"{directory}/{name}") for name in _names(files))


def _same(version: str, files: Mapping[str, File]) -> bool:
    found = set()
    for current, _, names in os.walk(version):
        for name in names:
            path = os.path.relpath(f"{current}/{name}", version)
            if path not in files or not _is(f"{current}/{name}", files[path]):
                return False
            found.add(path)
    return found == set(files)


def _is(path: str, file: File) -> bool:
    status = os.lstat(path)
    if stat.S_IMODE(status.st_mode) != file.mode or status.st_size != len(file.content):
        return False
    if file.uid not in (-1, status.st_uid) or file.gid not in (-1, status.st_gid):
        return False
    with open(path, "rb") as stream:
        return stream.read() == file.content


def _write_version(directory: str, files: Mapping[str, File], gid: int) -> str:
    now = time.time_ns()
    version = time.strftime("..%Y_%m_%d_%H_%M_%S", time.gmtime(now // 10**9)) + f".{now % 10**9:09d}"
    root = f"{directory}/{version}"
    os.mkdir(root)
    _own_directory(root, gid)
    for path, file in files.items():
        *parents, _ = path.split("/")
        for depth in range(len(parents)):
            parent = f"{root}/{'/'.join(parents[: depth + 1])}"
            if not os.path.isdir(parent):
                os.mkdir(parent)
                _own_directory(parent, gid)
        _write_file(f"{root}/{path}", file)
    return version


def _write_file(path: str, file: File) -> None:
    """The mode is set after the owner: changing the owner takes the setuid bits away."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(file.content)
        if file.uid >= 0 or file.gid >= 0:
            os.fchown(descriptor, file.uid, file.gid)
        os.fchmod(descriptor, file.mode)


def _swap(directory: str, version: str) -> None:
    following = f"{directory}/{_NEXT}"
    try:
        os.symlink(version, following)
    except FileExistsError:
        os.unlink(following)
        os.symlink(version, following)
    os.rename(following, f"{directory}/{DATA}")


def _clean(directory: str, version: str, files: Mapping[str, File]) -> None:
    """Remove names that users shall no longer see, and other versions."""
    keep = {DATA, version, *_names(files)}
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        if name in keep:
            continue
        if os.path.islink(path):
            os.unlink(path)
        elif name.startswith(".."):
            shutil.rmtree(path)
