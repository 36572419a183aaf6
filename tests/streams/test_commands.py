from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import pytest

from sampan.api.errors import StatusError
from sampan.http import websocket
from sampan.http.client import HttpTransport
from sampan.http.errors import Disconnected
from sampan.http.spdy import Session, Stream
from sampan.http.types import Request
from sampan.streams import session
from sampan.streams.command_client import remote_command
from sampan.streams.commands import Options
from tests.streams.lab import Node, connected

ALL = "stdin=true&stdout=true&stderr=true"


async def test_our_client_carries_every_stream_and_the_exit_code() -> None:
    node = Node()
    out, err = bytearray(), bytearray()

    async def typed() -> AsyncIterator[bytes]:
        yield b"hello "
        yield b"world" * 100_000

    async def behave() -> None:
        await node.program.stdin_closed.wait()
        for n in range(50):
            node.program.say(1, bytes([n]) * 10_000)
        node.program.say(2, b"oh dear")
        node.program.exit(3)

    async with connected(node) as transport, asyncio.TaskGroup() as tasks:
        tasks.create_task(behave())
        code = await remote_command(transport, "/exec?command=x", stdin=typed(), stdout=out.extend, stderr=err.extend)
    assert code == 3
    assert node.program.stdin == b"hello " + b"world" * 100_000
    assert out == b"".join(bytes([n]) * 10_000 for n in range(50))
    assert err == b"oh dear"
    assert node.options == Options(stdin=True, stdout=True, stderr=True, tty=False)
    assert node.program.closed.is_set()


async def test_a_terminal_has_sizes_and_no_stderr() -> None:
    node = Node()

    async def sizes() -> AsyncIterator[tuple[int, int]]:
        yield 80, 24
        yield 132, 50

    async def behave() -> None:
        while len(node.program.sizes) < 2:
            node.program.resized.clear()
            await node.program.resized.wait()
        node.program.exit(0)

    async with connected(node) as transport, asyncio.TaskGroup() as tasks:
        tasks.create_task(behave())
        assert await remote_command(transport, "/exec", stdout=bytearray().extend, tty=True, resize=sizes()) == 0
    assert node.program.sizes == [(80, 24), (132, 50)]
    assert node.options == Options(stdin=False, stdout=True, stderr=False, tty=True)


async def test_what_start_raises_reaches_the_client() -> None:
    node = Node(failure=RuntimeError("container not found"))
    async with connected(node) as transport:
        with pytest.raises(StatusError, match="error executing command in container: container not found") as raised:
            await remote_command(transport, "/exec", stdout=bytearray().extend)
    assert raised.value.reason == "InternalError"


async def test_an_attachment_that_ends_is_a_success() -> None:
    node = Node(attach=True)
    node.program.exit(7)
    async with connected(node) as transport:
        assert await remote_command(transport, "/attach", stdout=bytearray().extend) == 0


async def test_nothing_to_stream_is_refused() -> None:
    async with connected(Node()) as transport:
        with pytest.raises(StatusError, match="at least 1 of stdin, stdout, stderr"):
            await remote_command(transport, "/exec")
        response = await transport.send(Request("POST", f"/exec?{ALL}"))
        assert (response.status, b"missing upgrade headers" in await response.read()) == (400, True)


@pytest.mark.parametrize("size", [1, 1_000_000])
async def test_a_client_that_leaves_ends_a_process_that_reads_nothing(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "HEARTBEAT", 0.01)
    node = Node()
    node.program.blocked.clear()
    async with connected(node) as transport:
        socket = await websocket.connect(transport, f"/exec?{ALL}", ("v4.channel.k8s.io",))
        await node.started.wait()
        async with asyncio.TaskGroup() as tasks:
            pouring = tasks.create_task(socket.send(b"\x00" + b"x" * size))
            await socket.receive()
            await transport.close()
            await node.program.closed.wait()
            pouring.cancel()


async def test_the_servers_end_before_the_status_is_a_broken_connection() -> None:
    node = Node()
    async with connected(node) as transport:

        async def break_off() -> None:
            await node.started.wait()
            await transport.close()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(break_off())
            with pytest.raises(Disconnected):
                await remote_command(transport, "/exec", stdout=bytearray().extend)
        await node.program.closed.wait()


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io", ""])
async def test_binary_channels(protocol: str) -> None:
    node = Node()
    async with connected(node) as transport:
        socket = await websocket.connect(transport, f"/exec?{ALL}", (protocol,) if protocol else ())
        assert await socket.receive() == b"\x01"
        await socket.send(b"\x00abc")
        await socket.send(b'\x04{"Width":100,"Height":40}')
        await node.program.received.wait()
        await node.program.resized.wait()
        if protocol.startswith("v5"):
            await socket.send(b"\xff\x00")
            await node.program.stdin_closed.wait()
        node.program.say(2, b"err")
        node.program.exit(1)
        assert await socket.receive() == b"\x02err"
        end = await socket.receive()
        if protocol.startswith("v"):
            assert json.loads(end[1:]) == {
                "metadata": {},
                "status": "Failure",
                "reason": "NonZeroExitCode",
                "message": "command terminated with non-zero exit code: exit status 1",
                "details": {"causes": [{"reason": "ExitCode", "message": "1"}]},
            }
        else:
            assert end == b"\x03command terminated with non-zero exit code: exit status 1"
        assert await socket.receive() is None
        assert socket.close_code == 1000
        await socket.close()
    assert (node.program.stdin, node.program.sizes) == (b"abc", [(100, 40)])


@pytest.mark.parametrize("protocol", ["v4.base64.channel.k8s.io", "base64.channel.k8s.io"])
async def test_base64_channels(protocol: str) -> None:
    node = Node()
    async with connected(node) as transport:
        socket = await websocket.connect(transport, f"/exec?{ALL}", (protocol,))
        assert await socket.receive() == "1"
        await socket.send("0" + base64.b64encode(b"\x00\xff").decode())
        await node.program.received.wait()
        node.program.say(1, b"\xfe")
        node.program.exit(0)
        assert await socket.receive() == "1" + base64.b64encode(b"\xfe").decode()
        if protocol.startswith("v4"):
            assert json.loads(base64.b64decode((await socket.receive())[1:])) == {"metadata": {}, "status": "Success"}
        assert await socket.receive() is None
        await socket.close()
    assert node.program.stdin == b"\x00\xff"


async def test_base64_that_is_none_ends_the_session() -> None:
    node = Node()
    async with connected(node) as transport:
        socket = await websocket.connect(transport, f"/exec?{ALL}", ("base64.channel.k8s.io",))
        await socket.send("0@@@")
        assert [await socket.receive(), await socket.receive()] == ["1", None]
        await node.program.closed.wait()
        await socket.close()


class SpdyClient:
    """kubectl's part in SPDY."""

    def __init__(self, session: Session, protocol: str) -> None:
        self.session = session
        self.protocol = protocol
        self.streams: dict[str, Stream] = {}

    async def open(self, *names: str) -> None:
        for name in names:
            self.streams[name] = await self.session.open({"streamType": name})

    async def read(self, name: str) -> bytes:
        data = b""
        while part := await self.streams[name].read():
            data += part
        return data


async def spdy(transport: HttpTransport, query: str, protocols: str) -> SpdyClient:
    headers = {"upgrade": "SPDY/3.1"} | ({"x-stream-protocol-version": protocols} if protocols else {})
    response, connection = await transport.connect(Request("POST", f"/exec?{query}", headers))
    assert response.status == 101, response.body
    return SpdyClient(Session(connection, server=False), response.header("x-stream-protocol-version"))


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [
        ("v5.channel.k8s.io, v4.channel.k8s.io", "v5.channel.k8s.io"),
        ("v9.channel.k8s.io, v4.channel.k8s.io, channel.k8s.io", "v4.channel.k8s.io"),
        ("v3.channel.k8s.io", "v3.channel.k8s.io"),
        ("v2.channel.k8s.io", "v2.channel.k8s.io"),
        ("channel.k8s.io", "channel.k8s.io"),
        ("", "channel.k8s.io"),
    ],
)
async def test_spdy_carries_every_stream_and_the_end(offered: str, spoken: str) -> None:
    node = Node()
    async with connected(node) as transport, asyncio.TaskGroup() as tasks:
        client = await spdy(transport, ALL, offered)
        tasks.create_task(client.session.run())
        assert client.protocol == spoken
        await client.open("error", "stdin", "stdout", "stderr")
        await client.streams["stdin"].write(b"a" * 300_000)
        await client.streams["stdin"].finish()
        await node.program.stdin_closed.wait()
        assert node.program.stdin == b"a" * 300_000
        node.program.say(1, b"b" * 500_000)
        node.program.say(2, b"c")
        node.program.exit(2)
        assert await asyncio.gather(client.read("stdout"), client.read("stderr")) == [b"b" * 500_000, b"c"]
        end = await client.read("error")
        await client.session.close()
        await node.program.closed.wait()
    if spoken[:2] in ("v4", "v5"):
        assert json.loads(end)["details"]["causes"] == [{"reason": "ExitCode", "message": "2"}]
    else:
        assert end == b"command terminated with non-zero exit code: exit status 2"


async def test_spdy_resizes_a_terminal() -> None:
    node = Node()
    async with connected(node) as transport, asyncio.TaskGroup() as tasks:
        client = await spdy(transport, "input=1&output=1&tty=1", "v4.channel.k8s.io")
        tasks.create_task(client.session.run())
        await client.open("error", "stdin", "stdout", "resize")
        await client.streams["resize"].write(b'{"Width":90,"Height":30}\n{"Width":91,"Hei')
        await client.streams["resize"].write(b'ght":31}\n')
        while len(node.program.sizes) < 2:
            node.program.resized.clear()
            await node.program.resized.wait()
        node.program.exit(0)
        assert json.loads(await client.read("error")) == {"metadata": {}, "status": "Success"}
        await client.session.close()
    assert node.program.sizes == [(90, 30), (91, 31)]
    assert node.options == Options(stdin=True, stdout=True, stderr=False, tty=True)


async def test_spdy_without_a_protocol_in_common_is_refused() -> None:
    async with connected(Node()) as transport:
        headers = {"upgrade": "SPDY/3.1", "x-stream-protocol-version": "v9.channel.k8s.io"}
        response, _ = await transport.connect(Request("POST", f"/exec?{ALL}", headers))
        assert response.status == 403
        assert "v4.channel.k8s.io" in [v for k, v in response.headers if k == "X-Accepted-Stream-Protocol-Versions"]


async def test_a_spdy_client_that_leaves_ends_the_process() -> None:
    node = Node()
    async with connected(node) as transport, asyncio.TaskGroup() as tasks:
        client = await spdy(transport, ALL, "v4.channel.k8s.io")
        tasks.create_task(client.session.run())
        await client.open("error", "stdin", "stdout", "stderr")
        await node.started.wait()
        await client.session.close()
        await node.program.closed.wait()
