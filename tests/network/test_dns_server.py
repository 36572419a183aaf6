"""The DNS server with real sockets on the loopback of a network namespace, and resolvers of its own to ask."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan.api.types import core_v1, discovery_v1
from sampan.network.dns import forward, server, wire
from sampan.network.dns.server import DNSServer
from sampan.network.dns.wire import Record
from tests.network import cluster, dig

pytestmark = pytest.mark.kernel

WEB = "web.default.svc.cluster.local"
EXAMPLE = Record(wire.name("www.example.org"), wire.A, bytes((192, 0, 2, 80)), 300)
NOT_THERE = Record(
    wire.name("example.org"), wire.SOA, wire.name("ns") + wire.name("me") + bytes(16) + b"\0\0\0\x0a", 60
)


class Bench:
    """A server at 127.0.0.1 that asks resolvers at 127.0.0.2 and 127.0.0.3, all at ports of their own."""

    def __init__(self, directory: Path) -> None:
        self.cluster = cluster.Cluster()
        self.resolv_conf = directory / "resolv.conf"
        self.resolv_conf.write_text("nameserver 127.0.0.2\noptions ndots:1\nnameserver 127.0.0.3\n")
        self.server = DNSServer(
            self.cluster.informers,
            address="127.0.0.1",
            domain="cluster.local",
            service_cidr="10.96.0.0/16",
            pod_cidr="10.244.0.0/16",
            port=5300,
            resolv_conf=self.resolv_conf,
            resolver_port=5353,
        )
        self.address = ("127.0.0.1", 5300)

    async def ask(self, name: str, type: str = "A", *, edns: int = 0) -> dig.Said:
        return dig.read(await dig.udp(self.address, dig.query(name, type, edns=edns), deadline=10))

    def resolver(
        self, answer: dig.Answer, over_tcp: dig.Answer | None = None, *, second: bool = False
    ) -> contextlib.AbstractAsyncContextManager[dig.Upstream]:
        return dig.upstream(answer, over_tcp=over_tcp, port=5353, address="127.0.0.3" if second else "127.0.0.2")


@pytest.fixture
async def bench(host: None, tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    made.cluster.put(cluster.service("web"), cluster.service("db", clusterIP="None"))
    made.cluster.put(cluster.slice("db", *(f"10.244.0.{at}" for at in range(2, 102))))
    made.cluster.synced(core_v1.Service, discovery_v1.EndpointSlice)
    runs = asyncio.create_task(made.server.run())
    await asyncio.wait_for(made.server.listening.wait(), 5)
    yield made
    runs.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await runs


async def test_cluster_names_over_udp_and_tcp(bench: Bench) -> None:
    said = await bench.ask(WEB)
    assert (said.rcode, said.answers) == (0, ["A 10.96.0.50"])
    assert said.flags & wire.AUTHORITATIVE and said.flags & wire.RECURSES
    first, second = await dig.tcp(bench.address, dig.query(WEB, id=1), dig.query(f"no.{WEB}", id=2))
    assert dig.read(first).answers == ["A 10.96.0.50"]
    assert (dig.read(second).rcode, dig.read(second).authority) == (3, ["SOA cluster.local."])


async def test_the_question_comes_back_letter_by_letter(bench: Bench) -> None:
    asked = dig.query("wEb.DeFault.svc.cluster.LOCAL")
    assert asked[12:] in await dig.udp(bench.address, asked)


async def test_long_answers_are_cut_over_udp_and_whole_over_tcp(bench: Bench) -> None:
    name = "db.default.svc.cluster.local"
    plain, more = await bench.ask(name), await bench.ask(name, edns=4096)
    assert plain.truncated and more.truncated
    assert 20 < len(plain.answers) < len(more.answers) < 100
    (whole,) = await dig.tcp(bench.address, dig.query(name))
    assert len(dig.read(whole).answers) == 100


async def test_a_change_is_heard_at_once(bench: Bench) -> None:
    assert (await bench.ask("new.default.svc.cluster.local")).rcode == wire.NXDOMAIN
    bench.cluster.put(cluster.service("new", clusterIP="10.96.0.77"))
    assert (await bench.ask("new.default.svc.cluster.local")).answers == ["A 10.96.0.77"]


async def test_other_names_are_asked_of_the_hosts_resolvers_once(bench: Bench) -> None:
    async with bench.resolver(dig.says(EXAMPLE)) as resolver:
        said = await asyncio.gather(*(bench.ask("www.example.org") for _ in range(20)))
        said.append(await bench.ask("WWW.example.ORG"))
        assert {tuple(each.answers) for each in said} == {("A 192.0.2.80",)}
        assert resolver.asked == ["www.example.org."]
        assert not said[0].flags & wire.AUTHORITATIVE


async def test_a_no_of_the_world_is_kept_as_long_as_its_soa_says(bench: Bench) -> None:
    async with bench.resolver(dig.says(rcode=wire.NXDOMAIN, authority=(NOT_THERE,))) as resolver:
        for _ in range(2):
            said = await bench.ask("none.example.org")
            assert (said.rcode, said.authority) == (wire.NXDOMAIN, ["SOA example.org."])
        assert len(resolver.asked) == 1


async def test_the_second_resolver_is_asked_when_the_first_fails_and_stays_the_first(bench: Bench) -> None:
    refuses = dig.says(rcode=wire.SERVFAIL)
    async with bench.resolver(refuses) as first, bench.resolver(dig.says(EXAMPLE), second=True) as second:
        assert (await bench.ask("www.example.org")).answers == ["A 192.0.2.80"]
        assert (await bench.ask("www.example.org", "AAAA")).answers == ["A 192.0.2.80"]
        assert (len(first.asked), len(second.asked)) == (1, 2)


async def test_a_resolver_that_is_not_there_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "ATTEMPT", 3600)
    monkeypatch.setattr(forward, "TOGETHER", 3600)
    async with bench.resolver(dig.says(EXAMPLE), second=True):
        assert (await bench.ask("www.example.org")).answers == ["A 192.0.2.80"]


async def test_silence_is_a_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "ATTEMPT", 0.05)
    async with bench.resolver(lambda asked: None) as resolver:
        assert (await bench.ask("www.example.org")).rcode == wire.SERVFAIL
        assert len(resolver.asked) == 2


async def test_no_resolvers_no_answer(bench: Bench) -> None:
    bench.resolv_conf.write_text("# nameserver 127.0.0.2\nnameserver 127.0.0.1\n")
    assert (await bench.ask("www.example.org")).rcode == wire.SERVFAIL
    assert (await bench.ask(WEB)).rcode == wire.NOERROR


async def test_a_missing_resolv_conf_is_no_crash(bench: Bench) -> None:
    bench.resolv_conf.unlink()
    assert (await bench.ask("www.example.org")).rcode == wire.SERVFAIL


async def test_forged_answers_are_ignored(bench: Bench) -> None:
    """Another ID, another question, no DNS at all, and only then the answer."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.setblocking(False)
        resolver.bind(("127.0.0.2", 5353))
        asking = asyncio.create_task(bench.ask("www.example.org"))
        data, peer = await loop.sock_recvfrom(resolver, 1000)
        asked = wire.parse_query(data)
        false = EXAMPLE._replace(data=bytes(4))
        other = wire.Question(wire.name("ww2.example.org"), wire.A)
        for forged in (
            wire.encode_response(asked._replace(id=asked.id ^ 1), 0, [false]),
            wire.encode_response(asked._replace(question=other), 0, [false]),
            b"noise",
            data,
            wire.encode_response(asked, 0, [EXAMPLE]),
        ):
            await loop.sock_sendto(resolver, forged, peer)
        assert (await asking).answers == ["A 192.0.2.80"]


async def test_cut_answers_are_fetched_whole(bench: Bench) -> None:
    many = [EXAMPLE._replace(data=bytes((192, 0, 2, at))) for at in range(90)]
    cut = dig.says(flags=wire.TRUNCATED)
    async with bench.resolver(cut, dig.says(*many)) as resolver:
        assert (await bench.ask("www.example.org")).truncated
        (whole,) = await dig.tcp(bench.address, dig.query("www.example.org"))
        assert len(dig.read(whole).answers) == 90
        assert len(resolver.asked) == 2


async def test_an_external_name_is_followed(bench: Bench) -> None:
    bench.cluster.put(
        cluster.service("out", type="ExternalName", clusterIP="", externalName="www.example.org"),
        cluster.service("in", type="ExternalName", clusterIP="", externalName=WEB),
        cluster.service("round", type="ExternalName", clusterIP="", externalName="round.default.svc.cluster.local"),
    )
    async with bench.resolver(dig.says(EXAMPLE)):
        for _ in range(2):
            said = await bench.ask("out.default.svc.cluster.local")
            assert said.answers == ["A 192.0.2.80", "CNAME www.example.org."]
    assert (await bench.ask("in.default.svc.cluster.local")).answers == ["A 10.96.0.50", f"CNAME {WEB}."]
    assert (await bench.ask("round.default.svc.cluster.local")).rcode == wire.SERVFAIL


async def test_a_resolver_that_asks_us_back_makes_no_storm(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "ATTEMPT", 0.1)
    loop = asyncio.get_running_loop()
    back: list[asyncio.Task[bytes]] = []

    def ask_back(asked: wire.Query) -> None:
        back.append(loop.create_task(dig.udp(bench.address, dig.query("www.example.org"))))

    async with bench.resolver(ask_back) as resolver:
        assert (await bench.ask("www.example.org")).rcode == wire.SERVFAIL
        assert {dig.read(await each).rcode for each in back} == {wire.SERVFAIL}
        assert len(resolver.asked) == 2


async def test_nothing_of_the_cluster_is_asked_of_others(bench: Bench) -> None:
    async with bench.resolver(dig.says(EXAMPLE)) as resolver:
        for name, type in (
            ("none.default.svc.cluster.local", "A"),
            ("www.example.org.cluster.local", "A"),
            ("9.9.244.10.in-addr.arpa", "PTR"),
            ("localhost", "A"),
            ("a.localhost", "AAAA"),
        ):
            await bench.ask(name, type)
        assert resolver.asked == []
    assert (await bench.ask("localhost")).answers == ["A 127.0.0.1"]


@pytest.mark.parametrize(
    ("data", "rcode"),
    [
        (dig.query(WEB)[:20], wire.FORMERR),
        (dig.query(WEB, edns=512).replace(b"\0\0\x29\2\0\0\0\0\0", b"\0\0\x29\2\0\0\1\0\0"), 0),
        (dig.query(WEB)[:-1] + b"\3", wire.REFUSED),
        (b"\0\1\x28\0" + dig.query(WEB)[4:], wire.NOTIMP),
        (dig.query(WEB).replace(b"\0\1\0\1", b"\0\xfc\0\1"), wire.REFUSED),
    ],
)
async def test_odd_queries_have_an_answer(bench: Bench, data: bytes, rcode: int) -> None:
    assert (await dig.udp(bench.address, data))[3] & 0xF == rcode


async def test_noise_is_survived(bench: Bench) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noisy:
        for size in range(200):
            noisy.sendto(os.urandom(size), bench.address)
    for wrong in (b"\0\0", b"\0\5hello", b"\xff\xff", b"\0\x0c" + bytes(11)):
        reader, writer = await asyncio.open_connection(*bench.address)
        writer.write(wrong)
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    assert (await bench.ask(WEB)).answers == ["A 10.96.0.50"]


async def test_too_many_questions_fail_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_WAITING", 3)
    monkeypatch.setattr(forward, "ATTEMPT", 0.1)
    async with bench.resolver(lambda asked: None):
        waiting = [asyncio.create_task(bench.ask(f"w{at}.example.org")) for at in range(3)]
        while bench.server._waiting < 3:
            await asyncio.sleep(0)
        assert (await bench.ask("one-more.example.org")).rcode == wire.SERVFAIL
        assert (await bench.ask(WEB)).rcode == wire.NOERROR
        await asyncio.gather(*waiting)


async def test_too_many_connections_are_closed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)
    held = [await asyncio.open_connection(*bench.address) for _ in range(2)]
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await dig.tcp(bench.address, dig.query(WEB))
    for _, writer in held:
        writer.close()


async def test_a_taken_address_says_so(bench: Bench) -> None:
    with pytest.raises(OSError, match=r"DNS at 127\.0\.0\.1:5300: Address already in use; is another server there\?"):
        await bench.server.run()


async def test_it_counts(bench: Bench) -> None:
    await bench.ask(WEB)
    await bench.ask(f"no.{WEB}")
    counts = {sample.labels.get("rcode"): sample.value for sample in bench.server.samples()}
    assert (counts["0"], counts["3"]) == (1, 1)


def test_servers_of_a_resolv_conf() -> None:
    asked = ("192.0.2.1", "10.96.0.10", "192.0.2.1", "fd00::1", "", "192.0.2.2", "192.0.2.3")
    text = "# a comment\nsearch x\n" + "".join(f"nameserver {each}\n" for each in asked)
    assert forward.servers_of(text, {"10.96.0.10"}) == ("192.0.2.1", "fd00::1", "192.0.2.2")
