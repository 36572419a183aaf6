"""Loop devices: a file as a block device, by ioctl. See loop(4) and the kernel's linux/loop.h.

A device is made to clear itself: it lives as long as something has it open or mounted, and nobody has to remember it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

CONTROL = "/dev/loop-control"
_GET_FREE = 0x4C82
_SET_FD, _CLR_FD, _SET_STATUS64, _GET_STATUS64, _SET_CAPACITY = 0x4C00, 0x4C01, 0x4C04, 0x4C05, 0x4C07
_CONFIGURE = 0x4C0A
_AUTOCLEAR, _DIRECT_IO = 4, 16
_INFO = struct.Struct("=5Q4I64s64s32s2Q")
_ATTEMPTS = 64
"""Other programs take the device that was free a moment ago."""


def available() -> str:
    """Why there are no loop devices here; "" when there are."""
    try:
        os.close(os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{CONTROL}: {(error.strerror or str(error)).lower()}"
    return ""


@contextlib.contextmanager
def attached(path: str) -> Iterator[str]:
    """The device of a file, kept for the time of the block: mount it there, and it stays as long as the mount.

    A file that has a device already gets the same one. Raises OSError.
    """
    descriptor, device = _find(path) or _attach(path)
    try:
        yield device
    finally:
        os.close(descriptor)


def device(path: str) -> str:
    """The device that a file has now, "" for none."""
    found = _find(path)
    if found is None:
        return ""
    os.close(found[0])
    return found[1]


def grow(path: str) -> None:
    """Tell the device of a file that the file has become larger. Raises OSError."""
    found = _find(path)
    if found is not None:
        try:
            fcntl.ioctl(found[0], _SET_CAPACITY)
        finally:
            os.close(found[0])


def _find(path: str) -> tuple[int, str] | None:
    wanted, real = os.stat(path), os.path.realpath(path)
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if entry.read_text().rstrip("\n") != real:
                continue
            name = f"/dev/{entry.parts[-3]}"
            descriptor = os.open(name, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # it went away while we looked
            continue
        if _inode(descriptor) == wanted.st_ino:
            return descriptor, name
        os.close(descriptor)
    return None


def _inode(descriptor: int) -> int:
    """Of the file behind a device, 0 for none: the name alone could be an older file's."""
    buffer = bytearray(_INFO.size)
    try:
        fcntl.ioctl(descriptor, _GET_STATUS64, buffer)
    except OSError:
        return 0
    return int(_INFO.unpack(buffer)[1])


def _attach(path: str) -> tuple[int, str]:
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
            try:
                number = fcntl.ioctl(control, _GET_FREE)
            finally:
                os.close(control)
            name = f"/dev/loop{number}"
            descriptor = os.open(name, os.O_RDWR | os.O_CLOEXEC)
            try:
                _configure(descriptor, file, path)
            except OSError as error:
                os.close(descriptor)
                if error.errno == errno.EBUSY:
                    continue
                raise
            return descriptor, name
    finally:
        os.close(file)
    raise OSError(errno.EBUSY, "other programs took every free loop device", path)


def _configure(descriptor: int, file: int, path: str) -> None:
    """Direct I/O where the file's system can do it: nothing is kept in memory twice."""
    for flags in (_AUTOCLEAR | _DIRECT_IO, _AUTOCLEAR):
        info = _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, os.fsencode(path)[-63:], b"", b"", 0, 0)
        try:
            fcntl.ioctl(descriptor, _CONFIGURE, struct.pack("=II", file, 0) + info + bytes(64))
        except OSError as error:
            if error.errno == errno.EINVAL and flags & _DIRECT_IO:
                continue
            if error.errno in (errno.EINVAL, errno.ENOTTY):
                _configure_before_5_8(descriptor, file, info)
                return
            raise
        return


def _configure_before_5_8(descriptor: int, file: int, info: bytes) -> None:
    fcntl.ioctl(descriptor, _SET_FD, file)
    try:
        fcntl.ioctl(descriptor, _SET_STATUS64, info)
    except OSError:
        fcntl.ioctl(descriptor, _CLR_FD)
        raise
