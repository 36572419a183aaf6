from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sampan.http.errors import BodyTooLarge
from sampan.http.server import Limits, Server
from sampan.http.types import Handler, Request, Response
from tests.http.conftest import serving
from tests.http.raw import RawClient, open_raw

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def talking(handler: Handler, limits: Limits | None = None) -> AsyncIterator[tuple[Server, RawClient]]:
    async with serving(handler, limits=limits) as (server, port):
        client = await open_raw(port)
        try:
            yield server, client
        finally:
            await client.close()


def say(request: Request) -> Response:
    return Response(200, f"{request.method} {request.target}".encode())


async def read_all(request: Request) -> Response:
    return Response(200, await request.read(1_000_000))


async def test_requests_are_answered_in_their_order_however_they_arrive() -> None:
    slow = asyncio.Event()

    async def later(request: Request) -> Response:
        await slow.wait()
        return say(request)

    def handler(request: Request):
        return later(request) if request.path == "/slow" else say(request)

    async with talking(handler) as (_, client):
        requests = b"".join(
            b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % name for name in (b"a", b"slow", b"b", b"slow", b"c")
        )
        await client.send(requests)
        assert (await client.answer()).body == b"GET /a"
        slow.set()
        bodies = [(await client.answer()).body for _ in range(4)]
        assert bodies == [b"GET /slow", b"GET /b", b"GET /slow", b"GET /c"]
        for byte in requests:
            await client.send(bytes((byte,)))
        assert [(await client.answer()).body for _ in range(5)][-1] == b"GET /c"


async def test_what_the_handler_sees() -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response()

    async with talking(handler) as (_, client):
        await client.send(
            b"PATCH /a%20b/c?x=1&y=%2F&x= HTTP/1.1\r\nHOST: h\r\nAccept: a\r\naccept: b\r\nContent-Length: 2\r\n\r\nhi"
        )
        await client.answer()
        await client.send(b"GET http://other/path?q=1 HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.answer()
    first, second = seen
    assert (first.method, first.path, first.content) == ("PATCH", "/a b/c", b"hi")
    assert first.query == {"x": ["1", ""], "y": ["/"]}
    assert first.headers == {"host": "h", "accept": "a, b", "content-length": "2"}
    assert first.peer.startswith("127.0.0.1:")
    assert second.target == "/path?q=1"


async def test_a_body_is_read_in_pieces_and_whole() -> None:
    async def count(request: Request) -> Response:
        assert not isinstance(request.content, bytes)
        pieces = [piece async for piece in request.content]
        return Response(200, b"%d" % sum(map(len, pieces)))

    async with talking(count) as (_, client):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
        await client.send(b"x" * 300_000)
        assert (await client.answer()).body == b"300000"
    async with talking(read_all) as (_, client):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await client.send(b"2;ext=1\r\nde\r\n0\r\nTrailer: dropped\r\n\r\n")
        assert (await client.answer()).body == b"abcde"


async def test_a_body_over_the_handlers_limit_is_413_and_the_client_hears_it() -> None:
    async def little(request: Request) -> Response:
        return Response(200, await request.read(1000))

    async with talking(little) as (_, client):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 100_000)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert BodyTooLarge(1000).limit == 1000


async def test_an_unread_body_is_skipped_when_small_and_ends_the_connection_when_large() -> None:
    async with talking(say) as (_, client):
        await client.send(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        await client.send(b"x" * 100_000 + GET)
        assert [(await client.answer()).body, (await client.answer()).body] == [b"POST /a", b"GET /"]
        await client.send(b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 500_000)
        answer = await client.answer()
        assert (answer.body, answer.headers["connection"]) == (b"POST /b", "close")
        assert await client.ended() == b""


async def test_100_continue_is_sent_when_the_body_is_wanted_and_not_before() -> None:
    def handler(request: Request):
        return read_all(request) if request.path == "/read" else say(request)

    async with talking(handler) as (_, client):
        await client.send(b"PUT /read HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert (await client.answer()).status == 100
        await client.send(b"abc")
        assert (await client.answer()).body == b"abc"
        await client.send(b"PUT /no HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.ended() == b""


async def test_head_has_the_length_and_no_body() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"x"

    def handler(request: Request) -> Response:
        if request.path == "/passed-on":
            return Response(200, b"", (("Content-Length", "77"),))
        return Response(200, stream() if request.path == "/stream" else b"hello")

    async with talking(handler) as (_, client):
        lengths = []
        for path in (b"/", b"/passed-on", b"/stream"):
            await client.send(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            lengths.append((await client.answer(head_only=True)).headers.get("content-length"))
        assert lengths == ["5", "77", None]
        await client.send(GET)
        assert (await client.answer()).body == b"hello"


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body_have_none(status: int) -> None:
    async with talking(lambda request: Response(status, b"ignored")) as (_, client):
        await client.send(GET * 2)
        assert [(await client.answer()).status, (await client.answer()).status] == [status, status]


async def test_a_handler_cannot_break_the_framing() -> None:
    def handler(request: Request) -> Response:
        if request.path == "/split":
            return Response(200, b"", (("X-Evil", "a\r\nInjected: yes"),))
        framing = (("Content-Length", "3"), ("Transfer-Encoding", "chunked"), ("Connection", "keep-alive"))
        return Response(200, b"hello", framing)

    async with talking(handler) as (_, client):
        await client.send(GET)
        answer = await client.answer()
        assert (answer.body, "transfer-encoding" in answer.headers) == (b"hello", False)
        await client.send(b"GET /split HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, "injected" in answer.headers) == (500, False)


async def test_a_failing_handler_is_500_and_the_connection_lives() -> None:
    async def fail_later(request: Request) -> Response:
        raise RuntimeError("oh")

    def handler(request: Request):
        if request.path == "/now":
            raise RuntimeError("oh")
        return fail_later(request) if request.path == "/later" else say(request)

    async with talking(handler) as (_, client):
        for path in (b"/now", b"/later"):
            await client.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            answer = await client.answer()
            assert (answer.status, answer.body) == (500, b"internal error\n")
        await client.send(GET)
        assert (await client.answer()).status == 200


@pytest.mark.parametrize("length", ["3", "50"])
async def test_a_stream_that_breaks_its_promise_is_cut(length: str) -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"0123456789"

    async with talking(lambda request: Response(200, stream(), (("Content-Length", length),))) as (_, client):
        await client.send(GET)
        assert len(await client.ended()) < 300


async def test_a_stream_that_fails_is_cut_so_that_nobody_takes_it_for_complete() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("oh")

    async with talking(lambda request: Response(200, stream())) as (_, client):
        await client.send(GET)
        assert b"0\r\n\r\n" not in await client.ended()


async def test_a_stream_waits_for_its_reader_and_ends_with_it() -> None:
    produced = 0
    closed = asyncio.Event()

    async def pour() -> AsyncIterator[bytes]:
        nonlocal produced
        try:
            while True:
                produced += 1
                yield b"x" * 100_000
        finally:
            closed.set()

    async with talking(lambda request: Response(200, pour())) as (_, client):
        await client.send(GET)
        await client.reader.readuntil(b"\r\n\r\n")
        before = -1
        while before != produced:
            before = produced
            for _ in range(20):
                await asyncio.sleep(0)
        assert produced < 200
        await client.close()
        await closed.wait()


async def test_a_peer_that_only_sends_is_not_answered_without_end() -> None:
    answered = 0

    def handler(request: Request) -> Response:
        nonlocal answered
        answered += 1
        return Response(200, b"x" * 10_000)

    async with talking(handler) as (_, client):
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                await client.send(GET * 100)
                sent += 100

        async with asyncio.TaskGroup() as tasks:
            flooding = tasks.create_task(flood())
            before = -1
            while before != answered or not answered:
                before = answered
                for _ in range(200):
                    await asyncio.sleep(0)
            assert answered < 5000
            client.reader._limit = 1 << 30
            for _ in range(answered + 10):
                assert len((await client.answer()).body) == 10_000
            flooding.cancel()
            client.writer.transport.abort()


async def test_a_request_that_waits_its_turn_holds_no_more_than_a_bounded_body() -> None:
    go = asyncio.Event()

    async def wait(request: Request) -> Response:
        await go.wait()
        return say(request)

    def handler(request: Request):
        return wait(request) if request.path == "/first" else read_all(request)

    async with talking(handler) as (server, client), asyncio.TaskGroup() as tasks:
        await client.send(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\n")
        body = b"y" * 900_000
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
        tasks.create_task(client.send(head + body))
        connection = next(iter(server.connections))
        while not connection._paused:
            await asyncio.sleep(0)
        assert connection._reader.queued < 600_000
        go.set()
        assert (await client.answer()).body == b"GET /first"
        assert (await client.answer()).body == body


async def test_http_1_0() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    def handler(request: Request) -> Response:
        return Response(200, stream() if request.path == "/stream" else b"hi")

    async with serving(handler) as (_, port):
        client = await open_raw(port)
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.answer()).headers["connection"] == "keep-alive"
        await client.send(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert (await client.answer()).body == b"ab"
        await client.close()
        client = await open_raw(port)
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.answer()).body == b"hi"
        assert await client.ended() == b""
        await client.close()


async def test_connection_close_is_kept() -> None:
    async with talking(say) as (_, client):
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.ended() == b""
    async with talking(lambda request: Response(200, b"", (("Connection", "close"),))) as (_, client):
        await client.send(GET)
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.ended() == b""


async def test_an_upgrade_that_the_handler_does_not_want_is_a_plain_request() -> None:
    async with talking(say) as (_, client):
        await client.send(b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        answer = await client.answer()
        assert (answer.body, answer.headers["connection"]) == (b"GET /x", "close")
        assert await client.ended() == b""


async def test_a_takeover_without_an_upgrade_is_the_handlers_fault() -> None:
    async def takeover(connection) -> None:
        raise AssertionError("nobody may take this over")

    async with talking(lambda request: Response(101, takeover=takeover)) as (_, client):
        await client.send(GET)
        assert (await client.answer()).status == 500


async def test_the_handler_of_a_client_that_left_is_cancelled() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Response()

    async with talking(wait) as (_, client):
        await client.send(GET)
        await started.wait()
        await client.close()
        await cancelled.wait()


async def test_close_lets_answers_finish_and_cuts_what_does_not() -> None:
    go, started = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Response:
        started.set()
        await (go if request.path == "/soon" else asyncio.Event()).wait()
        return say(request)

    server = Server(wait)
    port = await server.listen("127.0.0.1", 0)
    idle, soon = await open_raw(port), await open_raw(port)
    await soon.send(b"GET /soon HTTP/1.1\r\nHost: x\r\n\r\n")
    await started.wait()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.close(grace=30))
        assert await idle.ended() == b""
        go.set()
        assert (await soon.answer()).headers["connection"] == "close"
    await idle.close()
    await soon.close()

    server = Server(wait)
    stuck = await open_raw(await server.listen("127.0.0.1", 0))
    started.clear()
    await stuck.send(GET)
    await started.wait()
    await server.close(grace=0)
    assert await stuck.ended() == b""
    await stuck.close()
    with pytest.raises(ConnectionError):
        await open_raw(port)


Step = Callable[[RawClient], object]
QUICK = Limits(head_time=0.01, body_time=0.01, idle_time=0.01, write_time=0.01, stream_time=0.01)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampan.http.server.SWEEP", 0.01)


@pytest.mark.usefixtures("impatient")
async def test_a_head_that_never_ends_is_408() -> None:
    async with talking(say, QUICK) as (_, client):
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert await client.ended() == b""


@pytest.mark.usefixtures("impatient")
async def test_bytes_that_drip_do_not_extend_the_time_of_a_head() -> None:
    async with talking(say, QUICK) as (_, client):
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")

        async def drip() -> None:
            while True:
                await client.send(b"a")
                await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as tasks:
            dripping = tasks.create_task(drip())
            assert (await client.answer()).status == 408
            dripping.cancel()


@pytest.mark.usefixtures("impatient")
async def test_a_body_that_never_comes_is_408() -> None:
    async with talking(read_all, QUICK) as (_, client):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert (await client.answer()).status == 408


@pytest.mark.usefixtures("impatient")
async def test_a_handler_that_takes_its_time_with_a_body_is_not_the_peers_fault() -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(0.1)
        return Response(200, await request.read(100))

    async with talking(slow, Limits(body_time=0.02)) as (_, client):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        await asyncio.sleep(0.08)
        await client.send(b"def")
        assert (await client.answer()).body == b"abcdef"


@pytest.mark.usefixtures("impatient")
async def test_silent_connections_end() -> None:
    async with talking(say, QUICK) as (_, client):
        assert await client.ended() == b""
    async with talking(say, QUICK) as (_, client):
        await client.send(GET)
        await client.answer()
        assert await client.ended() == b""


@pytest.mark.usefixtures("impatient")
async def test_a_peer_that_never_reads_is_cut() -> None:
    closed = asyncio.Event()

    async def pour() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.set()

    async with talking(lambda request: Response(200, pour()), QUICK) as (_, client):
        client.writer.transport.pause_reading()
        await client.send(GET)
        await closed.wait()
        client.writer.transport.abort()


@pytest.mark.usefixtures("impatient")
async def test_a_watch_without_events_is_not_idle() -> None:
    go = asyncio.Event()

    async def watch() -> AsyncIterator[bytes]:
        yield b"first"
        await go.wait()
        yield b"second"

    async with talking(lambda request: Response(200, watch()), QUICK) as (_, client):
        await client.send(GET)
        await client.reader.readuntil(b"first\r\n")
        await asyncio.sleep(0.1)
        go.set()
        assert b"second" in await client.reader.readuntil(b"second\r\n")


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_nobody_takes_is_cut_a_stream_is_left_to_its_reader() -> None:
    limits = Limits(write_time=0.01, stream_time=1000)
    size = 20_000_000

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * (size // 200)

    def handler(request: Request) -> Response:
        return Response(200, stream() if request.path == "/stream" else b"x" * size, ())

    async with talking(handler, limits) as (server, client):
        client.writer.transport.pause_reading()
        await client.send(GET)
        while not server.connections:
            await asyncio.sleep(0.001)
        while server.connections:
            await asyncio.sleep(0.001)
    async with talking(handler, limits) as (server, client):
        client.writer.transport.pause_reading()
        await client.send(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.1)
        client.writer.transport.resume_reading()
        assert len((await client.answer()).body) == size
