"""Paths inside a volume, which belongs to whoever fills it: resolved by the kernel, never past the volume's root.

openat2(2) with RESOLVE_BENEATH refuses `..` and symbolic links that lead out, absolute ones included.
"""

from __future__ import annotations

import ctypes
import os
import stat

from sampan.host import syscalls

_OPENAT2 = 437
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root: int, path: str, flags: int, *, symlinks: bool = True) -> int:
    """A descriptor of `path` below the directory `root`. Raises OSError; EXDEV when it leads out."""
    resolve = _BENEATH | _NO_MAGICLINKS | (0 if symlinks else _NO_SYMLINKS)
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    descriptor = syscalls.libc().syscall(
        ctypes.c_long(_OPENAT2), root, os.fsencode(path), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
    )
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return int(descriptor)


def open_directory(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def read_beneath(root: str, path: str, limit: int) -> str | None:
    """The text of a regular file below a directory, at most `limit` bytes; None when there is none."""
    try:
        directory = open_directory(root)
    except FileNotFoundError:
        return None
    try:
        descriptor = open_beneath(directory, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with open(descriptor, "rb") as file:
        return file.read(limit).decode("utf-8", "surrogateescape")


def make_beneath(root: int, path: str, mode: int) -> int:
    """A descriptor (O_PATH) of a directory below `root`, made with its missing parents. Raises OSError."""
    current = os.dup(root)
    try:
        for part in [part for part in path.split("/") if part not in ("", ".")]:
            try:
                step = open_beneath(current, part, os.O_PATH | os.O_DIRECTORY, symlinks=False)
            except FileNotFoundError:
                os.mkdir(part, mode, dir_fd=current)
                step = open_beneath(current, part, os.O_PATH | os.O_DIRECTORY, symlinks=False)
                os.chmod(f"/proc/self/fd/{step}", mode)
            os.close(current)
            current = step
    except BaseException:
        os.close(current)
        raise
    return current
