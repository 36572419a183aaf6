"""Bytes from one connection to another, both ways: how the API server passes a stream through to a node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sampan.http.errors import ProtocolError
from sampan.http.types import Connection, Finishing, Request, Response

log = logging.getLogger(__name__)
Connect = Callable[[Request], Awaitable[tuple[Response, Connection]]]

_TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."  # noqa: S105 - the prefix of a WebSocket subprotocol
_OURS = frozenset(("authorization", "content-length", "cookie", "host", "transfer-encoding"))


async def relay(request: Request, connect: Connect) -> Response:
    """Answer an upgrade request with what `connect` gets for it from elsewhere.

    101 is passed on and the two connections are joined, any other answer is passed on as it is. The client's
    credentials do not travel on. Raises what `connect` raises, and ProtocolError for a 2xx that is no upgrade.
    """
    headers = {name: value for name, value in request.headers.items() if not _private(name)}
    if protocols := headers.get("sec-websocket-protocol"):
        kept = [name for part in protocols.split(",") if not (name := part.strip()).startswith(_TOKEN_PROTOCOL)]
        headers["sec-websocket-protocol"] = ", ".join(kept)
        if not kept:
            del headers["sec-websocket-protocol"]
    response, far = await connect(Request(request.method, request.target, headers, request.content))
    if response.status != 101:
        far.close()
        if response.status < 300:
            raise ProtocolError(f"{request.raw_path}: status {response.status} where an upgrade was asked for")
        return response

    async def takeover(near: Connection) -> None:
        await join(near, far)

    return Response(101, b"", tuple(response.headers), takeover)


def _private(name: str) -> bool:
    return name in _OURS or name.startswith(("impersonate-", "x-remote-"))


async def join(one: Connection, other: Connection) -> None:
    """Copy both ways until both directions have ended or either connection broke; closes both."""
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(copy(one, other))
            tasks.create_task(copy(other, one))
    except* ConnectionError:
        pass  # a peer that left is how these sessions end; there is nobody to tell
    finally:
        one.close()
        other.close()


async def copy(source: Connection, sink: Connection) -> None:
    """One direction, its end included where the sink can tell it. Raises Disconnected when the source broke; a sink
    that takes no more is an end: what it still has to say comes the other way."""
    try:
        while data := await source.read():
            try:
                await sink.write(data)
            except ConnectionError as error:
                log.debug("a peer takes no more: %s", error)
                return
    finally:
        if isinstance(sink, Finishing):
            await _finish(sink)


async def _finish(sink: Finishing) -> None:
    try:
        await sink.finish()
    except ConnectionError as error:
        log.debug("a peer left before it heard the end: %s", error)
