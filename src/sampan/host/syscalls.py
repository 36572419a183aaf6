"""The few system calls that Python 3.11 does not offer: mount, umount2, setns, unshare, sethostname, syncfs,
openat2."""

from __future__ import annotations

import ctypes
import functools
import os

_OPENAT2 = 437
_IN_ROOT = 0x10 | 0x02  # RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS


@functools.cache
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def check(result: int, action: str) -> None:
    """Raise the OSError subclass of errno, naming the action, when a call failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{action}: {os.strerror(number).lower()}")


def unshare(flags: int) -> None:
    check(libc().unshare(ctypes.c_int(flags)), f"unshare {flags:#x}")


def setns(descriptor: int, kind: int) -> None:
    check(libc().setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), f"setns {kind:#x}")


def sethostname(name: str) -> None:
    encoded = name.encode()
    check(libc().sethostname(encoded, ctypes.c_size_t(len(encoded))), f"sethostname {name}")


def syncfs(descriptor: int) -> None:
    """Write out the file system that a descriptor lies on."""
    check(libc().syncfs(ctypes.c_int(descriptor)), "syncfs")


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_inside(root: int, path: str, flags: int) -> int:
    """A descriptor of a path inside the directory `root`: no symbolic link and no `..` leads out of it.

    See openat2(2), RESOLVE_IN_ROOT. Raises OSError.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _IN_ROOT)
    found: int = libc().syscall(
        ctypes.c_long(_OPENAT2), root, os.fsencode(path), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
    )
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number).lower(), path)
    return found
