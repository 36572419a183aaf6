"""A TCP connection to a port of a pod, made inside its network namespace."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from sampan.host import namespaces
from sampan.host.containers import RuntimeFailure
from sampan.http.errors import Disconnected

CHUNK = 64 * 1024
_HOSTS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


class Link:
    """Implements http.types.Connection on asyncio's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, size: int = CHUNK) -> bytes:
        try:
            return await self._reader.read(size)
        except ConnectionError as error:
            raise Disconnected(str(error)) from error

    async def write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError as error:
            raise Disconnected(str(error)) from error

    async def finish(self) -> None:
        """End our direction; the pod may still answer."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()


async def connect(netns: str, port: int) -> Link:
    """Connect to the loopback address, IPv4 first. Only the socket's making happens in the namespace.

    Raises RuntimeFailure ConnectFailed.
    """
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, host in _HOSTS:
        try:
            made = await loop.run_in_executor(None, _maker(netns, family))
        except OSError as error:  # the namespace is gone, or the machine has no IPv6
            failure = failure or error
            continue
        made.setblocking(False)
        try:
            await loop.sock_connect(made, (host, port))
        except OSError as error:
            made.close()
            failure = failure or error
            continue
        except BaseException:
            made.close()
            raise
        return Link(*await asyncio.open_connection(sock=made))
    reason = os.strerror(failure.errno).lower() if failure and failure.errno else str(failure)
    raise RuntimeFailure("ConnectFailed", f"failed to connect to localhost:{port} inside the pod: {reason}")


def _maker(netns: str, family: socket.AddressFamily) -> Callable[[], socket.socket]:
    def make() -> socket.socket:
        return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)

    return lambda: namespaces.inside(netns, "net", make) if netns else make()
