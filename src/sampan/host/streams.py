"""Output and input of an exec or attach session as they come, with back-pressure: a slow reader stops the writer.

Descriptors are read when somebody asks, so nothing is queued here; the kernel's pipe, terminal or socket buffer is
the bound.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator

CHUNK = 32 * 1024


class Readiness:
    """Waits until a descriptor can be read or written; `close` wakes who waits, before the number is used again."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.closed = False
        self._reading: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None

    async def readable(self) -> None:
        """Return when there is something to read, or at once when closed."""
        if self.closed:
            return
        loop = asyncio.get_running_loop()
        waiting = self._reading = loop.create_future()
        loop.add_reader(self.descriptor, _wake, waiting)
        try:
            await waiting
        finally:
            if not self.closed:
                loop.remove_reader(self.descriptor)

    async def writable(self) -> None:
        if self.closed:
            return
        loop = asyncio.get_running_loop()
        waiting = self._writing = loop.create_future()
        loop.add_writer(self.descriptor, _wake, waiting)
        try:
            await waiting
        finally:
            if not self.closed:
                loop.remove_writer(self.descriptor)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for waiting in (self._reading, self._writing):
            if waiting is not None:
                loop = waiting.get_loop()
                loop.remove_reader(self.descriptor)
                loop.remove_writer(self.descriptor)
                _wake(waiting)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


class Channel:
    """A descriptor that we own: one end of a pipe, or a terminal's master, which is read and written."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._readiness = Readiness(descriptor)

    @property
    def closed(self) -> bool:
        return self._readiness.closed

    async def read(self) -> bytes:
        """At least one byte; b"" at the end, which for a terminal is EIO when its last user has gone."""
        while not self.closed:
            try:
                return os.read(self.descriptor, CHUNK)
            except BlockingIOError:
                await self._readiness.readable()
            except OSError as error:
                if error.errno == errno.EIO:
                    return b""
                raise
        return b""

    async def write(self, data: bytes) -> None:
        """Raises BrokenPipeError when nobody reads any more."""
        view = memoryview(data)
        while view:
            if self.closed:
                raise BrokenPipeError(errno.EPIPE, "the session is closed")
            try:
                view = view[os.write(self.descriptor, view) :]
            except BlockingIOError:
                await self._readiness.writable()
            except OSError as error:
                if error.errno == errno.EIO:
                    raise BrokenPipeError(errno.EPIPE, "the terminal is closed") from error
                raise

    def close(self) -> None:
        if not self.closed:
            self._readiness.close()
            os.close(self.descriptor)


async def merge(channels: dict[int, Channel]) -> AsyncIterator[tuple[int, bytes]]:
    """(number, bytes) from several channels as they come, until all have ended; each has one read under way."""
    reads: dict[asyncio.Future[bytes], int] = {}
    try:
        for number, channel in channels.items():
            reads[asyncio.ensure_future(channel.read())] = number
        while reads:
            done, _ = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
            for read in sorted(done, key=lambda read: reads[read]):
                number = reads.pop(read)
                if chunk := read.result():
                    yield number, chunk
                    reads[asyncio.ensure_future(channels[number].read())] = number
    finally:
        for read in reads:
            read.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*reads, return_exceptions=True)
