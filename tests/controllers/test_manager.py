"""All controllers in one process, and several processes of which one works."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from sampan.api.types import core_v1
from sampan.client.informer import Informers
from sampan.controllers import ALL
from sampan.controllers.manager import COMPONENTS, Manager
from sampan.controllers.settings import Settings
from sampan.runtime.clock import VirtualClock, settle
from sampan.runtime.controller import Controller
from sampan.runtime.leader import Election
from sampan.runtime.metrics import expose
from sampan.testing.cluster import CONTROLLERS, Cluster

bare = pytest.mark.cluster(nodes=0, controllers=(), scheduler=False)


@contextlib.asynccontextmanager
async def working(manager: Manager) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(manager.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_names_are_unique_and_declarations_cheap() -> None:
    names = [declare(Settings()).name for declare in ALL]
    assert len(names) == len(set(names))
    assert set(COMPONENTS) <= set(names)


def test_everybody_names_one_function_for_an_index() -> None:
    """Informers are shared: two controllers that index a type by one name must mean the same."""
    known: dict[tuple[type, str], object] = {}
    for declare in ALL:
        declaration = declare(Settings())
        if isinstance(declaration, Controller):
            for type, indexes in declaration.indexes.items():
                for name, function in indexes.items():
                    assert known.setdefault((type, name), function) is function, (type, name)


@bare
async def test_a_manager_of_its_own(cluster: Cluster) -> None:
    manager = Manager(cluster.client_as(CONTROLLERS), settings=Settings(root_ca="PEM"))
    async with working(manager):
        await cluster.wait_for(core_v1.ConfigMap, "kube-root-ca.crt")
        await cluster.wait_for(core_v1.ServiceAccount, "default")
        await manager.drained()
    text = expose(manager.samples())
    assert 'sampan_controller_reconcile_total{controller="service-account-controller",result="success"}' in text
    assert 'sampan_events_dropped_total{component="node-controller"} 0' in text


@bare
async def test_only_the_leader_works_and_another_takes_over(cluster: Cluster) -> None:
    clock = VirtualClock()

    def candidate(name: str) -> Manager:
        election = Election("kube-controller-manager", name)
        return Manager(
            cluster.client_as(CONTROLLERS),
            settings=Settings(root_ca=name),
            informers=Informers(cluster.client),
            election=election,
            clock=clock,
        )

    first, second = candidate("first"), candidate("second")
    tasks = [asyncio.ensure_future(each.informers.run()) for each in (first, second)]
    try:
        async with working(first), working(second):
            found = await cluster.wait_for(core_v1.ConfigMap, "kube-root-ca.crt")
            leader, other = (first, second) if found.data["ca.crt"] == "first" else (second, first)
            assert leader.runners and not other.runners
        async with working(other):
            for _ in range(5):
                await clock.advance(1)
                await settle(200)
            await cluster.wait_for(
                core_v1.ConfigMap, "kube-root-ca.crt", lambda each: each.data["ca.crt"] != found.data["ca.crt"]
            )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
