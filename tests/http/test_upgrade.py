from __future__ import annotations

import pytest

from sampan.http.client import HttpTransport
from sampan.http.errors import Disconnected
from sampan.http.types import Connection, Request, Response
from tests.http.conftest import serving


async def shout(connection: Connection) -> None:
    while data := await connection.read():
        await connection.write(data.upper())


def handler(request: Request) -> Response:
    if request.headers.get("upgrade") != "shouting":
        return Response(400, b"speak up")
    return Response(101, headers=(("Upgrade", "shouting"),), takeover=shout)


async def test_a_connection_is_taken_over_with_what_came_after_the_head() -> None:
    async with serving(handler) as (_, port):
        client = HttpTransport(f"http://127.0.0.1:{port}")
        response, connection = await client.connect(Request("POST", "/", {"upgrade": "shouting"}))
        assert response.status == 101
        await connection.write(b"hello")
        assert await connection.read() == b"HELLO"
        await connection.write(b"x" * 1_000_000)
        got = 0
        while got < 1_000_000:
            got += len(await connection.read())
        connection.close()
        assert (await connection.read(), got) == (b"", 1_000_000)
        await client.close()


async def test_a_refused_upgrade_has_a_whole_answer_and_a_closed_connection() -> None:
    async with serving(handler) as (_, port):
        client = HttpTransport(f"http://127.0.0.1:{port}")
        response, connection = await client.connect(Request("POST", "/", {"upgrade": "whispering"}))
        assert (response.status, response.body) == (400, b"speak up")
        assert await connection.read() == b""
        with pytest.raises(Disconnected):
            await connection.write(b"?")
        await client.close()
