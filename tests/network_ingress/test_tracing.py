"""A real nginx with the lines that trace: what pods are told, what we are told, and that both agree."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from sampan.network.ingress import nginx, tracing, visits
from sampan.network.ingress.model import Listen, Location, Model, Options, Server, Upstream
from sampan.network.ingress.render import Frame, render
from sampan.network.ingress.visits import Visit, Visits

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="nginx changes to the user of its workers: needs root"),
    pytest.mark.skipif(shutil.which("nginx", path=nginx.SEARCH) is None, reason="nginx is not installed"),
]

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def free(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Lab:
    """nginx before a server that notes the traceparent of each request and answers as its path says."""

    port: int
    visits: Visits
    parents: list[str] = field(default_factory=list)
    told: list[Visit] = field(default_factory=list)
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def report(self, batch: Sequence[Visit]) -> None:
        async with self.heard:
            self.told += batch
            self.heard.notify_all()

    async def until(self, count: int) -> list[Visit]:
        async with asyncio.timeout(30), self.heard:
            await self.heard.wait_for(lambda: len(self.told) >= count)
        return self.told

    async def ask(self, path: str = "/", *headers: str) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            lines = [f"GET {path} HTTP/1.1", "Host: shop.localhost", "Connection: close", *headers, "", ""]
            writer.write("\r\n".join(lines).encode())
            return int((await reader.read()).split()[1])
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                named = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
                self.parents.append(named.get("traceparent", ""))
                status = "503 no" if head[0].split()[1] == "/bad" else "200 ok"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    place = nginx.Nginx(tmp_path / "ingress", tmp_path / "ingress.log")
    for each in (tmp_path, *list(tmp_path.parents)[:2]):
        each.chmod(0o755)  # nginx's workers are somebody else
    listen = Listen(http=free(), https=0, address="127.0.0.1")
    made = Lab(listen.http, Visits(free(socket.SOCK_DGRAM)))
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    pod = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    location = Location("prefix", "", "default/shop", "shop", Options())
    model = Model(
        servers=(Server("", ()), Server("shop.localhost", (location,))), upstreams=(Upstream("shop", (pod,)),)
    )
    frame = Frame(place.directory, place.log_path, listen, nginx.account(), workers=2, visits=made.visits.open())
    telling = asyncio.create_task(made.visits.run(made.report))
    try:
        await place.apply(render(model, frame, {}), {}, listen)
        yield made
    finally:
        await place.stop()
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        server.close()
        await server.wait_closed()


async def test_a_request_begins_a_trace(lab: Lab) -> None:
    assert await lab.ask("/items/4?token=secret") == 200
    (visit,) = await lab.until(1)
    assert lab.parents == [f"00-{visit.trace}-{visit.span}-01"]
    assert (visit.method, visit.host, visit.path, visit.status) == ("GET", "shop.localhost", "/items/4", 200)
    assert (visit.ingress, visit.address, visit.caller) == ("default/shop", "127.0.0.1", "")
    assert await lab.ask() == 200
    assert (await lab.until(2))[1].trace != visit.trace


async def test_a_trace_goes_on(lab: Lab) -> None:
    for version in ("00", "01"):
        assert await lab.ask("/", f"traceparent: {version}-{TRACE}-{SPAN}-01") == 200
    for visit, parent in zip(await lab.until(2), lab.parents, strict=True):
        assert (visit.trace, visit.caller) == (TRACE, SPAN)
        assert visit.span not in (SPAN, "")
        assert parent == f"00-{TRACE}-{visit.span}-01"


async def test_what_the_caller_does_not_trace_nobody_does(lab: Lab) -> None:
    await lab.ask("/", f"traceparent: 00-{TRACE}-{SPAN}-00")
    await lab.ask()
    told = await lab.until(1)
    assert lab.parents[0] == f"00-{TRACE}-{SPAN}-00"
    assert [visit.trace for visit in told] == [lab.parents[1].split("-")[1]]


@pytest.mark.parametrize(
    "given",
    [
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01x",
        '"],"]',
    ],
)
async def test_a_traceparent_that_is_none_begins_a_trace(lab: Lab, given: str) -> None:
    await lab.ask("/", f"traceparent: {given}")
    (visit,) = await lab.until(1)
    assert visit.trace != TRACE and visit.caller == ""
    assert lab.parents == [f"00-{visit.trace}-{visit.span}-01"]


async def test_an_error_of_the_pod_is_told(lab: Lab) -> None:
    assert await lab.ask("/bad") == 503
    assert (await lab.until(1))[0].status == 503


async def test_when_there_are_many_all_agree_on_which_are_traced(lab: Lab) -> None:
    many = visits.BURST * 4
    await asyncio.gather(*(lab.ask(f"/{at}") for at in range(many)))
    traced = {each.split("-")[1] for each in lab.parents if each.endswith("-01")}
    assert len(lab.parents) == many
    assert visits.BURST <= len(traced) < many
    assert {each for each in lab.parents if not each.endswith("-01")} == {tracing.NOT_TRACED}
    assert {visit.trace for visit in await lab.until(len(traced))} == traced


async def test_requests_do_not_wait_for_who_is_told(lab: Lab) -> None:
    """Nobody listens any more: requests are answered all the same."""
    lab.visits.close()
    assert [await lab.ask() for _ in range(20)] == [200] * 20


async def test_what_is_too_much_is_dropped_and_counted() -> None:
    held = asyncio.Event()

    async def slow(batch: Sequence[Visit]) -> None:
        await held.wait()

    made = Visits(free(socket.SOCK_DGRAM))
    port = made.open()
    telling = asyncio.create_task(made.run(slow))
    line = b'<190>Nov 30 20:00:00 visit: ["' + b'","'.join(
        [b"a" * 32, b"a" * 16, b"", b"1.5", b"0.1", b"GET", b"h", b"/", b"200"]
    )
    line += b'","1.2.3.4:80, 1.2.3.5:80","0.1, 0.2","default/shop"]'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for at in range(visits.LIMIT + 300):
            sender.sendto(line, ("127.0.0.1", port))
            if at % 50 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while made.total < visits.LIMIT or not made.dropped:
                sender.sendto(line, ("127.0.0.1", port))
                await asyncio.sleep(0)
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    assert made.total <= 2 * visits.LIMIT


@pytest.mark.parametrize(
    "datagram", [b"", b"x", b"<190>Nov visit: ", b"<190>Nov visit: {}", b'<190>Nov visit: ["a"]', b"\xff" * 100]
)
def test_what_nginx_has_not_said_is_no_visit(datagram: bytes) -> None:
    assert visits.read(datagram) is None


def test_the_pod_that_answered_is_the_last_one() -> None:
    said = [TRACE, SPAN, "", "1.5", "0.1", "GET", "h", "/x?y", "200", "1.2.3.4:80, 1.2.3.5:81", "0.1, 0.2", "d/i"]
    visit = visits.read(f"<190>Nov 30 visit: {said}".replace("'", '"').encode())
    assert visit is not None
    assert (visit.address, round(visit.waited, 3), visit.path) == ("1.2.3.5", 0.3, "/x")


@pytest.mark.parametrize(
    ("at", "value"),
    [
        *((0, each) for each in ("a", "A" * 32, "g" * 32, TRACE + "\n")),
        *((1, each) for each in ("", "b", "g" * 16)),
        (2, "g" * 16),
        *((3, each) for each in ("nan", "inf", "-1", "1e10", "x")),
        *((4, each) for each in ("nan", "inf", "-0.1", "1e30")),
        *((8, each) for each in ("-1", "1000", "9" * 30)),
        *((10, each) for each in ("inf", "nan", "1e300")),
    ],
)
def test_a_local_program_that_tells_nonsense_is_not_believed(at: int, value: str) -> None:
    """Whoever keeps spans would lose all that came with it."""
    said = [TRACE, SPAN, "", "1.5", "0.1", "GET", "h", "/", "200", "1.2.3.4:80", "0.1", "d/i"]
    assert visits.read(b"visit: " + msgspec.json.encode(said)) is None  # without what syslog puts before it
    assert visits.read(b"<190> visit: " + msgspec.json.encode(said)) is not None
    said[at] = value
    assert visits.read(b"<190> visit: " + msgspec.json.encode(said)) is None


def test_two_may_not_listen_at_one_port() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        assert Visits(int(other.getsockname()[1])).open() == 0
