from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sampan.http.client import HttpTransport
from sampan.http.types import Connection, Finishing, Request, Response
from sampan.streams import relay
from tests.http.conftest import serving


class Far:
    """A server that keeps what it was asked and shouts back until its peer's half ends."""

    def __init__(self, status: int = 101) -> None:
        self.status = status
        self.seen: Mapping[str, str] = {}

    def handler(self, request: Request) -> Response:
        self.seen = request.headers
        if self.status != 101:
            return Response(self.status, b"no such pod", (("X-Reason", "gone"),))
        return Response(101, b"", (("Upgrade", "shouting"), ("X-Extra", "kept")), self.shout)

    async def shout(self, connection: Connection) -> None:
        while data := await connection.read():
            await connection.write(data.upper())
        await connection.write(b"<the end>")


async def through(far: Far, headers: Mapping[str, str], use) -> None:
    async with serving(far.handler) as (_, far_port):
        onward = HttpTransport(f"http://127.0.0.1:{far_port}")

        async def answer(request: Request) -> Response:
            return await relay(request, onward.connect)

        async with serving(answer) as (_, port):
            client = HttpTransport(f"http://127.0.0.1:{port}")
            response, connection = await client.connect(Request("POST", "/x", {"upgrade": "shouting", **headers}))
            await use(response, connection)
            connection.close()
            await client.close()
        await onward.close()


async def test_bytes_pass_both_ways_and_a_half_close_passes_too() -> None:
    far = Far()

    async def use(response: Response, connection: Connection) -> None:
        assert (response.status, response.header("x-extra")) == (101, "kept")
        assert isinstance(connection, Finishing)
        payload = b"abc" * 300_000

        async def send() -> None:
            await connection.write(payload)
            await connection.finish()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            got = b""
            while data := await connection.read():
                got += data
        assert got == payload.upper() + b"<the end>"

    await through(far, {}, use)


async def test_the_clients_credentials_stay_here() -> None:
    far = Far()

    async def use(response: Response, connection: Connection) -> None:
        assert far.seen["upgrade"] == "shouting"
        assert far.seen["x-stream-protocol-version"] == "v4.channel.k8s.io"
        assert far.seen["sec-websocket-protocol"] == "v5.channel.k8s.io"
        assert not {"authorization", "impersonate-user", "x-remote-user", "cookie"} & set(far.seen)

    headers = {
        "authorization": "Bearer secret",
        "impersonate-user": "root",
        "x-remote-user": "root",
        "cookie": "a=b",
        "x-stream-protocol-version": "v4.channel.k8s.io",
        "sec-websocket-protocol": "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io",
    }
    await through(far, headers, use)


async def test_an_answer_that_is_no_upgrade_is_passed_on() -> None:
    async def use(response: Response, connection: Connection) -> None:
        assert (response.status, response.body, response.header("x-reason")) == (404, b"no such pod", "gone")

    await through(Far(404), {}, use)


async def test_the_far_end_is_closed_when_the_client_leaves() -> None:
    left = asyncio.Event()

    class Waiting(Far):
        async def shout(self, connection: Connection) -> None:
            while await connection.read():
                pass
            left.set()

    async def use(response: Response, connection: Connection) -> None:
        connection.close()
        await left.wait()

    await through(Waiting(), {}, use)


async def test_the_last_words_of_a_server_that_closes_reach_a_client_that_still_sends() -> None:
    class Closing(Far):
        async def shout(self, connection: Connection) -> None:
            await connection.read(1)
            await connection.write(b"z" * 3_000_000)

    async def use(response: Response, connection: Connection) -> None:
        async def send() -> None:
            try:
                while True:
                    await connection.write(b"a" * 1000)
                    await asyncio.sleep(0)
            except ConnectionError:
                return

        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(send())
            got = 0
            while data := await connection.read():
                got += len(data)
            sending.cancel()
        assert got > 0

    await through(Closing(), {}, use)
