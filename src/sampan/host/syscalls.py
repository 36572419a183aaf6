"""The few system calls that Python 3.11 does not offer: mount, umount2, setns, unshare, sethostname, syncfs."""

from __future__ import annotations

import ctypes
import functools
import os


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
