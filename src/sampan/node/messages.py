"""What a container that has ended left behind: its termination message, or the end of its log."""

from __future__ import annotations

import os
import stat
from pathlib import Path

LONGEST = 4096
"""Bytes of one container's message."""
POD_LONGEST = 12 * 1024
"""Bytes of all messages of a pod together."""
LOG_BYTES, LOG_LINES = 2048, 80
"""What a log gives when the container failed and left no message."""
_TAIL = 16 * 1024
"""Bytes of the log file that are looked at; each line carries a time and a stream before its text."""


def read(path: Path, containers: int) -> str:
    """The message file, cut to this pod's share; empty when there is none."""
    limit = min(LONGEST, POD_LONGEST // max(1, containers))
    return _read(path, 0, limit).decode(errors="replace")


def of_log(path: Path) -> str:
    """The last lines of a log in the CRI's format, at most LOG_BYTES of text."""
    raw = _read(path, _TAIL, _TAIL)
    text = b"".join(_text(line) for line in raw.splitlines(keepends=True))
    lines = text[-LOG_BYTES:].splitlines(keepends=True)[-LOG_LINES:]
    return b"".join(lines).decode(errors="replace")


def _text(line: bytes) -> bytes:
    """Of `<time> <stream> <F|P> <text>`; a partial line goes on in the next."""
    parts = line.split(b" ", 3)
    if len(parts) < 4:
        return b""
    return parts[3].rstrip(b"\n") if parts[2] == b"P" else parts[3]


def _read(path: Path, tail: int, limit: int) -> bytes:
    """A regular file's first `limit` bytes, or those of its last `tail`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return b""
        return os.pread(descriptor, limit, max(0, found.st_size - tail) if tail else 0)
    finally:
        os.close(descriptor)
