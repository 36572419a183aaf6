from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.http import websocket
from sampan.http.client import HttpTransport
from sampan.http.errors import Disconnected, UpgradeRefused
from sampan.http.types import Request, Response
from sampan.http.websocket import WebSocket
from tests.http.conftest import serving


@asynccontextmanager
async def talking(serve, protocols=("",), *, limit: int = 1 << 20) -> AsyncIterator[HttpTransport]:
    def handler(request: Request) -> Response:
        return websocket.accept(request, protocols, serve, limit=limit)

    async with serving(handler) as (_, port):
        client = HttpTransport(f"http://127.0.0.1:{port}")
        try:
            yield client
        finally:
            await client.close()


async def echo(socket: WebSocket) -> None:
    while (message := await socket.receive()) is not None:
        await socket.send(message)


async def test_messages_go_both_ways_as_bytes_and_text() -> None:
    async with talking(echo) as client:
        socket = await websocket.connect(client, "/")
        for message in (b"", b"x", b"y" * 200_000, "", "käse", "z" * 70_000):
            await socket.send(message)
            assert await socket.receive() == message
        await socket.close()
        assert socket.close_code == 1000
        assert await socket.receive() is None
        with pytest.raises(Disconnected):
            await socket.send(b"late")


async def test_the_first_protocol_of_the_client_that_both_speak_is_chosen() -> None:
    async def name(socket: WebSocket) -> None:
        await socket.send(socket.subprotocol)
        await socket.receive()

    async with talking(name, ("a", "b", "c")) as client:
        socket = await websocket.connect(client, "/", ("x", "c", "a"))
        assert (socket.subprotocol, await socket.receive()) == ("c", "c")
        await socket.close()
        with pytest.raises(UpgradeRefused, match="a, b, c") as refused:
            await websocket.connect(client, "/", ("x",))
        assert refused.value.status == 403
        with pytest.raises(UpgradeRefused):
            await websocket.connect(client, "/")


@pytest.mark.parametrize(
    ("method", "change", "status"),
    [
        ("POST", {}, 400),
        ("GET", {"upgrade": "h2c"}, 400),
        ("GET", {"sec-websocket-version": "8"}, 426),
        ("GET", {"sec-websocket-key": "short"}, 400),
        ("GET", {"sec-websocket-key": "@@@"}, 400),
    ],
)
async def test_a_wrong_handshake_is_refused(method: str, change: dict[str, str], status: int) -> None:
    headers = {
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    async with talking(echo) as client:
        response, _ = await client.connect(Request(method, "/", {**headers, **change}))
        assert response.status == status


async def test_a_ping_is_answered_while_receiving() -> None:
    async with talking(echo) as client:
        socket = await websocket.connect(client, "/")
        await socket.ping(b"there?")
        await socket.send(b"after")
        assert await socket.receive() == b"after"
        await socket.close()


async def test_the_code_of_who_closes_reaches_the_other() -> None:
    codes: list[tuple[int, str]] = []

    async def listen(socket: WebSocket) -> None:
        await socket.receive()
        codes.append((socket.close_code, socket.close_reason))

    async def leave(socket: WebSocket) -> None:
        await socket.close(4001, "had enough")

    async with talking(listen) as client:
        socket = await websocket.connect(client, "/")
        await socket.close(1001, "going home")
    assert codes == [(1001, "going home")]
    async with talking(leave) as client:
        socket = await websocket.connect(client, "/")
        assert await socket.receive() is None
        assert (socket.close_code, socket.close_reason) == (4001, "had enough")
        await socket.close()


async def test_a_message_over_the_limit_ends_the_socket_with_1009() -> None:
    async with talking(echo, limit=1000) as client:
        socket = await websocket.connect(client, "/")
        await socket.send(b"x" * 1001)
        assert await socket.receive() is None
        assert socket.close_code == 1009
        await socket.close()


@pytest.mark.parametrize("frame", [b"\x82\x01x", b"\xf2\x80abcd", b"\x83\x80abcd", b"\x81\x82abcd\x9f\x9f"])
async def test_a_violation_of_the_protocol_ends_the_socket(frame: bytes) -> None:
    ends: list[int] = []

    async def listen(socket: WebSocket) -> None:
        while await socket.receive() is not None:
            pass
        ends.append(socket.close_code)

    async with talking(listen) as client:
        socket = await websocket.connect(client, "/")
        await socket._connection.write(frame)
        assert await socket.receive() is None
        assert socket.close_code in (1002, 1007)
        await socket.close()
    assert ends == [socket.close_code]


async def test_a_broken_connection_is_1006() -> None:
    ended = asyncio.Event()

    async def listen(socket: WebSocket) -> None:
        assert await socket.receive() is None
        assert socket.close_code == 1006
        ended.set()

    async with talking(listen) as client:
        socket = await websocket.connect(client, "/")
        socket._connection.close()
        await ended.wait()


async def test_a_sender_waits_for_a_slow_receiver() -> None:
    sent = 0

    async def pour(socket: WebSocket) -> None:
        nonlocal sent
        for _ in range(200):
            await socket.send(b"x" * 100_000)
            sent += 1

    async with talking(pour) as client:
        socket = await websocket.connect(client, "/")
        assert await socket.receive() is not None
        for _ in range(100):
            await asyncio.sleep(0)
        assert sent < 200
        got = 1
        while await socket.receive() is not None:
            got += 1
        assert (got, sent) == (200, 200)
        await socket.close()


@given(st.lists(st.binary(max_size=200), max_size=10), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_bytes_make_a_socket_hang_or_fail(pieces: list[bytes], framed: bool) -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def listen(socket: WebSocket) -> None:
            while await socket.receive() is not None:
                pass
            ended.set()

        async with asyncio.timeout(20), talking(listen) as client:
            socket = await websocket.connect(client, "/")
            try:
                for piece in pieces:
                    header = bytes((0x82, 0x80 | min(len(piece), 125))) if framed else b""
                    await socket._connection.write(header + b"mask" + piece[:125] if framed else piece)
            except ConnectionError:
                pass
            socket._connection.close()
            await ended.wait()

    asyncio.run(run())
