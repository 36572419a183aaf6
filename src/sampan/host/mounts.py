"""Mounts, by system call: an overlay for a container's root, a tmpfs for its shared memory, binds for files.

libc is called through ctypes: a mount costs well under a millisecond, a fork of mount(8) several. Errors are
OSError with the path. See mount(2) and the kernel's Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

from sampan.host import namespaces, syscalls

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SHARED = 0x100000
MNT_DETACH = 0x2

_OPTIONS_LIMIT = 4095  # the kernel copies one page of options


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    if len(options) > _OPTIONS_LIMIT:
        raise OSError(f"mount options of {target} are {len(options)} bytes, more than {_OPTIONS_LIMIT}")
    call = syscalls.libc().mount
    result = call(
        os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode() or None
    )
    syscalls.check(result, f"mount {source or kind} on {target}")


def bind(source: str, target: str, *, readonly: bool = False) -> None:
    mount(source, target, "", MS_BIND)
    if readonly:
        mount("", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY)


def share(path: str) -> None:
    """Make a directory a mount whose changes below it reach the copies that other mount namespaces have. Idempotent.

    Each container's start copies all mounts of the machine for a moment, and other programs keep such copies for
    long: where the machine's root is private, one would hold what we have unmounted.
    """
    if not is_mounted(path):
        bind(path, path)
    mount("", path, "", MS_SHARED)


def tmpfs(target: str, *, size: int, mode: int) -> None:
    mount("shm", target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, f"size={size},mode={mode:o}")


def overlay(target: str, lower: Sequence[str], upper: str, work: str) -> None:
    """Mount an overlay; `lower` is ordered from the top layer to the bottom.

    Without `upper` it is read-only and takes two layers or more. A hundred long paths do not fit in one page of
    options, so they are named relative to their common directory, by a thread that has a working directory of its own.
    """
    directory = ""
    options = _overlay_options(lower, upper, work, directory)
    if len(options) <= _OPTIONS_LIMIT:
        mount("overlay", target, "overlay", 0, options)
        return
    directory = os.path.commonpath(lower)
    options = _overlay_options(lower, upper, work, directory)
    namespaces.in_thread(lambda: _mount_in(directory, target, options))


def _overlay_options(lower: Sequence[str], upper: str, work: str, directory: str) -> str:
    def name(path: str) -> str:
        return min(path, os.path.relpath(path, directory), key=len) if directory else path

    options = f"lowerdir={':'.join(map(name, lower))}"
    return f"{options},upperdir={name(upper)},workdir={name(work)}" if upper else options


def _mount_in(directory: str, target: str, options: str) -> None:
    syscalls.unshare(namespaces.CLONE_FS)
    os.chdir(directory)
    mount("overlay", target, "overlay", 0, options)


def unmount(target: str) -> bool:
    """Detach what is mounted there, once; False when nothing is."""
    result = syscalls.libc().umount2(os.fsencode(target), MNT_DETACH)
    if result == 0:
        return True
    try:
        syscalls.check(result, f"unmount {target}")
    except OSError as error:
        if isinstance(error, FileNotFoundError) or error.errno == 22:  # EINVAL: not a mount point
            return False
        raise
    return True


def below(prefix: str) -> list[str]:
    """Mount points at or below a directory, deepest first."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            point = _unescape(line.split(" ", 5)[4])
            if point == prefix or point.startswith(prefix.rstrip("/") + "/"):
                found.append(point)
    return sorted(found, key=lambda point: point.count("/"), reverse=True)


def is_mounted(path: str) -> bool:
    """Whether something is mounted exactly there, binds within one file system included."""
    return path in below(path)


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def unmount_below(prefix: str) -> int:
    """Detach everything at or below a directory; returns how many mounts there were."""
    points = below(prefix)
    for point in points:
        unmount(point)
    return len(points)
