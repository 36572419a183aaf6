from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from sampan.http import tls
from sampan.http.client import HttpTransport
from sampan.http.errors import Disconnected, ProtocolError, TimedOut
from sampan.http.link import WHOLE
from sampan.http.types import Request, Response
from sampan.pki import Authority
from tests.http.conftest import serving

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Scripted:
    """A server that does to each connection what a script says; `connections` counts them."""

    def __init__(self, script: Script) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._script = script

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        return head


@asynccontextmanager
async def scripted(script: Callable[[Scripted], Script], **options) -> AsyncIterator[tuple[Scripted, HttpTransport]]:
    host = Scripted(lambda reader, writer: script(host)(reader, writer))
    server = await asyncio.start_server(host.take, "127.0.0.1", 0)
    client = HttpTransport(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", **options)
    try:
        yield host, client
    finally:
        await client.close()
        server.close()
        await server.wait_closed()


def always(answer: bytes, *, close: bool = False) -> Callable[[Scripted], Script]:
    def script(host: Scripted) -> Script:
        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await host.request(reader)
                writer.write(answer)
                await writer.drain()
                if close:
                    return

        return run

    return script


GET = Request("GET", "/")


async def test_a_connection_is_used_again_and_again() -> None:
    async with scripted(always(OK)) as (host, client):
        for _ in range(10):
            assert (await client.send(GET)).body == b"ok"
        assert host.connections == 1
        await asyncio.gather(*(client.send(GET) for _ in range(5)))
        assert host.connections == 5
        await asyncio.gather(*(client.send(GET) for _ in range(5)))
        assert host.connections == 5


async def test_many_at_once_each_get_their_own_answer() -> None:
    async with serving(lambda request: Response(200, request.target.encode())) as (server, port):
        client = HttpTransport(f"http://127.0.0.1:{port}", max_connections=8)

        async def ask(worker: int) -> None:
            for n in range(50):
                target = f"/{worker}/{n}"
                assert (await client.send(Request("GET", target))).body == target.encode()

        await asyncio.gather(*(ask(worker) for worker in range(20)))
        assert len(server.connections) <= 8
        await client.close()


async def test_an_answer_may_begin_before_the_request_has_ended() -> None:
    asked = asyncio.Event()

    class Slow:
        async def read(self, limit: int) -> bytes:
            return b""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"first "
            await asked.wait()
            yield b"second"

    async def echo(request: Request) -> Response:
        assert not isinstance(request.content, bytes)
        return Response(200, aiter(request.content))

    async with serving(echo) as (_, port):
        client = HttpTransport(f"http://127.0.0.1:{port}")
        response = await client.send(Request("POST", "/", content=Slow()))
        body = aiter(response.body)
        assert await anext(body) == b"first "
        asked.set()
        assert await anext(body) == b"second"
        assert [part async for part in body] == []
        await client.close()


async def test_what_is_sent() -> None:
    tokens = iter(("one", "two"))
    headers = lambda: {"Authorization": f"Bearer {next(tokens)}"}  # noqa: E731
    async with scripted(always(OK), headers=headers) as (host, client):
        client._prefix = "/prefix"
        await client.send(Request("GET", "/a?b=c", {"Accept": "x"}))
        await client.send(Request("POST", "/d"))
    lines = host.requests[0].decode().split("\r\n")
    assert lines[0] == "GET /prefix/a?b=c HTTP/1.1"
    assert {"authorization: Bearer one", "accept: x"} <= set(lines)
    assert any(line.startswith("host: 127.0.0.1:") for line in lines)
    assert b"authorization: Bearer two" in host.requests[1]
    assert b"content-length: 0" in host.requests[1]


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/\0"])
async def test_a_target_cannot_smuggle(target: str) -> None:
    async with scripted(always(OK)) as (host, client):
        with pytest.raises(ValueError, match="control character"):
            await client.send(Request("GET", target))
        with pytest.raises(ValueError, match="line break"):
            await client.send(Request("GET", "/", {"X": "a\r\nY: b"}))
        with pytest.raises(ValueError, match="control character"):
            await client.send(Request("GET /x HTTP/1.1\r\nX: y\r\n\r\nGET", "/"))
        assert (await client.send(GET)).body == b"ok"
        assert len(host.requests) == 1


async def test_an_idle_connection_that_the_server_closed_is_replaced() -> None:
    async with scripted(always(OK, close=True)) as (host, client):
        for _ in range(3):
            assert (await client.send(GET)).body == b"ok"
            while client._idle:
                await asyncio.sleep(0)
        assert (await client.send(Request("POST", "/"))).body == b"ok"
        assert host.connections == 4


def closes_the_second(host: Scripted) -> Script:
    """Takes the second request of a connection and closes without a word."""

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await host.request(reader)
        writer.write(OK)
        await host.request(reader)

    return run


async def test_a_read_that_met_a_closing_connection_is_sent_once_more() -> None:
    async with scripted(closes_the_second) as (host, client):
        await client.send(GET)
        assert (await client.send(GET)).body == b"ok"
        assert (host.connections, len(host.requests)) == (2, 3)


async def test_a_write_is_never_sent_twice() -> None:
    async with scripted(closes_the_second) as (host, client):
        await client.send(GET)
        with pytest.raises(Disconnected, match="without an answer"):
            await client.send(Request("POST", "/", content=b"x"))
        assert len(host.requests) == 2


def silent(host: Scripted) -> Script:
    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await host.request(reader)

    return run


async def test_a_new_connection_that_is_closed_is_not_tried_again() -> None:
    async with scripted(silent) as (host, client):
        with pytest.raises(Disconnected, match="without an answer"):
            await client.send(GET)
        assert host.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\nhalf",
    ],
)
async def test_a_truncated_answer_is_an_error(answer: bytes) -> None:
    async with scripted(always(answer, close=True)) as (_, client):
        with pytest.raises(Disconnected, match="in the middle of an answer"):
            await (await client.send(GET)).read()


@pytest.mark.parametrize(
    "answer",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 600_000, b"\x15\x03\x01\x00"],
)
async def test_an_answer_that_is_no_http_is_an_error(answer: bytes) -> None:
    async with scripted(always(answer, close=True)) as (_, client):
        with pytest.raises((ProtocolError, Disconnected)) as raised:
            await client.send(GET)
        assert isinstance(raised.value, OSError)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"ok"),
    ],
)
async def test_answers_keep_the_connection(answer: bytes, body: bytes) -> None:
    async with scripted(always(answer)) as (host, client):
        for _ in range(3):
            response = await client.send(GET)
            assert await response.read() == body
            assert not response.header("link")
        assert host.connections == 1


async def test_head_has_no_body_whatever_its_length_says() -> None:
    async with scripted(always(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")) as (host, client):
        for _ in range(3):
            response = await client.send(Request("HEAD", "/"))
            assert (response.body, response.header("content-length")) == (b"", "500")
        assert host.connections == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\nold", b"HTTP/1.0 200 OK\r\n\r\nold"])
async def test_an_answer_without_a_length_ends_with_the_connection(answer: bytes) -> None:
    async with scripted(always(answer, close=True)) as (host, client):
        for _ in range(2):
            assert await (await client.send(GET)).read() == b"old"
        assert host.connections == 2


async def test_bytes_that_answer_nothing_end_the_connection() -> None:
    async with scripted(always(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")) as (host, client):
        for _ in range(3):
            assert (await client.send(GET)).body == b"ok"
        assert host.connections == 3


async def test_a_long_answer_is_a_stream_with_back_pressure() -> None:
    produced = 0

    async def pour() -> AsyncIterator[bytes]:
        nonlocal produced
        for _ in range(500):
            produced += 1
            yield b"x" * 50_000

    async with serving(lambda request: Response(200, pour())) as (server, port):
        client = HttpTransport(f"http://127.0.0.1:{port}")
        response = await client.send(GET)
        assert not isinstance(response.body, bytes)
        before = -1
        while before != produced:
            before = produced
            for _ in range(50):
                await asyncio.sleep(0)
        assert produced < 400
        assert len(await response.read()) == 25_000_000
        await client.send(GET)
        assert len(server.connections) == 1
        await client.close()


async def test_a_long_answer_of_known_length_is_a_stream_a_shorter_one_is_whole() -> None:
    def handler(request: Request) -> Response:
        return Response(200, b"x" * (WHOLE + int(request.param("more"))))

    async with serving(handler) as (_, port):
        client = HttpTransport(f"http://127.0.0.1:{port}")
        assert isinstance((await client.send(Request("GET", "/?more=0"))).body, bytes)
        response = await client.send(Request("GET", "/?more=1"))
        assert not isinstance(response.body, bytes)
        assert len(await response.read()) == WHOLE + 1
        await client.close()


async def test_closing_a_stream_early_closes_its_connection() -> None:
    closed = asyncio.Event()

    async def watch() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"event\n"
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with serving(lambda request: Response(200, watch())) as (server, port):
        client = HttpTransport(f"http://127.0.0.1:{port}")
        for read_one in (True, False):
            closed.clear()
            response = await client.send(GET)
            async with aclosing(response.body) as body:  # type: ignore[type-var]
                if read_one:
                    assert (await anext(body)).startswith(b"event")
            await closed.wait()
        response = await client.send(GET)
        closed.clear()
        del response, body
        await closed.wait()
        while server.connections:
            await asyncio.sleep(0)
        await client.close()


async def test_streams_and_requests_share_the_limit_of_connections() -> None:
    go = asyncio.Event()

    async def wait() -> AsyncIterator[bytes]:
        yield b"begun"
        await go.wait()

    def handler(request: Request) -> Response:
        return Response(200, wait() if request.path == "/watch" else b"ok")

    async with serving(handler) as (_, port):
        client = HttpTransport(f"http://127.0.0.1:{port}", max_connections=2, answer_timeout=0.05)
        streams = [await client.send(Request("GET", "/watch")) for _ in range(2)]
        with pytest.raises(TimedOut, match="all connections are in use"):
            await client.send(GET)
        go.set()
        assert [await stream.read() for stream in streams] == [b"begun", b"begun"]
        assert (await client.send(GET)).body == b"ok"
        await client.close()


async def test_a_request_body_is_streamed() -> None:
    class Pieces:
        async def read(self, limit: int) -> bytes:
            raise AssertionError("it is to be streamed")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"y" * 30_000

    async def count(request: Request) -> Response:
        assert request.headers["transfer-encoding"] == "chunked"
        return Response(200, b"%d" % len(await request.read(10_000_000)))

    async def refuse(request: Request) -> Response:
        return Response(413, b"too much")

    async with serving(count) as (server, port):
        client = HttpTransport(f"http://127.0.0.1:{port}")
        for _ in range(2):
            assert (await client.send(Request("POST", "/", content=Pieces()))).body == b"3000000"
        assert len(server.connections) == 1
        await client.close()
    async with serving(refuse) as (_, port):
        client = HttpTransport(f"http://127.0.0.1:{port}")
        assert (await client.send(Request("POST", "/", content=Pieces()))).body == b"too much"
        await client.close()


async def test_a_request_body_that_fails_fails_the_request() -> None:
    class Broken:
        async def read(self, limit: int) -> bytes:
            return b""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"x"
            raise ValueError("the source broke")

    async with scripted(always(OK)) as (_, client):
        host_free = client._free_slots
        with pytest.raises(ValueError, match="the source broke"):
            await client.send(Request("PUT", "/", content=Broken()))
        while client._free_slots != host_free:
            await asyncio.sleep(0)


def never(host: Scripted) -> Script:
    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    return run


async def test_a_server_that_does_not_answer_is_timed_out() -> None:
    async with scripted(never, answer_timeout=0.02) as (_, client):
        with pytest.raises(TimedOut, match=r"GET http://127.0.0.1:\d+/x: no answer within 0.02 s"):
            await client.send(Request("GET", "/x"))


async def test_a_cancelled_request_frees_its_connection() -> None:
    async with scripted(never) as (_, client):
        free = client._free_slots
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(client.send(GET))
            while not client._busy:
                await asyncio.sleep(0)
            task.cancel()
        while client._free_slots != free:
            await asyncio.sleep(0)


async def test_a_server_that_is_not_there() -> None:
    client = HttpTransport("http://127.0.0.1:1")
    with pytest.raises(Disconnected, match=r"cannot connect to http://127\.0\.0\.1:1"):
        await client.send(GET)
    await client.close()
    with pytest.raises(Disconnected, match="closed"):
        await client.send(GET)


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:80", "http://"])
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="no http or https URL"):
        HttpTransport(url)


async def test_close_ends_requests_under_way() -> None:
    async with scripted(never) as (_, client), asyncio.TaskGroup() as tasks:

        async def ask() -> None:
            with pytest.raises(Disconnected):
                await client.send(GET)

        tasks.create_task(ask())
        while not client._busy:
            await asyncio.sleep(0)
        await client.close()


async def test_keep_alive_under_tls(
    server_tls: ssl.SSLContext, authority: Authority, client_files: tuple[Path, Path]
) -> None:
    context = tls.client_context(ca_file=authority.certificate_path)
    async with serving(lambda request: Response(200, b"x" * 300_000), tls=server_tls) as (server, port):
        client = HttpTransport(f"https://127.0.0.1:{port}", tls=context)
        for _ in range(5):
            assert len(await (await client.send(GET)).read()) == 300_000
        assert len(server.connections) == 1
        await client.close()
