from __future__ import annotations

from collections.abc import AsyncIterator

from sampan.http.client import HttpTransport
from sampan.http.server import Server
from sampan.http.types import Request, Response


def answer(request: Request) -> Response:
    return Response(200, f"{request.method} {request.path}".encode(), (("Content-Type", "text/plain"),))


async def echo(request: Request) -> Response:
    return Response(200, await request.read(1 << 20))


async def count() -> AsyncIterator[bytes]:
    for n in range(3):
        yield b"%d\n" % n


def handler(request: Request):
    if request.path == "/echo":
        return echo(request)
    if request.path == "/count":
        return Response(200, count())
    return answer(request)


async def test_a_client_and_a_server_over_a_socket() -> None:
    server = Server(handler)
    port = await server.listen("127.0.0.1", 0)
    client = HttpTransport(f"http://127.0.0.1:{port}")
    for _ in range(3):
        response = await client.send(Request("GET", "/a%20b?c=d"))
        assert (response.status, response.body) == (200, b"GET /a b")
    assert (await (await client.send(Request("POST", "/echo", content=b"x" * 300_000))).read()) == b"x" * 300_000
    response = await client.send(Request("GET", "/count"))
    assert await response.read() == b"0\n1\n2\n"
    assert len(server.connections) == 1
    await client.close()
    await server.close()
