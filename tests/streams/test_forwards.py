from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sampan.api.errors import StatusError
from sampan.http import sockets, websocket
from sampan.http.client import HttpTransport
from sampan.http.errors import Disconnected
from sampan.http.spdy import Session
from sampan.http.types import Connection, Request, Response
from sampan.streams.forward_client import ForwardFailed, PortForward, port_forward
from sampan.streams.forwards import serve_port_forward
from tests.http.conftest import serving


async def shout(connection: Connection) -> None:
    """The pod's program: answers in capitals, and says goodbye after the client's half has ended."""
    while data := await connection.read():
        await connection.write(data.upper())
    await connection.write(b"<bye>")


class Pod:
    """Port 80 shouts, all others refuse."""

    def __init__(self) -> None:
        self.dialled: list[int] = []
        self.port = 0

    async def dial(self, port: int) -> Connection:
        self.dialled.append(port)
        if port != 80:
            raise ConnectionRefusedError("connection refused")
        return await sockets.connect("127.0.0.1", self.port)

    async def handler(self, request: Request) -> Response:
        return await serve_port_forward(request, self.dial)


@asynccontextmanager
async def connected(pod: Pod, program=shout) -> AsyncIterator[HttpTransport]:
    listener = sockets.Listener(program)
    pod.port = await listener.listen("127.0.0.1", 0)
    try:
        async with serving(pod.handler) as (_, port):
            transport = HttpTransport(f"http://127.0.0.1:{port}")
            try:
                yield transport
            finally:
                await transport.close()
    finally:
        await listener.close()


async def everything(connection: Connection) -> bytes:
    got = b""
    while data := await connection.read():
        got += data
    return got


async def one_exchange(forward: PortForward, payload: bytes) -> None:
    connection = await forward.dial(80)

    async def send() -> None:
        await connection.write(payload)
        await connection.finish()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        assert await everything(connection) == payload.upper() + b"<bye>"
    connection.close()


async def test_many_connections_share_a_tunnel() -> None:
    pod = Pod()
    async with connected(pod) as transport, port_forward(transport, "/portforward") as forward:
        await asyncio.gather(*(one_exchange(forward, bytes([97 + n]) * 400_000) for n in range(5)))
        await one_exchange(forward, b"again")
    assert pod.dialled == [80] * 6


async def test_a_port_that_cannot_be_reached_is_told_and_spares_the_others() -> None:
    async with connected(Pod()) as transport, port_forward(transport, "/portforward") as forward:
        broken = await forward.dial(81)
        with pytest.raises(ForwardFailed, match="error forwarding port 81: connection refused"):
            await broken.read()
        broken.close()
        await one_exchange(forward, b"still there")


async def test_local_connections_are_forwarded() -> None:
    errors: list[str] = []
    told = asyncio.Event()

    def tell(text: str) -> None:
        errors.append(text)
        told.set()

    async with connected(Pod()) as transport, port_forward(transport, "/portforward") as forward:
        async with forward.listening("127.0.0.1", 0, 80) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.read() == b"HELLO<bye>"
            writer.close()
        async with forward.listening("127.0.0.1", 0, 81, tell) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            await told.wait()
            writer.close()
    assert errors == ["error forwarding port 81: connection refused"]


async def test_the_pods_connection_ends_when_the_client_drops_its() -> None:
    left = asyncio.Event()

    async def wait(connection: Connection) -> None:
        try:
            while await connection.read():
                pass
        finally:
            left.set()

    async with connected(Pod(), wait) as transport, port_forward(transport, "/portforward") as forward:
        connection = await forward.dial(80)
        await connection.write(b"x")
        connection.close()
        await left.wait()


async def test_the_pods_connection_ends_when_the_client_leaves() -> None:
    left, arrived = asyncio.Event(), asyncio.Event()

    async def wait(connection: Connection) -> None:
        try:
            while await connection.read():
                arrived.set()
        finally:
            left.set()

    async with connected(Pod(), wait) as transport:
        async with port_forward(transport, "/portforward") as forward:
            await (await forward.dial(80)).write(b"x")
            await arrived.wait()
        await left.wait()


async def test_spdy_without_a_websocket_and_streams_in_any_order() -> None:
    pod = Pod()
    async with connected(pod) as transport, asyncio.TaskGroup() as tasks:
        headers = {"upgrade": "SPDY/3.1", "x-stream-protocol-version": "portforward.k8s.io"}
        response, connection = await transport.connect(Request("POST", "/portforward", headers))
        assert response.header("x-stream-protocol-version") == "portforward.k8s.io"
        session = Session(connection, server=False)
        tasks.create_task(session.run())
        data = await session.open({"streamType": "data", "port": "80", "requestID": "7"})
        error = await session.open({"streamType": "error", "port": "80", "requestID": "7"})
        await data.write(b"abc")
        await data.finish()
        assert (await everything(data), await everything(error)) == (b"ABC<bye>", b"")
        old_error = await session.open({"streamType": "error", "port": "80"})
        old_data = await session.open({"streamType": "data", "port": "80"})
        await old_data.finish()
        assert (await everything(old_data), await everything(old_error)) == (b"<bye>", b"")
        for wrong in ({"streamType": "data", "port": "0"}, {"streamType": "huh", "port": "80"}, {"port": "80"}):
            with pytest.raises(Disconnected):
                await (await session.open(wrong)).read()
        await session.close()


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", ""])
async def test_websocket_channels(protocol: str) -> None:
    async with connected(Pod()) as transport:
        socket = await websocket.connect(
            transport, "/portforward?ports=80,81&ports=80", (protocol,) if protocol else ()
        )
        got: dict[int, bytes] = {}

        async def until(enough) -> None:
            while not enough():
                message = await socket.receive()
                assert isinstance(message, bytes)
                got[message[0]] = got.get(message[0], b"") + message[1:]

        await until(lambda: len(got) == 6 and len(got[3]) > 2)
        assert [got[n][:2] for n in range(6)] == [struct.pack("<H", port) for port in (80, 80, 81, 81, 80, 80)]
        assert got[3][2:] == b"error forwarding port 81: connection refused"
        await socket.send(b"\x00one")
        await socket.send(b"\x04two")
        await until(lambda: len(got[0]) == 5 and len(got[4]) == 5)
        assert (got[0][2:], got[4][2:]) == (b"ONE", b"TWO")
        await socket.close()


@pytest.mark.parametrize("query", ["", "?ports=0", "?ports=http", "?ports=99999"])
async def test_a_websocket_needs_good_ports(query: str) -> None:
    async with connected(Pod()) as transport:
        with pytest.raises(websocket.UpgradeRefused) as refused:
            await websocket.connect(transport, f"/portforward{query}", ("v4.channel.k8s.io",))
        assert refused.value.status == 400


async def test_what_is_no_upgrade_is_refused() -> None:
    async with connected(Pod()) as transport:
        response = await transport.send(Request("POST", "/portforward"))
        assert (response.status, b"missing upgrade headers" in await response.read()) == (400, True)

    async def refuse(request: Request) -> Response:
        return Response(404, b'{"kind":"Status","status":"Failure","reason":"NotFound","message":"no pod","code":404}')

    async with serving(refuse) as (_, port):
        transport = HttpTransport(f"http://127.0.0.1:{port}")
        with pytest.raises(StatusError, match="no pod"):
            async with port_forward(transport, "/portforward"):
                pass
        await transport.close()
