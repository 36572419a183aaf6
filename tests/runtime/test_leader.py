"""Leader election between processes that share nothing but the API server and, here, a clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from sampan.api.types import coordination_v1
from sampan.runtime.clock import VirtualClock, settle
from sampan.runtime.leader import Election, Elector
from sampan.testing.cluster import Cluster

bare = pytest.mark.cluster(nodes=0, controllers=(), scheduler=False)


class Candidate:
    def __init__(self, cluster: Cluster, name: str, clock: VirtualClock) -> None:
        self.name = name
        self.terms = 0
        self.elector = Elector(cluster.client, Election("boss", name), clock=clock)
        self.task = asyncio.ensure_future(self.elector.run(self._lead))

    async def _lead(self) -> None:
        self.terms += 1
        await asyncio.get_running_loop().create_future()

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def candidates(cluster: Cluster, clock: VirtualClock, *names: str) -> AsyncIterator[list[Candidate]]:
    made = []
    for name in names:
        made.append(Candidate(cluster, name, clock))
        await settle()
    try:
        yield made
    finally:
        for each in made:
            await each.leave()


async def lease(cluster: Cluster) -> coordination_v1.LeaseSpec:
    found = await cluster.client.get(coordination_v1.Lease, "boss", "kube-system")
    assert found.spec is not None
    return found.spec


@bare
async def test_one_leads_and_the_others_wait(cluster: Cluster) -> None:
    clock = VirtualClock()
    async with candidates(cluster, clock, "a", "b") as (first, second):
        assert (first.elector.leading, second.elector.leading) == (True, False)
        for _ in range(60):
            await clock.advance(1)
        assert (first.elector.leading, second.elector.leading) == (True, False)
        assert second.elector.holder == "a"
        spec = await lease(cluster)
        assert (spec.holderIdentity, spec.leaseTransitions) == ("a", 0)
        assert (first.terms, second.terms) == (1, 0)


@bare
async def test_whoever_leaves_lets_go(cluster: Cluster) -> None:
    clock = VirtualClock()
    async with candidates(cluster, clock, "a", "b") as (first, second):
        await first.leave()
        assert (await lease(cluster)).holderIdentity in ("", None)
        await clock.advance(3)
        assert second.elector.leading
        spec = await lease(cluster)
        assert (spec.holderIdentity, spec.leaseTransitions) == ("b", 1)


@bare
async def test_whoever_dies_is_waited_for(cluster: Cluster) -> None:
    clock = VirtualClock()
    async with candidates(cluster, clock, "a", "b") as (first, second):
        first.elector.leading = False
        first.task.cancel()
        await settle()
        held = await cluster.client.get(coordination_v1.Lease, "boss", "kube-system")
        assert held.spec is not None
        await cluster.client.update(replace(held, spec=replace(held.spec, holderIdentity="a", leaseDurationSeconds=15)))
        for _ in range(12):
            await clock.advance(1)
        assert not second.elector.leading
        for _ in range(10):
            await clock.advance(1)
        assert second.elector.leading


@bare
async def test_a_leader_that_cannot_renew_steps_down(cluster: Cluster) -> None:
    clock = VirtualClock()
    async with candidates(cluster, clock, "a") as (only,):
        assert only.elector.leading
        thief = await cluster.client.get(coordination_v1.Lease, "boss", "kube-system")
        assert thief.spec is not None
        await cluster.client.update(replace(thief, spec=replace(thief.spec, holderIdentity="thief")))
        for _ in range(12):
            await clock.advance(1)
        assert not only.elector.leading
        for _ in range(30):
            await clock.advance(1)
        assert only.elector.leading, "the thief never renewed"
        assert only.terms == 2


def test_deadlines_must_fit() -> None:
    with pytest.raises(ValueError, match="must exceed the renew deadline"):
        Election("boss", "a", duration=10, renew=10)
