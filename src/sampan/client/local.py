"""Calls inside one process: the API server's handler without a socket in between."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque

from sampan.api.user import User
from sampan.http.types import CHUNK, Connection, Handler, Request, Response, Takeover

BUFFER = 256 * 1024
"""Bytes that one direction of a taken-over connection holds before its writer waits."""


class LocalTransport:
    """A Transport that calls `handler` as `user`; streaming bodies are passed through as they are."""

    def __init__(self, handler: Handler, user: User) -> None:
        self._handler = handler
        self._user = user
        self._sessions: set[asyncio.Task[None]] = set()

    async def send(self, request: Request) -> Response:
        request.context["user"] = self._user
        answer = self._handler(request)
        return await answer if inspect.isawaitable(answer) else answer

    async def connect(self, request: Request) -> tuple[Response, Connection]:
        """The handler's takeover runs beside the caller, at the other end of an in-memory pipe."""
        response = await self.send(request)
        near, far = pipe()
        if response.takeover is None:
            far.close()
        else:
            self._serve(response.takeover, far)
        return response, near

    async def close(self) -> None:
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def _serve(self, takeover: Takeover, connection: Connection) -> None:
        """The one place where sessions start; a session's failure closes its pipe and reaches the loop's handler."""

        async def session() -> None:
            try:
                await takeover(connection)
            finally:
                connection.close()

        task = asyncio.get_running_loop().create_task(session(), name="local-connection")
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)


class _Channel:
    """One direction: bytes with back-pressure at BUFFER."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._closed = False
        self._changed = asyncio.Event()

    async def put(self, data: bytes) -> None:
        while not self._closed and self._size >= BUFFER:
            await self._change()
        if self._closed:
            raise ConnectionResetError("the other end closed the connection")
        if data:
            self._chunks.append(data)
            self._size += len(data)
            self._changed.set()

    async def take(self, size: int) -> bytes:
        while not self._closed and not self._chunks:
            await self._change()
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        if len(chunk) > size:
            self._chunks.appendleft(chunk[size:])
            chunk = chunk[:size]
        self._size -= len(chunk)
        self._changed.set()
        return chunk

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class _End:
    def __init__(self, incoming: _Channel, outgoing: _Channel) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def read(self, size: int = CHUNK) -> bytes:
        return await self._incoming.take(size)

    async def write(self, data: bytes) -> None:
        await self._outgoing.put(data)

    def close(self) -> None:
        self._incoming.close()
        self._outgoing.close()


def pipe() -> tuple[Connection, Connection]:
    """Two connected ends in memory."""
    here, there = _Channel(), _Channel()
    return _End(here, there), _End(there, here)
