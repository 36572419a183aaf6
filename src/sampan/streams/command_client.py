"""exec and attach, the CLI's end, over WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from sampan.api.errors import StatusError, internal, status_error
from sampan.api.types import meta_v1
from sampan.http import websocket
from sampan.http.errors import Disconnected, UpgradeRefused
from sampan.http.types import Transport
from sampan.streams import channels, status
from sampan.streams.channels import Channels
from sampan.streams.session import HEARTBEAT

Sink = Callable[[bytes], Awaitable[None] | None]
"""Takes output as it comes; what it returns is awaited, so that a slow terminal slows the process down."""
PROTOCOLS = (channels.V5, channels.V4)


async def remote_command(
    transport: Transport,
    path: str,
    *,
    stdin: AsyncIterator[bytes] | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    tty: bool = False,
    resize: AsyncIterator[tuple[int, int]] | None = None,
) -> int:
    """Run what `path` (an exec or attach URL with its query, without the streams' parameters) names.

    Returns the exit code. `resize` yields (columns, rows). Raises StatusError for what the server refuses or
    reports, Disconnected when the connection breaks before the end, and what the transport raises.
    """
    wanted = {"stdin": stdin, "stdout": stdout, "stderr": None if tty else stderr, "tty": tty or None}
    query = "&".join(f"{name}=true" for name, value in wanted.items() if value is not None)
    target = f"{path}{'&' if '?' in path else '?'}{query}"
    try:
        socket = await websocket.connect(transport, target, PROTOCOLS)
    except UpgradeRefused as refused:
        raise refusal(refused) from None
    peer = Channels(socket)
    try:
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(_beat(peer))]
            if stdin is not None:
                helpers.append(tasks.create_task(_send_stdin(peer, stdin)))
            if resize is not None:
                helpers.append(tasks.create_task(_send_sizes(peer, resize)))
            end = await _receive(peer, {channels.STDOUT: stdout, channels.STDERR: stderr})
            for helper in helpers:
                helper.cancel()
    finally:
        await socket.close()
    if not end:
        raise Disconnected("the connection was closed before the command's end was known")
    return status.decoded(end)


async def _receive(peer: Channels, sinks: dict[int, Sink | None]) -> bytes:
    """Hand output on until the end; returns what the error channel said."""
    end = b""
    while (message := await peer.receive()) is not None:
        if message.channel == channels.ERROR:
            end += message.data
        elif message.data and (sink := sinks.get(message.channel)):
            done = sink(message.data)
            if done is not None:
                await done
    return end


async def _send_stdin(peer: Channels, stdin: AsyncIterator[bytes]) -> None:
    try:
        async for data in stdin:
            for at in range(0, len(data), websocket.MESSAGE_LIMIT // 4):
                await peer.send(channels.STDIN, data[at : at + websocket.MESSAGE_LIMIT // 4])
        await peer.end(channels.STDIN)
    except ConnectionError:
        return  # `_receive` sees the end and what it was


async def _send_sizes(peer: Channels, resize: AsyncIterator[tuple[int, int]]) -> None:
    try:
        async for width, height in resize:
            await peer.send(channels.RESIZE, msgspec.json.encode({"Width": width, "Height": height}))
    except ConnectionError:
        return


async def _beat(peer: Channels) -> None:
    try:
        while True:
            await asyncio.sleep(HEARTBEAT)
            await peer.socket.ping()
    except ConnectionError:
        return


def refusal(refused: UpgradeRefused) -> StatusError:
    """The Status in the answer, or one that says what the answer said."""
    try:
        given: Any = msgspec.json.decode(refused.body, type=meta_v1.Status)
    except msgspec.DecodeError:
        given = None
    if given is not None and given.status == "Failure":
        return StatusError(given)
    text = refused.body.decode(errors="replace").strip() or f"HTTP status {refused.status}"
    return internal(text) if refused.status >= 500 else status_error(refused.status, "", text)
