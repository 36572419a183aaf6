"""Namespaces of a pod, held by bind mounts instead of a pause process.

A short-lived thread unshares network, IPC and UTS namespaces, names the host, sets sysctls, brings the
loopback up, and pins each namespace by mounting its file under the run directory. The thread then ends; no
process remains, and nothing of the caller's own namespaces changes. See namespaces(7).
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from sampan.host import mounts, syscalls

CLONE_FS = 0x00000200
FLAGS: Mapping[str, int] = {
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "net": 0x40000000,
}

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1

T = TypeVar("T")


def in_thread(action: Callable[[], T]) -> T:
    """Run an action in a thread of its own that ends afterwards, so that what it unshares ends with it."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(action())
        except BaseException as error:  # handed to the caller below
            failure.append(error)

    thread = threading.Thread(target=run, name="namespace")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def inside(path: str, kind: str, action: Callable[[], T]) -> T:
    """Run an action in the namespace that a file names; sockets it opens stay in that namespace."""

    def enter() -> T:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscalls.setns(descriptor, FLAGS[kind])
        finally:
            os.close(descriptor)
        return action()

    return in_thread(enter)


def pin(targets: Mapping[str, str], *, hostname: str = "", sysctls: Mapping[str, str] | None = None) -> None:
    """Make new namespaces and pin each on its file: {"net": path, "ipc": path, "uts": path}.

    Raises OSError; whatever was pinned before the failure is unpinned again.
    """

    def make() -> None:
        flags = 0
        for kind in targets:
            flags |= FLAGS[kind]
        syscalls.unshare(flags)
        if "uts" in targets and hostname:
            syscalls.sethostname(hostname)
        if "net" in targets:
            _loopback_up()
        for name, value in (sysctls or {}).items():
            _write_sysctl(name, value)
        for kind, target in targets.items():
            os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC | os.O_RDONLY, 0o600))
            mounts.mount(f"/proc/thread-self/ns/{kind}", target, "", mounts.MS_BIND)

    try:
        in_thread(make)
    except OSError:
        for target in targets.values():
            unpin(target)
        raise


def unpin(target: str) -> None:
    """Let go of a pinned namespace; the kernel frees it when its last process is gone. Idempotent."""
    mounts.unmount(target)
    try:
        os.unlink(target)
    except FileNotFoundError:
        return


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def sysctl_path(name: str) -> str:
    """`net.ipv4.ip_forward` or `net/ipv4/ip_forward` as a path; dots and slashes as in sysctl.d(5)."""
    first = next((character for character in name if character in "./"), ".")
    if first == ".":
        name = name.translate(str.maketrans("./", "/."))
    if ".." in name.split("/") or name.startswith("/"):
        raise OSError(22, f"sysctl {name}: invalid name")
    return f"/proc/sys/{name}"


def _write_sysctl(name: str, value: str) -> None:
    path = sysctl_path(name)
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(value)
    except OSError as error:
        raise OSError(error.errno, f"sysctl {name}={value}: {os.strerror(error.errno or 0).lower()}") from error
