"""Output of an exec or attach session as it comes, with back-pressure: a slow reader stops the writer.

Descriptors are read when somebody asks, so nothing is queued here; the kernel's pipe or terminal buffer is the
bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator

from sampan.host import processes

CHUNK = 32 * 1024


class Outlet:
    """A descriptor that we own and read: a pipe, a terminal's master."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.closed = False

    async def read(self) -> bytes:
        """At least one byte; b"" at the end, which for a terminal is EIO when its last user has gone."""
        while not self.closed:
            try:
                return os.read(self.descriptor, CHUNK)
            except BlockingIOError:
                await processes.readable(self.descriptor)
            except OSError as error:
                if error.errno == errno.EIO:
                    return b""
                raise
        return b""

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self.descriptor)


async def write_all(descriptor: int, data: bytes) -> None:
    """Write to a pipe or terminal; raises BrokenPipeError when nobody reads any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await writable(descriptor)


async def writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)


async def merge(outlets: dict[int, Outlet]) -> AsyncIterator[tuple[int, bytes]]:
    """(number, bytes) from several outlets as they come, until all have ended; each has one read under way."""
    reads: dict[asyncio.Future[bytes], int] = {}
    try:
        for number, outlet in outlets.items():
            reads[asyncio.ensure_future(outlet.read())] = number
        while reads:
            done, _ = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
            for read in sorted(done, key=lambda read: reads[read]):
                number = reads.pop(read)
                if chunk := read.result():
                    yield number, chunk
                    reads[asyncio.ensure_future(outlets[number].read())] = number
    finally:
        for read in reads:
            read.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*reads, return_exceptions=True)
