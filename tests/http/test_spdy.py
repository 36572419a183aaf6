from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampan.http import spdy_frames as wire
from sampan.http.client import HttpTransport
from sampan.http.errors import Disconnected, ProtocolError
from sampan.http.spdy import Session, Stream
from sampan.http.types import Connection, Request, Response
from tests.http.conftest import serving

Serve = Callable[[Session], Awaitable[None]]


def test_the_dictionary_is_the_one_of_the_specification() -> None:
    assert (len(wire.DICTIONARY), zlib.adler32(wire.DICTIONARY)) == (1423, 0xE3C6A7C2)


def decoded(*chunks: bytes) -> list[wire.Frame]:
    decoder = wire.Decoder()
    frames: list[wire.Frame] = []
    for chunk in chunks:
        decoder.feed(chunk)
        frames += decoder.frames()
    return frames


def test_every_frame_survives_the_wire_in_pieces_of_any_size() -> None:
    encoder = wire.Encoder()
    raw = b"".join(
        (
            wire.settings({7: 1000}),
            encoder.syn_stream(1, {"StreamType": "stdin", "port": "80"}),
            encoder.syn_reply(1, {}),
            encoder.headers(1, {"streamtype": "stdin"}, fin=True),
            wire.data(1, b""),
            wire.ping(3),
            wire.reset(5, wire.CANCEL),
            wire.window_update(0, 77),
            wire.goaway(9),
        )
    )
    expected = [
        wire.Settings({7: 1000}),
        wire.Syn(wire.SYN_STREAM, 1, {"streamtype": "stdin", "port": "80"}, False),
        wire.Syn(wire.SYN_REPLY, 1, {}, False),
        wire.Syn(wire.HEADERS, 1, {"streamtype": "stdin"}, True),
        wire.Data(1, b"", False),
        wire.Ping(3),
        wire.Reset(5, 5),
        wire.WindowUpdate(0, 77),
        wire.GoAway(9, 0),
    ]
    for size in (1, 7, 8, 100, len(raw)):
        assert decoded(*(raw[n : n + size] for n in range(0, len(raw), size))) == expected


def test_a_large_data_frame_comes_in_parts() -> None:
    raw = wire.data(3, b"x" * 1000, fin=True)
    parts = decoded(raw[:500], raw[500:])
    assert parts == [wire.Data(3, b"x" * 492, False), wire.Data(3, b"x" * 508, True)]


def test_a_header_block_that_unpacks_without_end_is_refused() -> None:
    bomb = wire.Encoder().syn_stream(1, {"name": "x" * 1_000_000})
    assert len(bomb) < 10_000
    with pytest.raises(ProtocolError, match="unpacks to more"):
        decoded(bomb)


@given(st.binary(max_size=300))
def test_random_bytes_are_frames_or_a_protocol_error(data: bytes) -> None:
    try:
        decoded(data)
    except ProtocolError:
        pass


@given(st.binary(max_size=100), st.sampled_from([1, 2, 3, 4, 6, 7, 8, 9, 11]))
def test_random_control_frames_are_frames_or_a_protocol_error(payload: bytes, kind: int) -> None:
    try:
        decoded(wire._control(kind, 0, payload))
    except ProtocolError:
        pass


@asynccontextmanager
async def session(serve: Serve, **options) -> AsyncIterator[Session]:
    async def takeover(connection: Connection) -> None:
        async with asyncio.TaskGroup() as tasks:
            server = Session(connection, server=True, **options)
            tasks.create_task(serve(server))
            await server.run()

    def handler(request: Request) -> Response:
        return Response(101, headers=(("Upgrade", "SPDY/3.1"),), takeover=takeover)

    async with serving(handler) as (_, port):
        transport = HttpTransport(f"http://127.0.0.1:{port}")
        _, connection = await transport.connect(Request("POST", "/", {"upgrade": "SPDY/3.1"}))
        client = Session(connection, server=False)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.run())
            try:
                yield client
            finally:
                await client.close()
        await transport.close()


async def echo(session: Session) -> None:
    async def one(stream: Stream) -> None:
        while data := await stream.read():
            await stream.write(data)
        await stream.finish()

    async with asyncio.TaskGroup() as tasks:
        while (stream := await session.accept()) is not None:
            tasks.create_task(one(stream))


async def collect(stream: Stream) -> bytes:
    parts = []
    while part := await stream.read():
        parts.append(part)
    return b"".join(parts)


async def test_streams_carry_bytes_both_ways_at_once() -> None:
    async def use(client: Session, n: int) -> bytes:
        stream = await client.open({"n": str(n)})
        payload = bytes([n]) * 700_000
        async with asyncio.TaskGroup() as tasks:
            back = tasks.create_task(collect(stream))
            await stream.write(payload)
            await stream.finish()
        return back.result()

    async with session(echo) as client:
        for n, answer in enumerate(await asyncio.gather(*(use(client, n) for n in range(5)))):
            assert answer == bytes([n]) * 700_000
        await client.ping()


async def test_a_stream_that_nobody_reads_stops_only_itself_between_peers_that_mind_windows() -> None:
    slow: asyncio.Queue[Stream] = asyncio.Queue()

    async def serve(server: Session) -> None:
        slow.put_nowait(await server.accept())
        await echo(server)

    async with session(serve) as client, asyncio.TaskGroup() as tasks:
        stuck = await client.open({})
        pouring = tasks.create_task(stuck.write(b"x" * 1_000_000))
        quick = await client.open({})
        await quick.write(b"hello")
        assert await quick.read() == b"hello"
        assert not pouring.done()
        stream = await slow.get()
        got = 0
        while got < 1_000_000:
            got += len(await stream.read())
        await pouring
        assert got == 1_000_000


async def test_half_a_stream_ends_alone() -> None:
    async def serve(server: Session) -> None:
        stream = await server.accept()
        await stream.finish()
        assert await collect(stream) == b"still talking"
        assert await server.accept() is None

    async with session(serve) as client:
        stream = await client.open({})
        assert await stream.read() == b""
        await stream.write(b"still talking")
        await stream.finish()
        with pytest.raises(Disconnected):
            await stream.write(b"more")


async def test_a_reset_reaches_the_other_end() -> None:
    async def serve(server: Session) -> None:
        stream = await server.accept()
        await stream.reset()
        assert await server.accept() is None

    async with session(serve) as client:
        stream = await client.open({})
        with pytest.raises(Disconnected, match="reset"):
            await stream.read()
        with pytest.raises(Disconnected):
            await stream.write(b"?")


async def test_an_unwanted_stream_is_refused() -> None:
    async with session(echo, wanted=lambda headers: headers.get("streamtype") == "data") as client:
        stream = await client.open({"streamType": "nonsense"})
        with pytest.raises(Disconnected, match="status 3"):
            await stream.read()
        stream = await client.open({"streamType": "data"})
        await stream.write(b"x")
        assert await stream.read() == b"x"


async def test_the_end_of_the_connection_ends_every_stream() -> None:
    async def serve(server: Session) -> None:
        await server.accept()
        await server.close()

    async with session(serve) as client:
        stream = await client.open({})
        with pytest.raises(Disconnected):
            await stream.read()
        with pytest.raises(Disconnected):
            await client.open({})


async def test_a_peer_that_never_mentions_windows_is_not_waited_for() -> None:
    """The Go implementation answers no WINDOW_UPDATE: our side must send on."""

    async def serve(server: Session) -> None:
        stream = await server.accept()
        await stream.write(b"y" * 300_000)
        await stream.finish()
        assert await collect(stream) == b"z" * 500_000

    async def takeover(connection: Connection) -> None:
        async with asyncio.TaskGroup() as tasks:
            server = Session(connection, server=True)
            tasks.create_task(serve(server))
            await server.run()

    upgraded = (("Upgrade", "SPDY/3.1"),)
    async with serving(lambda request: Response(101, b"", upgraded, takeover)) as (_, port):
        transport = HttpTransport(f"http://127.0.0.1:{port}")
        _, connection = await transport.connect(Request("POST", "/", {"upgrade": "SPDY/3.1"}))
        await connection.write(wire.Encoder().syn_stream(1, {"streamtype": "data"}))
        decoder, got, fin = wire.Decoder(), 0, False
        while not fin:
            decoder.feed(await connection.read())
            for frame in decoder.frames():
                if isinstance(frame, wire.Data):
                    got, fin = got + len(frame.data), frame.fin
        assert got == 300_000
        for _ in range(5):
            await connection.write(wire.data(1, b"z" * 100_000))
        await connection.write(wire.data(1, b"", fin=True))
        connection.close()
        await transport.close()


@given(st.lists(st.binary(max_size=60) | st.builds(wire._control, st.integers(1, 10), st.integers(0, 3), st.binary(max_size=40)) | st.builds(wire.data, st.integers(0, 5), st.binary(max_size=100)), max_size=12))  # fmt: skip  # noqa: E501
@settings(max_examples=60, deadline=None)
def test_no_frames_make_a_session_hang_or_fail(pieces: list[bytes]) -> None:
    async def run() -> None:
        ended = asyncio.Event()

        async def takeover(connection: Connection) -> None:
            try:
                async with asyncio.TaskGroup() as tasks:
                    server = Session(connection, server=True)
                    tasks.create_task(echo(server))
                    await server.run()
            except* Disconnected:
                pass  # a stream was reset
            finally:
                ended.set()

        upgraded = (("Upgrade", "SPDY/3.1"),)
        async with asyncio.timeout(5), serving(lambda r: Response(101, b"", upgraded, takeover)) as (_, port):
            transport = HttpTransport(f"http://127.0.0.1:{port}")
            _, connection = await transport.connect(Request("POST", "/", {"upgrade": "SPDY/3.1"}))
            try:
                await connection.write(wire.Encoder().syn_stream(1, {}))
                for piece in pieces:
                    await connection.write(piece)
            except ConnectionError:
                pass
            connection.close()
            await ended.wait()
            await transport.close()

    asyncio.run(run())
