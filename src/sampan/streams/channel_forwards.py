"""port-forward over WebSocket channels: channels 2n and 2n+1 carry the data and the error of the n-th port.

One connection a port; there is no way to end one direction alone.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Sequence

from sampan.http.types import Connection
from sampan.streams.channels import Channels

log = logging.getLogger(__name__)
WAITING = 16
"""Messages that wait for one port's connection before the whole WebSocket is not read any more."""


async def serve_channels(peer: Channels, ports: Sequence[int], dial: Callable[[int], Awaitable[Connection]]) -> None:
    """Until the client leaves or all connections have ended."""
    inboxes: list[asyncio.Queue[bytes]] = [asyncio.Queue(WAITING) for _ in ports]
    async with asyncio.TaskGroup() as tasks:
        forwards = [
            tasks.create_task(_forward(peer, number, port, inboxes[number], dial)) for number, port in enumerate(ports)
        ]
        listening = tasks.create_task(_listen(peer, inboxes))
        done = tasks.create_task(asyncio.wait(forwards)) if forwards else listening
        await asyncio.wait((listening, done), return_when=asyncio.FIRST_COMPLETED)
        for task in (listening, done, *forwards):
            task.cancel()


async def _listen(peer: Channels, inboxes: Sequence[asyncio.Queue[bytes]]) -> None:
    while (message := await peer.receive()) is not None:
        number, is_error = divmod(message.channel, 2)
        if not is_error and number < len(inboxes) and message.data:
            await inboxes[number].put(message.data)


async def _forward(
    peer: Channels,
    number: int,
    port: int,
    inbox: asyncio.Queue[bytes],
    dial: Callable[[int], Awaitable[Connection]],
) -> None:
    data, error = 2 * number, 2 * number + 1
    try:
        for channel in (data, error):
            await peer.send(channel, struct.pack("<H", port))
        try:
            connection = await dial(port)
        except Exception as failure:
            log.info("error forwarding port %d: %s", port, failure)
            await peer.send(error, f"error forwarding port {port}: {failure}".encode())
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(_send(connection, inbox))
                while part := await connection.read():
                    await peer.send(data, part)
                sending.cancel()
        finally:
            connection.close()
    except* ConnectionError as broken:
        log.debug("forwarding port %d ended: %s", port, broken.exceptions[0])


async def _send(connection: Connection, inbox: asyncio.Queue[bytes]) -> None:
    while True:
        await connection.write(await inbox.get())
