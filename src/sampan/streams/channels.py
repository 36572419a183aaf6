"""Channels in a WebSocket: each message is one byte that names its channel, and data.

Source: Kubernetes' remotecommand and wsstream subprotocols. Their base64 form is a digit and base64 in a text
message. Only v5 can end one channel alone: a message of the bytes 255 and the channel's number.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from sampan.http.websocket import WebSocket

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CLOSE = 255

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"
V1 = "channel.k8s.io"
V1_BASE64 = "base64.channel.k8s.io"
NONE = ""
"""Clients that name no subprotocol get the first one."""

BASE64 = frozenset((V4_BASE64, V1_BASE64))
STATUS = frozenset((V5, V4, V4_BASE64))
"""Subprotocols that report the end as a Status."""


class Message(NamedTuple):
    """`ended` means that the channel's sender has finished; data is then empty."""

    channel: int
    data: bytes
    ended: bool = False


class Channels:
    """Messages by channel over a WebSocket, in the form of its subprotocol."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self._base64 = socket.subprotocol in BASE64
        self._ends = socket.subprotocol == V5

    async def receive(self) -> Message | None:
        """None at the end. A message that is malformed is the end too, and the peer is told."""
        while (message := await self.socket.receive()) is not None:
            raw = message.encode() if isinstance(message, str) else message
            if not raw:
                continue
            if not self._base64:
                if raw[0] == CLOSE and self._ends and len(raw) == 2:
                    return Message(raw[1], b"", ended=True)
                return Message(raw[0], raw[1:])
            try:
                return Message(raw[0] - ord("0"), base64.b64decode(raw[1:], validate=True))
            except binascii.Error:
                await self.socket.close(1007, "a message is not base64")
        return None

    async def send(self, channel: int, data: bytes) -> None:
        """Raises Disconnected."""
        if self._base64:
            await self.socket.send(f"{channel}{base64.b64encode(data).decode()}")
        else:
            await self.socket.send(bytes((channel,)) + data)

    async def end(self, channel: int) -> None:
        """Tell the peer that nothing more comes in this channel, where the subprotocol can."""
        if self._ends:
            await self.socket.send(bytes((CLOSE, channel)))
