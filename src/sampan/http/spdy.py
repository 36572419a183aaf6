"""SPDY/3.1 sessions: many streams over one connection that was taken over. What kubectl's exec, attach and
port-forward speak when they do not speak WebSocket.

Flow control: we always tell the peer what we have read. The peer's own window binds us only after it has shown
that it knows windows (SETTINGS or WINDOW_UPDATE): the widespread Go implementation never mentions them and would
wait for us forever. Against such a peer a full stream stops the whole connection until it is read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping

from sampan.http import spdy_frames as wire
from sampan.http.errors import Disconnected, ProtocolError
from sampan.http.flow import Inbox
from sampan.http.types import CHUNK, Connection, Request

log = logging.getLogger(__name__)

UPGRADE = "SPDY/3.1"
WINDOW = 2 * CHUNK
"""Bytes of one stream that a peer which minds windows may have under way to us."""
DEFAULT_WINDOW = 64 * 1024
FRAME = 32 * 1024
MAX_STREAMS = 1024


class Stream:
    """One stream: a Connection (http.types) that also has headers and can end its own half alone."""

    def __init__(self, session: Session, id: int, headers: Mapping[str, str]) -> None:
        self.id = id
        self.headers = headers
        self.window = session.peer_window
        self.local_end = False
        self.remote_end = False
        self.full = False
        self._session = session
        self._inbox = Inbox(self._fill, self._drain)
        self._unannounced = 0
        self._discards = False

    async def read(self, size: int = CHUNK) -> bytes:
        """At least one byte; b"" at the end. Raises Disconnected when the peer reset the stream."""
        data = await self._inbox.take(size)
        if data:
            await self._announce(len(data))
        return data

    async def write(self, data: bytes) -> None:
        """Raises Disconnected, also after `close`."""
        await self._session.send_data(self, data)

    async def finish(self) -> None:
        """End our half; the peer may still send."""
        await self._session.finish(self)

    async def reset(self, status: int = wire.CANCEL) -> None:
        await self._session.reset(self, status)

    def discard(self) -> None:
        """Throw away what comes: nobody will read it."""
        self._discards = True
        self._inbox.rest()
        self._drain()

    def close(self) -> None:
        """No more reading; what the peer still sends is thrown away. Use `finish` or `reset` to tell the peer."""
        self.local_end = True
        self.discard()

    async def _announce(self, size: int) -> None:
        self._unannounced += size
        if self._unannounced < WINDOW // 2 or self.remote_end:
            return
        size, self._unannounced = self._unannounced, 0
        try:
            await self._session.announce(self, size)
        except ConnectionError:
            pass  # the next read says so, after what has arrived was read

    async def take_in(self, data: bytes, fin: bool) -> None:
        if data and self._discards:
            await self._announce(len(data))
        elif data:
            self._inbox.feed(data)
        if fin:
            self.end()

    def end(self, error: Exception | None = None) -> None:
        self.remote_end = True
        self._inbox.end(error)

    def _fill(self) -> None:
        self.full = True

    def _drain(self) -> None:
        self.full = False
        self._session.wake()


class Session:
    """`run` reads until the end and must run as long as the streams are used. A server takes the client's
    streams from `accept`; `wanted` decides by their headers which ones are let in."""

    def __init__(
        self, connection: Connection, *, server: bool, wanted: Callable[[Mapping[str, str]], bool] | None = None
    ) -> None:
        self.peer_window = DEFAULT_WINDOW
        self._connection = connection
        self._server = server
        self._wanted = wanted or (lambda headers: server)
        self._encoder = wire.Encoder()
        self._decoder = wire.Decoder()
        self._lock = asyncio.Lock()
        self._streams: dict[int, Stream] = {}
        self._accepted: deque[Stream] = deque()
        self._next_id = 2 if server else 1
        self._last_id = 0
        self._next_ping = 2 if server else 1
        self._window = DEFAULT_WINDOW
        self._minds_windows = False
        self._unannounced = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._ended = False
        self._going = False

    # Streams

    async def open(self, headers: Mapping[str, str]) -> Stream:
        """A new stream of ours. The peer may still refuse it: then reading and writing raise Disconnected."""
        self._check_open()
        stream = Stream(self, self._next_id, headers)
        self._next_id += 2
        self._streams[stream.id] = stream
        await self._send_headers(lambda: self._encoder.syn_stream(stream.id, headers))
        return stream

    async def accept(self) -> Stream | None:
        """The next stream that the peer opened; None when the session has ended."""
        while not self._accepted:
            if self._ended:
                return None
            await self._change()
        return self._accepted.popleft()

    async def ping(self) -> None:
        """Send a ping; `run` swallows the answer."""
        self._check_open()
        id = self._next_ping
        self._next_ping = id + 2 if id < 0x7FFFFFF0 else 2 - self._next_ping % 2
        await self._send(wire.ping(id))

    async def close(self) -> None:
        """Say goodbye and end the connection. Idempotent."""
        if not self._ended:
            try:
                await self._send(wire.goaway(self._last_id))
            except ConnectionError:
                pass  # it has ended already
        self._end(Disconnected("the session is closed"))
        self._connection.close()

    # Reading

    async def run(self) -> None:
        """Returns when the peer has left or broken the protocol, which its streams' users then hear of. The
        connection is closed afterwards."""
        error: Exception = Disconnected("the session has ended")
        try:
            await self._send(wire.settings({wire.INITIAL_WINDOW_SIZE: WINDOW}))
            while data := await self._connection.read():
                self._decoder.feed(data)
                for frame in self._decoder.frames():
                    await self._handle(frame)
        except ProtocolError as broken:
            log.info("a SPDY peer broke the protocol: %s", broken)
            error = broken
        except ConnectionError:
            return
        finally:
            self._end(error)
            self._connection.close()

    async def _handle(self, frame: wire.Frame) -> None:
        match frame:
            case wire.Data():
                await self._take_data(frame)
            case wire.Syn(wire.SYN_STREAM):
                await self._take_stream(frame)
            case wire.Syn():
                if frame.fin and (stream := self._streams.get(frame.stream)):
                    stream.end()
                    self._forget_ended(stream)
            case wire.Reset():
                if stream := self._streams.pop(frame.stream, None):
                    stream.local_end = True
                    stream.end(Disconnected(f"the peer reset stream {frame.stream} (status {frame.status})"))
                    self.wake()
            case wire.Ping():
                if frame.id % 2 == (1 if self._server else 0):
                    await self._send(wire.ping(frame.id))
            case wire.GoAway():
                self._going = True
            case wire.WindowUpdate():
                self._take_window(frame)
            case wire.Settings():
                self._take_settings(frame)

    async def _take_data(self, frame: wire.Data) -> None:
        self._unannounced += len(frame.data)
        if self._unannounced >= DEFAULT_WINDOW // 2:
            size, self._unannounced = self._unannounced, 0
            await self._send(wire.window_update(0, size))
        stream = self._streams.get(frame.stream)
        if stream is None or stream.remote_end:
            return  # reset by us a moment ago
        await stream.take_in(frame.data, frame.fin)
        self._forget_ended(stream)
        while stream.full and not self._ended:
            await self._change()

    async def _take_stream(self, frame: wire.Syn) -> None:
        id = frame.stream
        if id % 2 != (1 if self._server else 0) or id <= self._last_id:
            raise ProtocolError(f"the peer may not open a stream {id}")
        self._last_id = id
        if len(self._streams) >= MAX_STREAMS or self._going or not self._wanted(frame.headers):
            await self._send(wire.reset(id, wire.REFUSED_STREAM))
            return
        stream = self._streams[id] = Stream(self, id, frame.headers)
        await self._send_headers(lambda: self._encoder.syn_reply(id, {}))
        if frame.fin:
            stream.end()
        self._accepted.append(stream)
        self.wake()

    def _take_window(self, frame: wire.WindowUpdate) -> None:
        self._minds_windows = True
        if frame.stream == 0:
            self._window += frame.delta
        elif stream := self._streams.get(frame.stream):
            stream.window += frame.delta
        self.wake()

    def _take_settings(self, frame: wire.Settings) -> None:
        self._minds_windows = True
        size = frame.values.get(wire.INITIAL_WINDOW_SIZE)
        if size is not None:
            for stream in self._streams.values():
                stream.window += size - self.peer_window
            self.peer_window = size
        self.wake()

    # Writing

    async def send_data(self, stream: Stream, data: bytes) -> None:
        at = 0
        while at < len(data):
            self._check_open(stream)
            size = min(FRAME, len(data) - at)
            if self._minds_windows:
                size = min(size, stream.window, self._window)
                if size <= 0:
                    await self._change()
                    continue
            stream.window -= size
            self._window -= size
            await self._send(wire.data(stream.id, data[at : at + size]))
            at += size

    async def finish(self, stream: Stream) -> None:
        if stream.local_end or self._ended:
            return
        stream.local_end = True
        self._forget_ended(stream)
        await self._send(wire.data(stream.id, b"", fin=True))

    async def reset(self, stream: Stream, status: int) -> None:
        stream.local_end = True
        stream.end(Disconnected("the stream was reset"))
        stream.discard()
        if self._streams.pop(stream.id, None) is not None and not self._ended:
            await self._send(wire.reset(stream.id, status))

    async def announce(self, stream: Stream, size: int) -> None:
        await self._send(wire.window_update(stream.id, size))

    async def _send(self, frame: bytes) -> None:
        # One writer at a time: header blocks must not overtake each other.
        async with self._lock:
            await self._connection.write(frame)

    async def _send_headers(self, make: Callable[[], bytes]) -> None:
        async with self._lock:
            try:
                await self._connection.write(make())
            except BaseException:
                # The peer may miss a part of what all later header blocks build on.
                self._end(Disconnected("the session broke while it sent a stream's head"))
                self._connection.close()
                raise

    # Ends

    def wake(self) -> None:
        """Something that others wait for has changed."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def _change(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _check_open(self, stream: Stream | None = None) -> None:
        if self._ended:
            raise Disconnected("the session has ended")
        if stream is not None and stream.local_end:
            raise Disconnected("the stream is closed")

    def _forget_ended(self, stream: Stream) -> None:
        if stream.local_end and stream.remote_end:
            self._streams.pop(stream.id, None)

    def _end(self, error: Exception) -> None:
        self._ended = True
        for stream in self._streams.values():
            stream.local_end = True
            stream.end(error)
        self._streams.clear()
        self.wake()


def requested(request: Request) -> bool:
    """Whether this request asks for SPDY."""
    headers = request.headers
    return headers.get("upgrade", "").upper() == UPGRADE and "upgrade" in headers.get("connection", "").lower()
