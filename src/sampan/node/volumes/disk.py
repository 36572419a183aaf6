"""Volumes that hold no more than they were made for: an ext4 file system in a sparse file, mounted by loop device.

    DIRECTORY/disk.ext4   the file system; it takes as much of the disk as has been written to it
    DIRECTORY/disk.new    one that is being made; a crash leaves it, and the next mount begins again
    DIRECTORY/data        a plain directory instead, where the machine has no loop devices: its limit is only measured

Every pod that has the volume mounts it below its own directory. The device goes with the last mount.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from typing import NamedTuple

from sampan.host import loops, mounts
from sampan.node.volumes.types import VolumeFailure

IMAGE, NEW, DATA = "disk.ext4", "disk.new", "data"
SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
_RESIZE_FS = 0x40086610
_MI = 1 << 20
_PAGE = 4096

_at_once = threading.Lock()
"""Mounting and making bigger: two pods that come at once must find the same device."""


def unavailable() -> str:
    """Why this machine cannot limit volumes; "" when it can."""
    for program in ("mkfs.ext4", "resize2fs", "e2fsck"):
        if shutil.which(program, path=SEARCH) is None:
            return f"{program} is not installed (package e2fsprogs)"
    return loops.available()


def mount(directory: str, target: str, size: int) -> None:
    """Mount a volume of `size` bytes; make it first, or make it larger, where that is to be done. Idempotent.

    Raises VolumeFailure, OSError.
    """
    os.makedirs(target, exist_ok=True)
    image = f"{directory}/{IMAGE}"
    with _at_once:
        if mounts.is_mounted(target):
            _settle(directory, target)
            return
        if _is_directory(directory):
            mounts.bind(f"{directory}/{DATA}", target)
        elif not os.path.exists(image):
            _make(directory, target, size)
        else:
            with _alone(image) as held:
                if not loops.device(image):
                    _mend(image, held)
                    _grow_unused(image, size, held)
                _mount(image, target)


def is_limited(directory: str) -> bool:
    return os.path.exists(f"{directory}/{IMAGE}")


def grow(directory: str, target: str, size: int) -> bool:
    """Make a mounted volume larger; False when that has to wait until no pod uses it. Raises OSError.

    The kernel lets only those enlarge a mounted file system that have CAP_SYS_RESOURCE.
    """
    image = f"{directory}/{IMAGE}"
    with _at_once:
        wanted = size_of_image(size)
        if os.stat(image).st_size < wanted:
            os.truncate(image, wanted)
        loops.grow(image)
        descriptor = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(
                descriptor, _RESIZE_FS, struct.pack("=Q", os.stat(image).st_size // os.fstatvfs(descriptor).f_bsize)
            )
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTTY):
                return False
            raise
        finally:
            os.close(descriptor)
    return True


def holds(target: str, size: int) -> bool:
    """Whether the file system mounted there is of the size."""
    found = os.statvfs(target)
    return found.f_blocks * found.f_frsize >= size - size // 16


# --- how large


def _block(size: int) -> int:
    """Of 4096 bytes a journal has 4 MiB at least."""
    return 4096 if size >= 8 * _MI else 1024


def _journal(size: int) -> int:
    """MiB."""
    return 1 if size < 8 * _MI else 4 if size < 1024 * _MI else 16 if size < 16384 * _MI else 64


def _bytes_an_inode(size: int) -> int:
    return 4096 if size < 512 * _MI else 16384


def size_of_image(size: int) -> int:
    """Bytes of the file, so that `size` bytes of data fit: the journal, the inodes and the rest come on top."""
    whole = size + _journal(size) * _MI + size * 256 // _bytes_an_inode(size) + size // 256 + min(_MI, size // 8)
    return -(-whole // _PAGE) * _PAGE


# --- making


def _is_directory(directory: str) -> bool:
    """Whether the volume is a plain directory: made so before, or because this machine can do no better."""
    if os.path.isdir(f"{directory}/{DATA}"):
        return True
    if is_limited(directory) or not unavailable():
        return False
    os.makedirs(f"{directory}/{DATA}", mode=0o700)
    os.chmod(f"{directory}/{DATA}", 0o777)  # noqa: S103  whoever the pod runs as may write
    return True


def _make(directory: str, target: str, size: int) -> None:
    """Leaves it mounted at `target`: there it gets its owner's rights, before it counts as made."""
    new = f"{directory}/{NEW}"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if os.path.exists(new):
        os.unlink(new)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.truncate(size_of_image(size))
    features = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
    _run(
        *("mkfs.ext4", "-q", "-F", "-m", "0", "-b", str(_block(size)), "-i", str(_bytes_an_inode(size))),
        *("-J", f"size={_journal(size)}", "-E", features, new),
    )
    _mount(new, target)
    try:
        _finish(directory, target)
    except BaseException:
        mounts.unmount(target)
        raise


def _finish(directory: str, target: str) -> None:
    os.chmod(target, 0o777)  # noqa: S103  whoever the pod runs as may write, as in an emptyDir
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(f"{target}/lost+found")  # databases take it for one of theirs
    os.rename(f"{directory}/{NEW}", f"{directory}/{IMAGE}")


def _settle(directory: str, target: str) -> None:
    """A process that was killed may have mounted what it made, and not said that it is made."""
    new = f"{directory}/{NEW}"
    if not is_limited(directory) and os.path.exists(new) and loops.device(new):
        _finish(directory, target)


def _mount(image: str, target: str) -> None:
    with loops.attached(image) as device:
        # What is deleted inside goes back to the disk.
        mounts.mount(device, target, "ext4", 0, "discard")


# --- mending and making larger


@contextlib.contextmanager
def _alone(image: str) -> Iterator[int]:
    """A lock that programs which work on the file hold, too: they go on when this process is killed."""
    descriptor = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise VolumeFailure(f"{image} is still worked on by what an earlier process has started") from error
        yield descriptor
    finally:
        os.close(descriptor)


class _Super(NamedTuple):
    """What the file system says of itself: its size, and whether something is wrong in it or was left half done."""

    size: int
    damaged: bool


def _super(image: str) -> _Super:
    with open(image, "rb") as file:
        file.seek(1024)
        block = file.read(1024)
    low, scale, magic, state = (struct.unpack_from(kind, block, at)[0] for kind, at in _FIELDS)
    if magic != _MAGIC:
        raise VolumeFailure(f"{image} has no ext4 file system")
    high = struct.unpack_from("<I", block, 0x150)[0]
    return _Super((high << 32 | low) << (10 + scale), state & (_VALID | _ERRORS) != _VALID)


_FIELDS = (("<I", 0x04), ("<I", 0x18), ("<H", 0x38), ("<H", 0x3A))
_MAGIC, _VALID, _ERRORS = 0xEF53, 1, 2


def _mend(image: str, held: int) -> None:
    """After a crash the kernel reads the journal; what is worse is mended here as far as it is safe."""
    if _super(image).damaged and _run("e2fsck", "-p", image, allowed=range(5), held=held) == 4:
        raise VolumeFailure(f"its file system is damaged; mend it with: e2fsck -f {image}")


def _grow_unused(image: str, size: int, held: int) -> None:
    wanted = max(size_of_image(size), os.stat(image).st_size)
    if _super(image).size < wanted:
        os.truncate(image, wanted)
        _run("e2fsck", "-f", "-y", image, allowed=range(3), held=held)  # resize2fs insists on it
        _run("resize2fs", image, held=held)


def _run(program: str, *arguments: str, allowed: range = range(1), held: int = -1) -> int:
    path = shutil.which(program, path=SEARCH)
    if path is None:
        raise VolumeFailure(f"{program} is not installed: apt-get install e2fsprogs")
    done = subprocess.run(
        [path, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        pass_fds=(held,) if held >= 0 else (),
    )
    if done.returncode not in allowed:
        said = " ".join((done.stderr or done.stdout).split())
        raise VolumeFailure(f"{program} ended with code {done.returncode}: {said}")
    return done.returncode
