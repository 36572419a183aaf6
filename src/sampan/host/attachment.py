"""Attach to a running container's main process through its monitor's socket.

conmon's socket keeps message borders (SOCK_SEQPACKET): the first byte of each is 2 for stdout and 3 for stderr.
What we write goes to the process's standard input as it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from sampan.host import monitor
from sampan.host.containers import RuntimeFailure
from sampan.host.streams import Readiness

_MESSAGE = 8192 + 1
_STREAMS = {2: 1, 3: 2}


class Attachment:
    """Implements containers.Process. `exit_code` waits for the container's end."""

    def __init__(self, connection: socket.socket, bundle: str, exit_code: Callable[[], Awaitable[int]]) -> None:
        self._connection = connection
        self._bundle = bundle
        self._exit_code = exit_code
        self._readiness = Readiness(connection.fileno())

    async def write_stdin(self, data: bytes) -> None:
        """Raises BrokenPipeError when the monitor has gone, and with it the container."""
        view = memoryview(data)
        while view:
            if self._readiness.closed:
                raise BrokenPipeError(errno.EPIPE, "the session is closed")
            try:
                view = view[self._connection.send(view[: _MESSAGE - 1]) :]
            except BlockingIOError:
                await self._readiness.writable()

    async def close_stdin(self) -> None:
        with contextlib.suppress(OSError):  # not connected any more: it is closed
            self._connection.shutdown(socket.SHUT_WR)

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        while not self._readiness.closed:
            try:
                message = self._connection.recv(_MESSAGE)
            except BlockingIOError:
                await self._readiness.readable()
                continue
            except ConnectionResetError:
                return
            if not message:
                return
            if number := _STREAMS.get(message[0]):
                yield number, message[1:]

    async def resize(self, width: int, height: int) -> None:
        monitor.resize(self._bundle, width, height)

    async def wait(self) -> int:
        return await self._exit_code()

    async def close(self) -> None:
        self._readiness.close()
        self._connection.close()


def open_attachment(bundle: str, exit_code: Callable[[], Awaitable[int]]) -> Attachment:
    """Connect to the monitor. The path goes through /proc: a socket's own may have 107 bytes only."""
    directory = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{directory}/attach")
        connection.setblocking(False)
    except OSError as error:
        connection.close()
        raise RuntimeFailure("NotRunning", f"cannot attach: {error}") from error
    finally:
        os.close(directory)
    return Attachment(connection, bundle, exit_code)
