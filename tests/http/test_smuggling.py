"""What two readers of the same bytes could understand differently, and what is larger than anybody needs."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.http.incoming import Limits, Reader, Refused
from sampan.http.types import Request, Response
from tests.http.conftest import serving
from tests.http.raw import open_raw


def ok(request: Request) -> Response:
    return Response(200, b"ok")


async def refusal(data: bytes, limits: Limits | None = None) -> int:
    """The status that these bytes are refused with; the connection must end after it."""
    async with serving(ok, limits=limits) as (_, port):
        client = await open_raw(port)
        await client.send(data)
        answer = await client.answer()
        assert answer.headers["connection"] == "close"
        assert await client.ended() == b""
        await client.close()
        return answer.status


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
        HEAD + b"Content-Length: +3\r\n\r\nabc",
        HEAD + b"Content-Length: -3\r\n\r\nabc",
        HEAD + b"Content-Length: 0x3\r\n\r\nabc",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
        HEAD + b"Content-Length : 3\r\n\r\nabc",
        HEAD + b"Content-Length: 3\n\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        HEAD + b"X-Folded: a\r\n b\r\n\r\n",
        HEAD + b" X-Leading: a\r\n\r\n",
        HEAD + b"X-Null: a\0b\r\n\r\n",
        HEAD + b"X-Bare: a\rb\r\n\r\n",
        HEAD + b"No colon\r\n\r\n",
        HEAD + b": no name\r\n\r\n",
        HEAD + b"Host: y\r\n\r\n",
        HEAD + b"Authorization: a\r\nAuthorization: b\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1 x\r\nHost: x\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_ambiguous_and_malformed_requests_are_refused(data: bytes) -> None:
    assert await refusal(data) in (400, 501, 505)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 100_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a" * 100_000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(300)) + b"\r\n", 431),
        (b"\r\n" * 100_000, 431),
        (HEAD + b"Expect: tea\r\nContent-Length: 3\r\n\r\nabc", 417),
    ],
)
async def test_what_is_too_large_is_refused(data: bytes, status: int) -> None:
    assert await refusal(data) == status


@pytest.mark.parametrize("rest", [b"5;" + b"x" * 200_000, b"0\r\nTrailer: " + b"x" * 200_000])
async def test_endless_chunk_extensions_and_trailers_end_the_connection(rest: bytes) -> None:
    async def read(request: Request) -> Response:
        return Response(200, await request.read(1000))

    async with serving(read) as (_, port):
        client = await open_raw(port)
        await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        await client.send(rest)
        assert b"200 OK" not in await client.ended()
        await client.close()


async def test_a_trailer_is_no_header() -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200, b"ok")

    async with serving(handler) as (_, port):
        client = await open_raw(port)
        await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Remote-User: root\r\nHost: y\r\n\r\n")
        assert (await client.answer()).body == b"ok"
        await client.close()
    assert seen[0].headers == {"host": "x", "transfer-encoding": "chunked"}


async def test_a_refused_request_behind_one_under_way_cuts_the_connection() -> None:
    started = asyncio.Event()

    async def wait(request: Request) -> Response:
        started.set()
        await asyncio.Event().wait()
        return Response()

    async with serving(wait) as (_, port):
        client = await open_raw(port)
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await started.wait()
        await client.send(b"nonsense\r\n\r\n")
        assert await client.ended() == b""
        await client.close()


def read_in_pieces(data: bytes, size: int) -> list[tuple[str, bytes, bytes]] | int:
    """The requests that a reader makes of it, or the status that it refuses it with."""
    reader = Reader(Limits(head=2000, headers=20))
    try:
        for at in range(0, len(data), size):
            if reader.feed(data[at : at + size]) is not None:
                break
    except Refused as refused:
        return refused.status
    return [(r.method, r.url, b"".join(r.body)) for r in reader.ready if r.complete]


PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n", b"Content-Length: 5\r\n", b"hello",
        b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"Connection: close\r\n", b"\n", b"\r",
        b"Connection: Upgrade\r\nUpgrade: x\r\n", b"Expect: 100-continue\r\n", b" ", b":", b"\0", b"\xff", b"GET ",
    ]
)  # fmt: skip


@given(st.lists(PIECES | st.binary(max_size=20), max_size=25))
@settings(max_examples=300)
def test_how_bytes_are_cut_changes_nothing(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    whole = read_in_pieces(data, len(data) or 1)
    for size in (1, 3, 17):
        cut = read_in_pieces(data, size)
        assert isinstance(whole, int) or isinstance(cut, int) or whole == cut


@given(st.lists(PIECES | st.binary(max_size=200), max_size=15))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_a_server_hang_or_fail(pieces: list[bytes]) -> None:
    async def run() -> None:
        async def read(request: Request) -> Response:
            return Response(200, await request.read(1 << 20))

        async with serving(read) as (server, port), asyncio.timeout(20):
            client = await open_raw(port)
            try:
                for piece in pieces:
                    await client.send(piece)
                client.writer.write_eof()
            except ConnectionError:
                pass
            await client.ended()
            await client.close()
            while server.connections:
                await asyncio.sleep(0)

    asyncio.run(run())
