"""The parts together: a pod asks for a name and reaches who it names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from sampan.api.types import core_v1, discovery_v1
from sampan.config import ClusterConfig
from sampan.network import room
from tests.network import cluster, dig, lab
from tests.network.lab import HOST, Pod

pytestmark = pytest.mark.kernel


@pytest.fixture
def config(tmp_path: Path) -> ClusterConfig:
    return ClusterConfig(name=lab.instance(), data_root=tmp_path / "data", run_root=tmp_path / "run")


@pytest.fixture
def made() -> cluster.Cluster:
    found = cluster.Cluster()
    found.synced(core_v1.Service, discovery_v1.EndpointSlice)
    return found


@pytest.fixture
async def network(host: None, config: ClusterConfig, made: cluster.Cluster) -> AsyncIterator[room.Network]:
    network = room.Network(config, "here", made.informers)
    await network.setup()
    runs = asyncio.create_task(network.run())
    await asyncio.wait_for(network.ready(), lab.DEADLINE)
    yield network
    runs.cancel()
    await asyncio.wait([runs])
    await room.clean(config)


async def test_from_a_name_to_a_pod(network: room.Network, made: cluster.Cluster, namespace: Callable[[], str]) -> None:
    pods = []
    for name in ("one", "two"):
        path = namespace()
        (address,) = await network.pods.attach(name, path, lab.config())
        pods.append(Pod(path, address))
    one, two = pods
    made.put(cluster.service("web"), cluster.slice("web", two.address))
    async with two.serve(8080):
        for client in (one, HOST):
            said = dig.read(await client.exchange("10.96.0.10", 53, dig.query("web.default.svc.cluster.local")))
            assert said.answers == ["A 10.96.0.50"]
        assert "10.96.0.10" not in Path("/proc/net/nf_conntrack").read_text(), "questions are not tracked"
        while not network.proxy.writes > 1:
            await asyncio.sleep(0)
        await asyncio.wait_for(network.quiet(one.address), lab.DEADLINE)
        assert await one.ask("10.96.0.50", 80) == (two.address, one.address)
    assert {sample.name for sample in network.samples()} >= {"sampan_proxy_services", "sampan_dns_responses_total"}


async def test_rules_outlive_the_process_and_the_next_one_takes_over(
    host: None, config: ClusterConfig, made: cluster.Cluster, namespace: Callable[[], str]
) -> None:
    before = lab.everything()
    first = room.Network(config, "here", made.informers)
    await first.setup()
    path = namespace()
    (address,) = await first.pods.attach("one", path, lab.config())
    one = Pod(path, address)
    made.put(cluster.service("web"), cluster.slice("web", address))
    for _ in range(2):
        current = room.Network(config, "here", made.informers)
        await current.setup()
        runs = asyncio.create_task(current.run())
        await asyncio.wait_for(current.ready(), lab.DEADLINE)
        runs.cancel()
        await asyncio.wait([runs])
    async with one.serve(8080):
        assert (await HOST.ask("10.96.0.50", 80))[0] == address
    await room.clean(config)
    await room.clean(config)
    assert lab.everything() == before


async def test_a_part_that_fails_is_started_again_and_the_others_go_on(
    host: None, config: ClusterConfig, made: cluster.Cluster
) -> None:
    network = room.Network(config, "here", made.informers)
    await network.setup()
    with HOST.socket() as taken:
        taken.bind((config.dns_ip, 53))
        taken.listen()
        runs = asyncio.create_task(network.run())
        await asyncio.wait_for(network.proxy.written.wait(), lab.DEADLINE)
        assert not network.dns.listening.is_set()
    await asyncio.wait_for(network.ready(), lab.DEADLINE)
    runs.cancel()
    await asyncio.wait([runs])
    await room.clean(config)
