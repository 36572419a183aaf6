"""exec and attach, the node's end: over WebSocket channels or SPDY streams.

Sources: Kubernetes' remotecommand protocols v1 to v5 (client-go's tools/remotecommand, kubelet's streaming API).
"""

from __future__ import annotations

import asyncio

from sampan.http import spdy, websocket
from sampan.http.errors import Disconnected
from sampan.http.spdy import Session, Stream
from sampan.http.types import Connection, Request, Response
from sampan.http.websocket import WebSocket
from sampan.streams import channels
from sampan.streams.channels import Channels
from sampan.streams.negotiation import PROTOCOL_HEADER, negotiate
from sampan.streams.session import Input, Options, Start, converse

__all__ = ["Options", "Start", "serve_remote_command"]

WEBSOCKET_PROTOCOLS = (
    channels.V5, channels.V4, channels.V4_BASE64, channels.V1, channels.V1_BASE64, channels.NONE,
)  # fmt: skip
SPDY_PROTOCOLS = (channels.V5, channels.V4, "v3.channel.k8s.io", "v2.channel.k8s.io", channels.V1)
RESIZABLE = frozenset(SPDY_PROTOCOLS[:3])
STREAMS_TIME = 30.0
"""Seconds in which a SPDY client opens its streams."""
FAREWELL = 5.0
"""Seconds that a SPDY client has to read what is under way and to close: a connection that ends earlier
takes with it what the Go implementation has received and not yet handed on."""


async def serve_remote_command(request: Request, start: Start, *, attach: bool = False) -> Response:
    """Answer exec (or attach) on the node: `start` makes the process once the client's streams are there.

    What `start` raises reaches the client as a Status, its text included. An attachment that ends is a success,
    whatever the container's exit code. A client that leaves ends the session and so, for exec, the process.
    """
    options = Options.of(request)
    if not (options.stdin or options.stdout or options.stderr):
        return Response(400, b"you must specify at least 1 of stdin, stdout, stderr\n", websocket.PLAIN)
    if websocket.requested(request):

        async def serve(socket: WebSocket) -> None:
            await converse(WebSocketWire(Channels(socket)), options, start, attach=attach)

        return websocket.accept(request, WEBSOCKET_PROTOCOLS, serve)
    if spdy.requested(request):
        return _over_spdy(request, options, start, attach=attach)
    return Response(400, b"unable to upgrade: missing upgrade headers in request\n", websocket.PLAIN)


class WebSocketWire:
    def __init__(self, peer: Channels) -> None:
        self._peer = peer
        self.as_status = peer.socket.subprotocol in channels.STATUS

    async def open(self, options: Options) -> None:
        """All channels are there from the start; an empty message tells the client that we are, too."""
        channel = channels.STDOUT if options.stdout else channels.STDERR if options.stderr else channels.ERROR
        await self._peer.send(channel, b"")

    async def listen(self, input: Input) -> None:
        while (message := await self._peer.receive()) is not None:
            if message.channel == channels.STDIN:
                await (input.end() if message.ended else input.write(message.data))
            elif message.channel == channels.RESIZE:
                await input.resize(message.data)

    async def send(self, channel: int, data: bytes) -> None:
        await self._peer.send(channel, data)

    async def ping(self) -> None:
        await self._peer.socket.ping()


class SpdyWire:
    """One stream a channel, named by the header `streamtype`."""

    def __init__(self, session: Session, protocol: str) -> None:
        self.as_status = protocol in channels.STATUS
        self._session = session
        self._resizable = protocol in RESIZABLE
        self._streams: dict[str, Stream] = {}

    async def open(self, options: Options) -> None:
        wanted = {
            "error": True,
            "stdin": options.stdin,
            "stdout": options.stdout,
            "stderr": options.stderr,
            "resize": options.tty and self._resizable,
        }
        missing = {name for name, is_wanted in wanted.items() if is_wanted}
        async with asyncio.timeout(STREAMS_TIME):
            while missing:
                stream = await self._session.accept()
                if stream is None:
                    raise Disconnected("the client left before it had opened its streams")
                name = stream.headers.get("streamtype", "")
                if name in missing:
                    missing.discard(name)
                    self._streams[name] = stream
                else:
                    await stream.reset()

    async def listen(self, input: Input) -> None:
        async with asyncio.TaskGroup() as tasks:
            readers = []
            if stdin := self._streams.get("stdin"):
                readers.append(tasks.create_task(_read_stdin(stdin, input)))
            if resize := self._streams.get("resize"):
                readers.append(tasks.create_task(_read_sizes(resize, input)))
            while (stray := await self._session.accept()) is not None:
                await stray.reset()
            for reader in readers:
                reader.cancel()

    async def send(self, channel: int, data: bytes) -> None:
        await self._streams[_NAMES[channel]].write(data)

    async def ping(self) -> None:
        await self._session.ping()

    async def finish(self) -> None:
        """End all streams; what the client still sends is nobody's."""
        for stream in self._streams.values():
            stream.discard()
            await stream.finish()


_NAMES = {channels.STDOUT: "stdout", channels.STDERR: "stderr", channels.ERROR: "error"}


async def _read_stdin(stream: Stream, input: Input) -> None:
    try:
        while data := await stream.read():
            await input.write(data)
    except ConnectionError:
        pass  # a reset is an end, too
    await input.end()


async def _read_sizes(stream: Stream, input: Input) -> None:
    try:
        while data := await stream.read():
            await input.resize(data)
    except ConnectionError:
        return


def _over_spdy(request: Request, options: Options, start: Start, *, attach: bool) -> Response:
    protocol = negotiate(request, SPDY_PROTOCOLS, channels.V1)
    if isinstance(protocol, Response):
        return protocol

    async def takeover(connection: Connection) -> None:
        session = Session(connection, server=True)
        wire = SpdyWire(session, protocol)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run())
            try:
                await converse(wire, options, start, attach=attach)
                await wire.finish()
                await asyncio.wait((running,), timeout=FAREWELL)
            except ConnectionError:
                return  # the client has left
            finally:
                await session.close()

    return Response(101, b"", (("Upgrade", spdy.UPGRADE), (PROTOCOL_HEADER, protocol)), takeover)
