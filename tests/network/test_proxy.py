"""The service proxy on a real kernel: sockets of pods, of the host and of the world ask services."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from sampan.api.types import core_v1, discovery_v1
from sampan.network.pods import BridgeNetwork
from sampan.network.proxy import conntrack
from sampan.network.proxy.compute import View
from sampan.network.proxy.proxy import Proxy
from sampan.network.proxy.render import Table
from tests.network import cluster, lab
from tests.network.lab import HOST, Pod

pytestmark = pytest.mark.kernel

UPLINK = "198.51.100.1"
WORLD = "198.51.100.7"


@dataclass
class Bench:
    """A host with pods `one` and `two`, a computer in the world, and a proxy whose cluster the test writes."""

    network: BridgeNetwork
    proxy: Proxy
    cluster: cluster.Cluster
    one: Pod
    two: Pod
    world: Pod

    async def show(self, *objects: object) -> None:
        """Put them into the cluster and the rules into the kernel."""
        self.cluster.put(*objects)
        await self.proxy.write()


@pytest.fixture
async def bench(network: BridgeNetwork, namespace: Callable[[], str]) -> AsyncIterator[Bench]:
    pods = []
    for name in ("one", "two"):
        path = namespace()
        (address,) = await network.attach(name, path, lab.config())
        pods.append(Pod(path, address))
    world = namespace()
    lab.plug(world, "out", f"{UPLINK}/24", f"{WORLD}/24")
    lab.ip_inside(world, "route", "add", "default", "via", UPLINK)
    made = cluster.Cluster()
    table = Table("lab", "10.244.0.0/16", "10.96.0.0/16", "10.244.0.0/24")
    proxy = Proxy(made.informers, table, View("here", "10.244.0.0/24", frozenset({"10.96.0.10"})))
    made.synced(core_v1.Service, discovery_v1.EndpointSlice)
    made.informers.get(core_v1.Service).subscribe(proxy._service_changed)
    made.informers.get(discovery_v1.EndpointSlice).subscribe(proxy._slice_changed)
    async with pods[0].serve(8080), pods[1].serve(8080):
        yield Bench(network, proxy, made, pods[0], pods[1], Pod(world, WORLD))
    await proxy.remove()


def both(name: str, *endpoints: discovery_v1.Endpoint | str) -> discovery_v1.EndpointSlice:
    """TCP and UDP at 8080."""
    return cluster.slice(name, *endpoints, ports=(("", 8080, "TCP"), ("u", 8080, "UDP")))


def ports(node: int = 0) -> tuple[core_v1.ServicePort, ...]:
    number = node or None
    return cluster.port(nodePort=number), cluster.port(name="u", protocol="UDP", nodePort=number)


async def test_a_cluster_ip_answers_pods_and_the_host(bench: Bench) -> None:
    await bench.show(cluster.service("web", *ports()), both("web", bench.two.address))
    for client, seen in ((bench.one, bench.one.address), (HOST, "10.244.0.0"), (bench.two, "10.244.0.0")):
        assert await client.ask("10.96.0.50", 80) == (bench.two.address, seen)
        assert await client.ask_datagram("10.96.0.50", 80) == (bench.two.address, seen)
    assert await bench.world.ask("10.96.0.50", 80) == (bench.two.address, "10.244.0.0"), "answers must come back here"


async def test_connections_spread(bench: Bench) -> None:
    await bench.show(cluster.service("web"), cluster.slice("web", bench.one.address, bench.two.address))
    answered = Counter([(await HOST.ask("10.96.0.50", 80))[0] for _ in range(60)])
    assert set(answered) == {bench.one.address, bench.two.address}
    assert min(answered.values()) >= 5


async def test_a_node_port_answers_on_every_address(bench: Bench) -> None:
    await bench.show(cluster.service("web", *ports(30080), type="NodePort"), both("web", bench.two.address))
    for client, addresses in (
        (HOST, ("127.0.0.1", "192.0.2.2", UPLINK, "10.244.0.1")),
        (bench.one, ("192.0.2.2", UPLINK, "10.244.0.1")),
        (bench.two, (UPLINK,)),
        (bench.world, (UPLINK, "192.0.2.2")),
    ):
        for address in addresses:
            assert await client.ask(address, 30080) == (bench.two.address, "10.244.0.0")
            assert await client.ask_datagram(address, 30080) == (bench.two.address, "10.244.0.0")


async def test_endpoints_of_other_nodes_see_an_address_of_this_one(bench: Bench) -> None:
    """The endpoint is where the world is: it can only answer to the address on that link."""
    service = cluster.service("web", cluster.port(nodePort=30080), type="NodePort")
    await bench.show(service, cluster.slice("web", WORLD))
    async with bench.world.serve(8080):
        assert await bench.one.ask("10.96.0.50", 80) == (WORLD, UPLINK)
        assert (await HOST.ask("10.96.0.50", 80))[0] == WORLD
        assert await bench.one.ask("10.244.0.1", 30080) == (WORLD, UPLINK)


async def test_external_and_balancer_addresses_with_source_ranges(bench: Bench) -> None:
    await bench.show(
        cluster.service(
            "web",
            type="LoadBalancer",
            externalIPs=("203.0.113.1",),
            ingress=("203.0.113.2",),
            loadBalancerSourceRanges=("10.244.0.0/16",),
        ),
        cluster.slice("web", bench.two.address),
    )
    assert (await bench.world.ask("203.0.113.1", 80))[0] == bench.two.address
    assert (await bench.one.ask("203.0.113.2", 80))[0] == bench.two.address
    with pytest.raises(TimeoutError):
        await bench.world.ask("203.0.113.2", 80, deadline=0.3)


async def test_external_policy_local_keeps_the_source(bench: Bench) -> None:
    service = cluster.service("web", cluster.port(nodePort=30080), type="NodePort", externalTrafficPolicy="Local")
    await bench.show(service, cluster.slice("web", bench.two.address))
    assert await bench.world.ask(UPLINK, 30080) == (bench.two.address, WORLD)
    assert (await bench.one.ask(UPLINK, 30080))[0] == bench.two.address
    assert (await HOST.ask("127.0.0.1", 30080))[0] == bench.two.address
    await bench.show(cluster.slice("web", cluster.endpoint(bench.two.address, nodeName="there")))
    assert (await bench.one.ask(UPLINK, 30080))[0] == bench.two.address, "the cluster's own traffic may go anywhere"
    with pytest.raises(TimeoutError):
        await bench.world.ask(UPLINK, 30080, deadline=0.3)


async def test_internal_policy_local_drops_where_nobody_is(bench: Bench) -> None:
    service = cluster.service("web", internalTrafficPolicy="Local")
    await bench.show(service, cluster.slice("web", cluster.endpoint(bench.two.address, nodeName="there")))
    with pytest.raises(TimeoutError):
        await bench.one.ask("10.96.0.50", 80, deadline=0.3)
    await bench.show(cluster.slice("web", bench.two.address))
    assert (await bench.one.ask("10.96.0.50", 80))[0] == bench.two.address


async def test_session_affinity_holds_a_client_and_lets_it_go_with_its_endpoint(bench: Bench) -> None:
    await bench.show(
        cluster.service("web", *ports(30080), type="NodePort", sessionAffinity="ClientIP"),
        both("web", bench.one.address, bench.two.address),
    )
    (first,) = {(await bench.world.ask("10.96.0.50", 80))[0] for _ in range(12)}
    assert {(await bench.world.ask(UPLINK, 30080))[0] for _ in range(6)} == {first}
    other = bench.two.address if first == bench.one.address else bench.one.address
    await bench.show(both("web", other))
    assert (await bench.world.ask("10.96.0.50", 80))[0] == other
    await bench.show(both("web", bench.one.address, bench.two.address))
    assert {(await bench.world.ask("10.96.0.50", 80))[0] for _ in range(12)} == {other}
    await bench.show(cluster.service("web", *ports(30080), type="NodePort"))
    assert len({(await bench.world.ask("10.96.0.50", 80))[0] for _ in range(40)}) == 2


async def test_without_endpoints_and_without_a_service_it_refuses_at_once(bench: Bench) -> None:
    await bench.show(cluster.service("web", *ports(30080), type="NodePort", externalIPs=("203.0.113.1",)), both("web"))
    for client in (bench.one, HOST, bench.world):
        for address, port in (
            ("10.96.0.50", 80),
            (UPLINK, 30080),
            ("203.0.113.1", 80),
            ("10.96.0.50", 81),
            ("10.96.9.9", 80),
        ):
            with pytest.raises(ConnectionRefusedError):
                await client.ask(address, port)
            # To a process of the host itself the kernel says EPERM: its datagram never left.
            with pytest.raises(PermissionError if client is HOST else ConnectionRefusedError):
                await client.ask_datagram(address, port)


async def test_connections_outlive_the_endpoint_and_new_ones_go_elsewhere(bench: Bench) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    listener = bench.one.socket()
    listener.bind(("", 8081))
    async with await asyncio.start_server(echo, sock=listener):
        slices = cluster.slice("web", bench.one.address, ports=(("", 8081, "TCP"),))
        await bench.show(cluster.service("web"), slices)
        with bench.two.socket() as client:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("10.96.0.50", 80))
            await bench.show(cluster.slice("web"))
            with pytest.raises(ConnectionRefusedError):
                await bench.two.ask("10.96.0.50", 80)
            await loop.sock_sendall(client, b"still here")
            assert await loop.sock_recv(client, 100) == b"still here"


async def test_who_waits_for_an_endpoint_that_leaves_comes_to_another(bench: Bench) -> None:
    """The kernel would send each attempt of a connection to where the first one went, for as long as it tries."""
    loop = asyncio.get_running_loop()
    with bench.one.socket() as full, HOST.socket() as filler, HOST.socket() as waiting:
        full.bind(("", 8082))
        full.listen(0)
        await bench.show(cluster.service("web"), cluster.slice("web", bench.one.address, ports=(("", 8082, "TCP"),)))
        await loop.sock_connect(filler, ("10.96.0.50", 80))
        connecting = asyncio.ensure_future(loop.sock_connect(waiting, ("10.96.0.50", 80)))
        await asyncio.sleep(0)
        await bench.show(cluster.slice("web", bench.two.address))
        assert not connecting.done()
        await bench.network.detach("one")
        async with asyncio.timeout(lab.DEADLINE):
            await connecting
            assert (await loop.sock_recv(waiting, 100)).decode() == f"{bench.two.address} 10.244.0.0"


async def test_udp_flows_leave_an_endpoint_that_is_gone(bench: Bench) -> None:
    await bench.show(cluster.service("web", *ports(30080), type="NodePort"), both("web", bench.one.address))
    for client, address, port in ((HOST, "10.96.0.50", 80), (bench.world, UPLINK, 30080)):
        await bench.show(both("web", bench.one.address))
        assert (await client.ask_datagram(address, port, source=4444))[0] == bench.one.address
        await bench.show(both("web", bench.two.address))
        assert (await client.ask_datagram(address, port, source=4444))[0] == bench.two.address


async def test_a_udp_flow_from_before_the_first_endpoint_begins_anew(bench: Bench) -> None:
    """Nothing listened on the node port: the kernel remembers the flow untranslated."""
    with bench.world.socket(socket.SOCK_DGRAM) as early:
        early.bind(("", 4445))
        early.sendto(b"?", (UPLINK, 30080))
        await bench.show(cluster.service("web", *ports(30080), type="NodePort"), both("web", bench.one.address))
    assert (await bench.world.ask_datagram(UPLINK, 30080, source=4445))[0] == bench.one.address


async def test_other_udp_flows_are_left_alone(bench: Bench) -> None:
    async with bench.world.serve(8080):
        await bench.one.ask_datagram(WORLD, 8080, source=4446)
    seen: list[tuple[tuple[str, int], tuple[str, int]]] = []
    assert conntrack.delete_udp(lambda to, answers: seen.append((to, answers)) is not None) == 0
    assert ((WORLD, 8080), (WORLD, 8080)) in seen
    assert conntrack.delete_udp(lambda to, answers: to == (WORLD, 8080)) == 1


async def test_a_rolling_update_fails_no_request(bench: Bench) -> None:
    """Endpoints take turns while clients ask without a pause; each endpoint stops when `quiet` says so."""
    await bench.show(cluster.service("web"), cluster.slice("web", bench.one.address))
    served: Counter[str] = Counter()
    done = asyncio.Event()

    async def client(pod: Pod) -> None:
        while not done.is_set():
            served[(await pod.ask("10.96.0.50", 80))[0]] += 1

    async def roll() -> None:
        for turn in range(10):
            old, new = (bench.one, bench.two) if turn % 2 == 0 else (bench.two, bench.one)
            leaving = cluster.endpoint(old.address, ready=False, terminating=True)
            bench.cluster.put(cluster.slice("web", old.address, new.address))
            bench.cluster.put(cluster.slice("web", leaving, new.address))
            await asyncio.wait_for(bench.proxy.quiet(old.address), lab.DEADLINE)
            before, asked = served[old.address], sum(served.values())
            while sum(served.values()) < asked + 40:
                await asyncio.sleep(0)
            assert served[old.address] <= before + len(CLIENTS), "only requests that were under way"
        done.set()

    CLIENTS = (HOST, bench.one, bench.two, bench.world)
    async with asyncio.TaskGroup() as group:
        runs = group.create_task(bench.proxy.run())
        asking = [group.create_task(client(pod)) for pod in CLIENTS]
        await group.create_task(roll())
        await asyncio.gather(*asking)
        runs.cancel()
    assert len(served) == 2


async def test_rules_that_a_firewall_flushed_come_back(bench: Bench) -> None:
    await bench.show(cluster.service("web"), cluster.slice("web", bench.one.address))
    lab.nft("flush", "ruleset")
    await bench.proxy._check()
    await bench.proxy.write()
    assert (await bench.two.ask("10.96.0.50", 80))[0] == bench.one.address


async def test_a_table_that_somebody_changed_is_written_again(bench: Bench) -> None:
    await bench.show(cluster.service("web"), cluster.slice("web", bench.one.address))
    lab.nft("flush", "map", "ip", "lab", "services")
    bench.cluster.delete(cluster.service("web"))
    await bench.proxy.write()
    await bench.show(cluster.service("web"))
    assert (await bench.two.ask("10.96.0.50", 80))[0] == bench.one.address


async def test_load_balancers_learn_where_endpoints_are(bench: Bench) -> None:
    service = cluster.service("web", type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=31000)
    await bench.show(service, cluster.slice("web", bench.one.address, bench.two.address, "10.244.7.7"))
    status, body = await lab.get("127.0.0.1", 31000)
    assert status == 200
    assert body == {
        "service": {"namespace": "default", "name": "web"},
        "localEndpoints": 2,
        "serviceProxyHealthy": True,
    }
    await bench.show(cluster.slice("web", "10.244.7.7"))
    assert (await lab.get("127.0.0.1", 31000))[0] == 503
    bench.cluster.delete(service)
    await bench.proxy.write()
    with pytest.raises(ConnectionRefusedError):
        await lab.get("127.0.0.1", 31000)


async def test_quiet_waits_for_no_stranger(bench: Bench) -> None:
    assert not await asyncio.wait_for(bench.proxy.quiet("10.244.0.99"), lab.DEADLINE)
    await bench.show(cluster.service("web"), cluster.slice("web", bench.one.address))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(bench.proxy.quiet(bench.one.address), 0.05)
    bench.cluster.delete(cluster.slice("web"))
    await bench.proxy.write()
    await asyncio.wait_for(bench.proxy.quiet(bench.one.address), lab.DEADLINE)


async def test_sctp_is_translated(bench: Bench) -> None:
    """The kernel of a test machine may have no SCTP sockets; a packet by hand shows the translation."""
    await bench.show(
        cluster.service("web", cluster.port(protocol="SCTP")),
        cluster.slice("web", bench.two.address, ports=(("", 8080, "SCTP"),)),
    )
    arrived = await lab.send_sctp(bench.one, bench.two, "10.96.0.50", 80)
    assert arrived == (bench.one.address, 8080)


async def test_changes_make_the_same_table_as_writing_it_whole(bench: Bench) -> None:
    """Whatever comes after whatever."""
    one, two = bench.one.address, bench.two.address
    plain, sticky = cluster.service("web", *ports(30080), type="NodePort"), {"sessionAffinity": "ClientIP"}
    steps: list[list[object]] = [
        [plain],
        [both("web", one)],
        [both("web", one, two)],
        [replace(plain, spec=replace(plain.spec, **sticky))],
        [both("web", two)],
        [cluster.service("other", clusterIP="10.96.0.51"), cluster.slice("other", one)],
        [replace(plain, spec=replace(plain.spec, externalTrafficPolicy="Local"))],
        [both("web", cluster.endpoint(one, nodeName="there"))],
        [both("web")],
        [
            cluster.service(
                "web", type="LoadBalancer", ingress=("203.0.113.2",), loadBalancerSourceRanges=("10.0.0.0/8",)
            )
        ],
        [both("web", one, two)],
        [cluster.service("web", clusterIP="10.96.0.60")],
    ]
    for step in steps:
        await bench.show(*step)
        changed = sorted(lab.nft("list", "table", "ip", "lab").splitlines())
        applied = bench.proxy._applier.applied
        assert applied is not None
        bench.proxy._applier.applied = None
        await bench.proxy._applier.apply(applied)
        assert changed == sorted(lab.nft("list", "table", "ip", "lab").splitlines())
