"""port-forward, the node's end: connections into a pod over SPDY, over SPDY in a WebSocket, and over WebSocket
channels. Sources: Kubernetes' portforward protocol (client-go's tools/portforward, kubelet's streaming API).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from sampan.http import spdy, websocket
from sampan.http.spdy import Session, Stream
from sampan.http.types import Connection, Request, Response
from sampan.http.websocket import WebSocket
from sampan.streams import channels
from sampan.streams.channel_forwards import serve_channels
from sampan.streams.negotiation import PROTOCOL_HEADER, negotiate
from sampan.streams.relaying import copy
from sampan.streams.session import HEARTBEAT
from sampan.streams.tunnel import Tunnel

log = logging.getLogger(__name__)

Dial = Callable[[int], Awaitable[Connection]]
PROTOCOL = "portforward.k8s.io"
TUNNEL = f"SPDY/3.1+{PROTOCOL}"
WEBSOCKET_PROTOCOLS = (TUNNEL, channels.V4, channels.V4_BASE64, channels.NONE)
PAIR_TIME = 30.0
"""Seconds between the two streams of one forwarded connection."""


async def serve_port_forward(request: Request, dial: Dial) -> Response:
    """Answer port-forward on the node; `dial` connects to a port of the pod. What it raises reaches the client."""
    if websocket.requested(request):
        if TUNNEL in websocket.offered(request):

            async def tunnel(socket: WebSocket) -> None:
                await _serve_session(Session(Tunnel(socket), server=True, wanted=_is_wanted), dial)

            return websocket.accept(request, WEBSOCKET_PROTOCOLS, tunnel)
        try:
            ports = _ports(request)
        except ValueError as error:
            return Response(400, f"{error}\n".encode(), websocket.PLAIN)

        async def serve(socket: WebSocket) -> None:
            await serve_channels(channels.Channels(socket), ports, dial)

        return websocket.accept(request, WEBSOCKET_PROTOCOLS, serve)
    if spdy.requested(request):
        protocol = negotiate(request, (PROTOCOL,), PROTOCOL)
        if isinstance(protocol, Response):
            return protocol

        async def takeover(connection: Connection) -> None:
            await _serve_session(Session(connection, server=True, wanted=_is_wanted), dial)

        return Response(101, b"", (("Upgrade", spdy.UPGRADE), (PROTOCOL_HEADER, protocol)), takeover)
    return Response(400, b"unable to upgrade: missing upgrade headers in request\n", websocket.PLAIN)


def _ports(request: Request) -> list[int]:
    """The ports of a WebSocket client, from `ports` (the API's parameter) or `port` (the kubelet's)."""
    texts = [
        text.strip() for name in ("ports", "port") for part in request.query.get(name, ()) for text in part.split(",")
    ]
    if not texts:
        raise ValueError('query parameter "ports" is required')
    return [_port(text) for text in texts]


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise ValueError(f"invalid port {text[:20]!r}: must be between 1 and 65535")
    return int(text)


def _is_wanted(headers: Mapping[str, str]) -> bool:
    try:
        _port(headers.get("port", ""))
    except ValueError:
        return False
    return headers.get("streamtype") in ("data", "error")


async def _serve_session(session: Session, dial: Dial) -> None:
    """Pair the client's streams, data with error, until it leaves."""
    waiting: dict[str, asyncio.Future[Stream]] = {}

    async def connection(id: str, stream: Stream) -> None:
        """The life of one forwarded connection, from the first of its two streams."""
        try:
            async with asyncio.timeout(PAIR_TIME):
                other = await waiting[id]
        except TimeoutError:
            await stream.reset()
            return
        finally:
            waiting.pop(id, None)
        data, error = (stream, other) if stream.headers["streamtype"] == "data" else (other, stream)
        await _forward(data, error, dial)

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run())
        beating = tasks.create_task(_beat(session))
        forwards: set[asyncio.Task[None]] = set()
        while (stream := await session.accept()) is not None:
            id = _pair_id(stream)
            partner = waiting.get(id)
            if partner is None:
                waiting[id] = asyncio.get_running_loop().create_future()
                task = tasks.create_task(_unless_gone(connection(id, stream)))
                forwards.add(task)
                task.add_done_callback(forwards.discard)
            elif not partner.done():
                partner.set_result(stream)
            else:
                await _unless_gone(stream.reset())
        for task in (running, beating, *forwards):
            task.cancel()


def _pair_id(stream: Stream) -> str:
    """The client's request ID; old clients open the error stream and then, next, the data stream."""
    given = stream.headers.get("requestid")
    if given:
        return given
    return f"stream {stream.id if stream.headers['streamtype'] == 'error' else stream.id - 2}"


async def _forward(data: Stream, error: Stream, dial: Dial) -> None:
    port = int(data.headers["port"])
    error.discard()
    try:
        connection = await dial(port)
    except Exception as failure:
        await _fail(error, port, failure)
        await data.reset()
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(copy(data, connection))
            tasks.create_task(copy(connection, data))
    except* ConnectionError as broken:
        if not data.remote_end:
            await _fail(error, port, broken.exceptions[0])
        await data.reset()
    finally:
        connection.close()
    data.discard()
    await data.finish()
    await error.finish()


async def _fail(error: Stream, port: int, failure: BaseException) -> None:
    log.info("error forwarding port %d: %s", port, failure)
    await error.write(f"error forwarding port {port}: {failure}".encode())
    await error.finish()


async def _unless_gone(job: Awaitable[None]) -> None:
    try:
        await job
    except ConnectionError:
        return  # the client has left


async def _beat(session: Session) -> None:
    """Only a write shows a peer that is gone while nobody reads."""
    try:
        while True:
            await asyncio.sleep(HEARTBEAT)
            await session.ping()
    except ConnectionError:
        return
