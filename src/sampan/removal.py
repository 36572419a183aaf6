"""Removing trees that others have made: of any depth, with few descriptors, and without following a link.

`shutil.rmtree` calls itself, and opens a descriptor, for each directory within another one: a pod that makes a thousand
of them would keep its node from ever removing it.
"""

from __future__ import annotations

import os
import secrets

DEPTH = 50
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(path: str | os.PathLike[str]) -> None:
    """A directory with all that is in it; nothing when there is none. Raises OSError."""
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        empty(top)
    finally:
        os.close(top)
    os.rmdir(path)


def empty(top: int) -> None:
    """All that is in an open directory. Raises OSError, also when others write into it meanwhile."""
    while _emptied(top, top, 0):
        pass


def _emptied(directory: int, top: int, depth: int) -> bool:
    """Whether something was too deep, and lies at the top now."""
    moved = False
    with os.scandir(directory) as found:
        entries = list(found)
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=directory)
        elif depth == DEPTH:
            os.rename(entry.name, f".{secrets.token_hex(8)}", src_dir_fd=directory, dst_dir_fd=top)
            moved = True
        else:
            inner = os.open(entry.name, _DIRECTORY, dir_fd=directory)
            try:
                moved |= _emptied(inner, top, depth + 1)
            finally:
                os.close(inner)
            os.rmdir(entry.name, dir_fd=directory)
    return moved
