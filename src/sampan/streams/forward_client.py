"""port-forward, the CLI's end: any number of connections to a pod's ports over one WebSocket that carries SPDY."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sampan.http import websocket
from sampan.http.errors import UpgradeRefused
from sampan.http.sockets import Listener
from sampan.http.spdy import Session, Stream
from sampan.http.types import CHUNK, Connection, Transport
from sampan.streams.command_client import refusal
from sampan.streams.forwards import TUNNEL
from sampan.streams.relaying import join
from sampan.streams.session import HEARTBEAT
from sampan.streams.tunnel import Tunnel


class ForwardFailed(ConnectionError):
    """The server could not reach the pod's port; the text is the server's."""


class Forwarded:
    """One connection to a port of the pod. A Connection (http.types) that can also end its own half."""

    def __init__(self, forward: PortForward, data: Stream, error: Stream) -> None:
        self._forward = forward
        self.failure = ""
        self._data = data
        self._error = error

    async def read(self, size: int = CHUNK) -> bytes:
        """b"" at the end. Raises ForwardFailed with what the server says went wrong."""
        try:
            data = await self._data.read(size)
        except ConnectionError:
            await self._check()
            raise
        if not data:
            await self._check()
        return data

    async def _check(self) -> None:
        text = b""
        while part := await self._error.read():
            text += part
        if text:
            self.failure = text.decode(errors="replace")
            raise ForwardFailed(self.failure)

    async def write(self, data: bytes) -> None:
        await self._data.write(data)

    async def finish(self) -> None:
        await self._data.finish()

    def close(self) -> None:
        self._forward.drop(self._data)


class PortForward:
    """Made by `port_forward`."""

    def __init__(self, session: Session, tasks: asyncio.TaskGroup) -> None:
        self._session = session
        self._tasks = tasks
        self._next = 0

    async def dial(self, port: int) -> Forwarded:
        """Connect to a port of the pod. Whether that works shows at the first read."""
        headers = {"port": str(port), "requestID": str(self._next)}
        self._next += 1
        error = await self._session.open({"streamType": "error", **headers})
        await error.finish()
        data = await self._session.open({"streamType": "data", **headers})
        return Forwarded(self, data, error)

    def drop(self, stream: Stream) -> None:
        """Tell the server that nobody reads or writes this stream any more."""
        if not (stream.local_end and stream.remote_end):
            self._tasks.create_task(_reset(stream))

    @asynccontextmanager
    async def listening(
        self, host: str, local_port: int, port: int, on_error: Callable[[str], None] = lambda text: None
    ) -> AsyncIterator[int]:
        """Forward what connects to `host`:`local_port` (0 picks one) to the pod's `port`; gives the local port.
        `on_error` hears what the server says of connections that fail."""

        async def serve(local: Connection) -> None:
            forwarded = await self.dial(port)
            await join(local, forwarded)
            if forwarded.failure:
                on_error(forwarded.failure)

        listener = Listener(serve)
        try:
            yield await listener.listen(host, local_port)
        finally:
            await listener.close()


async def _reset(stream: Stream) -> None:
    try:
        await stream.reset()
    except ConnectionError:
        return  # the session is gone, and the stream with it


@asynccontextmanager
async def port_forward(transport: Transport, path: str) -> AsyncIterator[PortForward]:
    """A session with the pod whose portforward URL is `path`. Raises StatusError for what the server refuses."""
    try:
        socket = await websocket.connect(transport, path, (TUNNEL,))
    except UpgradeRefused as refused:
        raise refusal(refused) from None
    session = Session(Tunnel(socket), server=False)
    try:
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(session.run()), tasks.create_task(_beat(session))]
            try:
                yield PortForward(session, tasks)
            finally:
                await session.close()
                for helper in helpers:
                    helper.cancel()
    finally:
        await socket.close()


async def _beat(session: Session) -> None:
    try:
        while True:
            await asyncio.sleep(HEARTBEAT)
            await session.ping()
    except ConnectionError:
        return
