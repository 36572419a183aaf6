"""Files of a tree that somebody else writes into at the same time. No symbolic link is ever followed.

Directories are opened one name at a time with O_NOFOLLOW, so a link that is put in the place of a directory while we
look leads to an error and not out of the tree. What is deeper than DEPTH is refused, and what is larger than it was is
not read to its end; clearing alone takes trees of any depth.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sampan import removal

DEPTH = 200
"""Directories within directories: each costs a descriptor and a call of ours."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class File(NamedTuple):
    path: str
    size: int


def normal(path: str) -> str:
    """A path below the tree's root, "" for the root. Raises ValueError for one that leads out."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                raise ValueError(f"{path} leads out of the workspace")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if path.startswith("/"):
        raise ValueError(f"{path} is outside of the workspace: write a path that begins in it")
    return "/".join(parts)


@contextlib.contextmanager
def opened(root: Path, path: str = "") -> Iterator[int]:
    """A directory of the tree. Raises OSError."""
    current = os.open(root, _DIRECTORY)
    try:
        for part in filter(None, path.split("/")):
            if part == "..":
                raise PermissionError(13, "leads out", path)
            inner = os.open(part, _DIRECTORY, dir_fd=current)
            os.close(current)
            current = inner
        yield current
    finally:
        os.close(current)


def open_file(root: Path, path: str) -> int:
    """A descriptor for reading. Raises OSError, ELOOP for a link."""
    directory, _, name = path.rpartition("/")
    if name in ("", ".", ".."):
        raise IsADirectoryError(21, "is a directory", path)
    with opened(root, directory) as parent:
        return os.open(name, _FILE, dir_fd=parent)


def files(root: Path, path: str = "", patterns: Sequence[str] = ("**",), excludes: Sequence[str] = ()) -> list[File]:
    """Regular files below `path` by Ant's patterns (`*`, `**`, `?`), sorted; links and all else are left out."""
    found: list[File] = []
    try:
        with opened(root, path) as start:
            for directory, names, inner, descriptor in os.fwalk(".", dir_fd=start, follow_symlinks=False):
                names[:] = sorted(name for name in names if name != ".git")
                if directory.count("/") > DEPTH:
                    raise _too_deep(directory)
                for name in inner:
                    whole = os.path.normpath(os.path.join(directory, name))
                    if not matches(whole, patterns) or matches(whole, excludes):
                        continue
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        found.append(File(whole, status.st_size))
    except FileNotFoundError:
        return []
    return sorted(found)


def matches(path: str, patterns: Sequence[str]) -> bool:
    return any(_pattern(each).fullmatch(path) for each in patterns)


@lru_cache(256)
def _pattern(text: str) -> re.Pattern[str]:
    """An Ant pattern: `dir/` is all below it, `**/` any directories, `*` and `?` stay within one.

    What lies between two stars is taken where it first fits, for good: then no pattern takes long.
    """
    text = text.strip().removeprefix("./")
    text = text + "**" if text.endswith("/") else text
    runs: list[list[str]] = [[]]
    for part in text.split("/"):
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(_name_pattern(part))
    if len(runs) == 1:
        return re.compile("/".join(runs[0]), re.DOTALL)
    first, *middle, last = runs
    made = "".join(f"{each}/" for each in first)
    for run in filter(None, middle):
        made += f"(?>(?:[^/]+/)*?{''.join(f'{each}/' for each in run)})"
    made += f"(?:[^/]+/)*?{'/'.join(last)}" if last else ".*"
    return re.compile(made, re.DOTALL)


def _name_pattern(part: str) -> str:
    first, *rest = (re.escape(each).replace(r"\?", "[^/]") for each in re.split(r"\*+", part))
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>[^/]*?{each})" for each in middle) + f"[^/]*{last}(?=/|\\Z)"


def read(root: Path, path: str, limit: int) -> bytes:
    """At most `limit` bytes of a regular file. Raises OSError."""
    descriptor = open_file(root, path)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(22, "is no regular file", path)
        return file.read(limit)


def copy(root: Path, path: str, found: Sequence[File], target: Path, limit: int) -> int:
    """Copy files into a tree of our own; `limit` bytes together at most. Returns the bytes. Raises OSError."""
    copied = 0
    for file in found:
        descriptor = open_file(root, f"{path}/{file.path}" if path else file.path)
        with open(descriptor, "rb") as source:
            status = os.fstat(descriptor)
            copied += status.st_size
            if copied > limit:
                raise OSError(27, f"more than {limit >> 20} MiB together", file.path)
            place = target / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(place, "wb") as written:
                _copy(source, written, status.st_size)
            os.chmod(place, stat.S_IMODE(status.st_mode) & 0o755)
    return copied


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> None:
    """What the file had when it was looked at: its writer may be quicker than we are, and go on for ever."""
    while size > 0 and (block := source.read(min(size, 1 << 20))):
        target.write(block)
        size -= len(block)


def snapshot(root: Path, target: Path, limit: int) -> None:
    """A copy of a whole tree, links as links, for those who must not see it change. Raises OSError."""
    target.mkdir(parents=True)
    room = [limit]
    with opened(root) as descriptor:
        _snapshot(descriptor, target, room)


def _snapshot(source: int, target: Path, room: list[int], depth: int = 0) -> None:
    if depth > DEPTH:
        raise _too_deep(str(target))
    for name in sorted(os.listdir(source)):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        place = target / name
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), place)
        elif stat.S_ISDIR(status.st_mode):
            if not depth and name == ".git":
                continue
            place.mkdir(mode=0o755)
            inner = os.open(name, _DIRECTORY, dir_fd=source)
            try:
                _snapshot(inner, place, room, depth + 1)
            finally:
                os.close(inner)
        elif stat.S_ISREG(status.st_mode):
            descriptor = os.open(name, _FILE, dir_fd=source)
            with open(descriptor, "rb") as file, open(place, "wb") as written:
                size = os.fstat(descriptor).st_size
                room[0] -= size
                if room[0] < 0:
                    raise OSError(27, "the workspace is too large", name)
                _copy(file, written, size)
            os.chmod(place, stat.S_IMODE(status.st_mode) & 0o755)
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))


def leads_out(root: Path) -> str:
    """The first link at the top of a tree (our own copy) that points out of it; "" when there is none."""
    base = os.path.realpath(root)
    for entry in sorted(os.scandir(root), key=lambda each: each.name):
        if entry.is_symlink() and not os.path.realpath(entry.path).startswith(base + os.sep):
            return entry.name
    return ""


def put(source: Path, root: Path, path: str = "") -> None:
    """Copy a tree of our own into one that others write into: links there are replaced, never followed."""
    with opened(root) as current:
        _put(source, _made(current, path))


def _made(current: int, path: str) -> int:
    """A descriptor of a directory below `current`, made when it is not there."""
    current = os.dup(current)
    for part in filter(None, path.split("/")):
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o755, dir_fd=current)
        try:
            inner = os.open(part, _DIRECTORY, dir_fd=current)
        finally:
            os.close(current)
        current = inner
    return current


def _put(source: Path, target: int, depth: int = 0) -> None:
    try:
        if depth > DEPTH:
            raise _too_deep(str(source))
        for entry in sorted(os.scandir(source), key=lambda each: each.name):
            if entry.is_dir(follow_symlinks=False):
                _put(Path(entry.path), _made(target, entry.name), depth + 1)
                continue
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.name, dir_fd=target)
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), entry.name, dir_fd=target)
                continue
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            mode = stat.S_IMODE(entry.stat().st_mode)
            with open(entry.path, "rb") as file, open(os.open(entry.name, flags, mode, dir_fd=target), "wb") as written:
                shutil.copyfileobj(file, written, 1 << 20)
    finally:
        os.close(target)


def clear(root: Path, path: str = "") -> None:
    """Remove all that is in a directory of the tree. Raises OSError, also when others write into it meanwhile."""
    try:
        with opened(root, path) as directory:
            removal.empty(directory)
    except FileNotFoundError:
        return


def _too_deep(path: str) -> OSError:
    return OSError(errno.ENAMETOOLONG, f"more than {DEPTH} directories within each other", path[:200])
