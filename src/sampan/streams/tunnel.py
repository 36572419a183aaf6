"""A byte stream inside a WebSocket: binary messages whose borders mean nothing. kubectl carries SPDY in it."""

from __future__ import annotations

from sampan.http.errors import Disconnected
from sampan.http.types import CHUNK
from sampan.http.websocket import WebSocket


class Tunnel:
    """A Connection (http.types). `close` only ends its use: whoever owns the WebSocket closes that."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._rest = b""
        self._closed = False

    async def read(self, size: int = CHUNK) -> bytes:
        while not self._rest:
            message = None if self._closed else await self._socket.receive()
            if message is None:
                return b""
            self._rest = message.encode() if isinstance(message, str) else message
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    async def write(self, data: bytes) -> None:
        if self._closed:
            raise Disconnected("the tunnel is closed")
        await self._socket.send(data)

    def close(self) -> None:
        self._closed = True
