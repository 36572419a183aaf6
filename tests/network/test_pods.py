"""The pod network on a real kernel, in a network namespace that plays the host."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.host import nft
from sampan.host.containers import PortMapping
from sampan.network import names
from sampan.network.pods import BridgeNetwork
from tests.network import lab
from tests.network.lab import HOST, Pod

pytestmark = pytest.mark.kernel

Make = Callable[[], str]


async def pod(network: BridgeNetwork, namespace: Make, name: str, *ports: PortMapping) -> Pod:
    path = namespace()
    (address,) = await network.attach(name, path, lab.config(*ports))
    return Pod(path, address)


async def test_pods_reach_each_other_the_host_and_themselves(network: BridgeNetwork, namespace: Make) -> None:
    one, two = await pod(network, namespace, "one"), await pod(network, namespace, "two")
    assert (one.address, two.address) == ("10.244.0.2", "10.244.0.3")
    async with one.serve(8080), two.serve(8080), HOST.serve(8081, "host"):
        assert await one.ask(two.address, 8080) == (two.address, one.address)
        assert await two.ask_datagram(one.address, 8080) == (one.address, two.address)
        assert await one.ask(one.address, 8080) == (one.address, one.address)
        assert await one.ask("127.0.0.1", 8080) == (one.address, "127.0.0.1")
        assert await HOST.ask(two.address, 8080) == (two.address, network.gateway)
        assert await one.ask(network.gateway, 8081) == ("host", one.address)
        assert await one.ask("192.0.2.2", 8081) == ("host", one.address)


async def test_attach_twice_is_attach_once_and_detach_gives_the_address_back_last(
    network: BridgeNetwork, namespace: Make
) -> None:
    path = namespace()
    first = await network.attach("one", path, lab.config())
    assert await network.attach("one", path, lab.config()) == first
    assert network.address("one") == first[0]
    await network.detach("one")
    await network.detach("one")
    assert network.address("one") == ""
    assert lab.ip("route", "show", first[0]) == ""
    assert (await network.attach("one", path, lab.config()))[0] != first[0], "before the old link is gone for good"
    await network.detach("one")
    assert await network.attach("two", namespace(), lab.config()) != first


async def test_this_machine_gets_no_address_of_its_own_for_a_pod(network: BridgeNetwork, namespace: Make) -> None:
    """Browsers here drop what they are loading when an address comes or goes."""
    one = await pod(network, namespace, "one")
    link = names.veth(network.bridge[:-1], "one")
    assert "state UP" in lab.ip("link", "show", link)
    assert "inet" not in lab.ip("addr", "show", link)
    async with one.serve(8080):
        assert await HOST.ask(one.address, 8080) == (one.address, network.gateway)


async def test_a_half_made_link_is_made_again(network: BridgeNetwork, namespace: Make) -> None:
    one = await pod(network, namespace, "one")
    link = names.veth(network.bridge[:-1], "one")
    lab.ip("link", "del", link)
    await network.attach("one", one.path, lab.config())
    async with one.serve(8080):
        assert await HOST.ask(one.address, 8080) == (one.address, network.gateway)


async def test_a_link_that_lost_its_address_gets_it_again(network: BridgeNetwork, namespace: Make) -> None:
    """A process may have died between making the pair and configuring it."""
    one = await pod(network, namespace, "one")
    lab.ip_inside(one.path, "addr", "flush", "dev", "eth0")
    lab.ip_inside(one.path, "link", "set", "eth0", "down")
    assert await network.attach("one", one.path, lab.config()) == (one.address,)
    async with one.serve(8080):
        assert await HOST.ask(one.address, 8080) == (one.address, network.gateway)


async def test_a_new_process_finds_the_pods_of_the_old_one(tmp_path: Path, host: None, namespace: Make) -> None:
    old = lab.network(tmp_path)
    await old.setup()
    one = await pod(old, namespace, "one", PortMapping("TCP", 8080, 9090))
    new = lab.network(tmp_path, old.bridge[:-1])
    await new.setup()
    two = await pod(new, namespace, "two")
    assert new.address("one") == one.address != two.address
    async with one.serve(8080):
        assert await two.ask(one.address, 8080) == (one.address, two.address)
        assert await two.ask("192.0.2.2", 9090) == (one.address, two.address)
    await new.detach("one")
    with pytest.raises(ConnectionRefusedError):
        await two.ask("192.0.2.2", 9090)
    await new.teardown()


async def test_traffic_to_the_world_wears_the_nodes_address(network: BridgeNetwork, namespace: Make) -> None:
    one = await pod(network, namespace, "one")
    world = namespace()
    lab.ip("link", "del", "world")
    lab.plug(world, "out", "198.51.100.1/24", "198.51.100.7/24")
    outside = Pod(world, "198.51.100.7")
    async with outside.serve(80):
        assert await one.ask(outside.address, 80) == (outside.address, "198.51.100.1")
        assert await one.ask_datagram(outside.address, 80) == (outside.address, "198.51.100.1")


@pytest.mark.parametrize("address", ["10.244.0.99", "10.244.9.9", "10.96.7.7"])
async def test_addresses_of_nobody_never_leave_the_machine(
    network: BridgeNetwork, namespace: Make, address: str
) -> None:
    one = await pod(network, namespace, "one")
    leaving = lab.watch_uplink(address)
    for client in (one, HOST):
        with client.socket(socket.SOCK_DGRAM) as asking:
            try:
                asking.connect((address, 9))
                asking.send(b"?")
            except OSError:
                continue
    assert leaving() == 0
    await network.teardown()
    with HOST.socket(socket.SOCK_DGRAM) as asking:
        asking.sendto(b"?", (address, 9))
    assert leaving() == 1, "the counter counts"


async def test_host_ports_on_every_address_and_on_one(network: BridgeNetwork, namespace: Make) -> None:
    one = await pod(
        network, namespace, "one", PortMapping("TCP", 8080, 9090), PortMapping("UDP", 8080, 9091, "192.0.2.2")
    )
    two = await pod(network, namespace, "two")
    async with one.serve(8080):
        for address in ("127.0.0.1", "192.0.2.2", network.gateway):
            assert (await HOST.ask(address, 9090))[0] == one.address
            if address != "127.0.0.1":
                assert (await two.ask(address, 9090))[0] == one.address
        assert (await two.ask_datagram("192.0.2.2", 9091))[0] == one.address
        assert (await one.ask("192.0.2.2", 9090))[0] == one.address, "a pod reaches itself by its host port"
        with pytest.raises(ConnectionRefusedError):
            await HOST.ask_datagram("127.0.0.1", 9091)


async def test_a_host_port_belongs_to_one_pod(network: BridgeNetwork, namespace: Make) -> None:
    await pod(network, namespace, "one", PortMapping("TCP", 80, 9090))
    with pytest.raises(OSError, match=r"host port tcp \. 9090 is taken by 10\.244\.0\.2"):
        await pod(network, namespace, "two", PortMapping("TCP", 80, 9090))
    assert network.address("two") == ""
    await network.detach("one")
    await pod(network, namespace, "three", PortMapping("TCP", 80, 9090))


async def test_udp_clients_follow_a_host_port_to_its_next_pod(network: BridgeNetwork, namespace: Make) -> None:
    for name in ("one", "two"):
        made = await pod(network, namespace, name, PortMapping("UDP", 8080, 9090))
        async with made.serve(8080):
            assert (await HOST.ask_datagram("192.0.2.2", 9090, source=4444))[0] == made.address
        await network.detach(name)


async def test_a_pod_cannot_speak_with_another_address(network: BridgeNetwork, namespace: Make) -> None:
    one, two = await pod(network, namespace, "one"), await pod(network, namespace, "two")
    lab.ip_inside(one.path, "addr", "add", "203.0.113.5/32", "dev", "lo")
    with one.socket(socket.SOCK_DGRAM) as liar, two.socket(socket.SOCK_DGRAM) as target:
        target.bind(("", 5000))
        liar.bind(("203.0.113.5", 0))
        liar.sendto(b"false", (two.address, 5000))
        async with two.serve(8080):
            assert (await one.ask(two.address, 8080))[1] == one.address
        with pytest.raises(BlockingIOError):
            target.recv(10)


async def test_rules_that_a_firewall_flushed_come_back(network: BridgeNetwork, namespace: Make) -> None:
    one = await pod(network, namespace, "one", PortMapping("TCP", 8080, 9090))
    lab.nft("flush", "ruleset")
    await network.ensure()
    await network.ensure()
    async with one.serve(8080):
        assert (await HOST.ask("192.0.2.2", 9090))[0] == one.address


async def test_teardown_leaves_nothing(tmp_path: Path, host: None, namespace: Make) -> None:
    before = lab.everything()
    network = lab.network(tmp_path)
    await network.setup()
    await pod(network, namespace, "one", PortMapping("TCP", 80, 9090))
    await network.teardown()
    await network.teardown()
    assert lab.everything() == before
    assert not list(tmp_path.rglob("*.json")) and not (tmp_path / "run" / "addresses").exists()
    assert await nft.tables() == set()


async def test_teardown_works_when_the_process_that_set_up_is_gone(tmp_path: Path, host: None, namespace: Make) -> None:
    before = lab.everything()
    network = lab.network(tmp_path)
    await network.setup()
    await pod(network, namespace, "one")
    await lab.network(tmp_path, network.bridge[:-1]).teardown()
    assert lab.everything() == before


async def test_two_instances_share_a_machine(tmp_path: Path, host: None) -> None:
    first, second = lab.network(tmp_path / "1"), lab.other_network(tmp_path / "2")
    await first.setup()
    await second.setup()
    await first.teardown()
    assert await nft.tables() == {names.table(second.bridge[:-1], "pods")}
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
    await second.teardown()
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "0\n"


async def test_many_at_once(network: BridgeNetwork, namespace: Make) -> None:
    made = await asyncio.gather(*(pod(network, namespace, f"pod{at}") for at in range(20)))
    assert len({each.address for each in made}) == 20
    async with made[7].serve(80):
        assert {(await each.ask(made[7].address, 80))[1] for each in made} == {each.address for each in made}
    await asyncio.gather(*(network.detach(f"pod{at}") for at in range(20)))
    assert lab.ip("link", "show", "group", str(names.group(network.bridge[:-1]))) == ""


async def test_a_namespace_that_is_gone_is_an_error_and_leaves_nothing(network: BridgeNetwork, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await network.attach("one", str(tmp_path / "none"), lab.config())
    assert network.address("one") == ""
