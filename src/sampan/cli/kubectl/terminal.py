"""Standard input and output for commands in containers: bytes as they come, a terminal in raw mode, its size."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

CHUNK = 32 * 1024


async def stdin(descriptor: int | None = None) -> AsyncIterator[bytes]:
    """What standard input has, until its end. Files and closed descriptors work as well as terminals and pipes."""
    number = sys.stdin.fileno() if descriptor is None else descriptor
    loop = asyncio.get_running_loop()
    try:
        ready = asyncio.Event()
        loop.add_reader(number, ready.set)
    except (PermissionError, NotImplementedError, ValueError, OSError):
        # A plain file is always ready, and the loop cannot wait for it.
        while data := await asyncio.to_thread(os.read, number, CHUNK):
            yield data
        return
    try:
        while True:
            await ready.wait()
            ready.clear()
            data = os.read(number, CHUNK)
            if not data:
                return
            yield data
    finally:
        loop.remove_reader(number)


def write_out(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def write_err(data: bytes) -> None:
    sys.stderr.buffer.write(data)
    sys.stderr.buffer.flush()


@contextmanager
def raw() -> Iterator[None]:
    """Every key goes to the other side at once; the terminal is as before afterwards."""
    if not sys.stdin.isatty():
        yield
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setraw(number)
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


async def sizes() -> AsyncIterator[tuple[int, int]]:
    """(columns, rows) now and at every change."""
    if not sys.stdout.isatty():
        return
    changed = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    try:
        while True:
            size = os.get_terminal_size(sys.stdout.fileno())
            yield size.columns, size.lines
            await changed.wait()
            changed.clear()
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


@contextmanager
def plain() -> Iterator[None]:
    """The terminal stays as it is."""
    yield
