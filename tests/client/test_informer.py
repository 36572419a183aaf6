"""Informers against a real API server, and one whose answers fail on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from sampan.api import kinds
from sampan.api.kinds import core
from sampan.api.types import core_v1, meta_v1
from sampan.client.client import Client
from sampan.client.informer import Informer, Informers
from sampan.client.local import LocalTransport
from sampan.client.metadata import PartialObjectMetadata
from sampan.http.types import Request, Response
from sampan.runtime.clock import settle
from sampan.testing.cluster import ADMIN, Cluster

bare = pytest.mark.cluster(nodes=0, controllers=(), scheduler=False)


def config(name: str, **data: str) -> core_v1.ConfigMap:
    return core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name=name, namespace="default"), data=data)


class Shaky(LocalTransport):
    """Refuses while `broken` says with what."""

    broken: Exception | Response | None = None
    requests: int = 0

    async def send(self, request: Request) -> Response:
        self.requests += 1
        if isinstance(self.broken, Exception):
            raise self.broken
        return self.broken if self.broken is not None else await super().send(request)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def following(informer: Informer[core_v1.ConfigMap]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(informer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@bare
async def test_lists_and_follows(cluster: Cluster) -> None:
    await cluster.client.create(config("early"))
    informer = Informer(cluster.client, core_v1.ConfigMap, "default")
    async with following(informer):
        await informer.synced.wait()
        assert informer.get("early", "default") is not None
        await cluster.client.create(config("late"))
        await until(lambda: informer.get("late", "default"))
        await cluster.client.delete(core_v1.ConfigMap, "early", "default")
        await until(lambda: informer.get("early", "default") is None)


@bare
async def test_selections(cluster: Cluster) -> None:
    informer = Informer(cluster.client, core_v1.ConfigMap, "default", labels="of=test")
    async with following(informer):
        await informer.synced.wait()
        made = await cluster.client.create(config("a"))
        informer.assume(made)
        assert len(informer) == 0, "whether it belongs to the selection only the server can say"
        await cluster.client.patch(core_v1.ConfigMap, "a", "default", body={"metadata": {"labels": {"of": "test"}}})
        await until(lambda: len(informer) == 1)
        await cluster.client.patch(core_v1.ConfigMap, "a", "default", body={"metadata": {"labels": {"of": None}}})
        await until(lambda: len(informer) == 0)


@bare
async def test_metadata_alone(cluster: Cluster) -> None:
    secret = core_v1.Secret(metadata=meta_v1.ObjectMeta(name="s", namespace="default"), stringData={"key": "hidden"})
    await cluster.client.create(secret)
    informer = cluster.informers.get(PartialObjectMetadata, kind=core.SECRET)
    await informer.synced.wait()
    found = informer.get("s", "default")
    assert found is not None and found.metadata.uid
    whole = cluster.informers.get(core_v1.Secret)
    assert whole is not informer
    await whole.synced.wait()
    object = whole.get("s", "default")
    assert object is not None and object.data, "whoever asks for the type gets the whole object"


@bare
@pytest.mark.parametrize(
    "failure",
    [
        ConnectionRefusedError("no server"),
        Response(503, b'{"kind": "Status", "status": "Failure", "code": 503, "message": "later"}'),
        Response(200, b"no json"),
    ],
    ids=["unreachable", "unavailable", "nonsense"],
)
async def test_failures_are_outlived(cluster: Cluster, failure: Exception | Response) -> None:
    transport = Shaky(cluster.server.handler, ADMIN)
    transport.broken = failure
    informer = Informer(Client(transport, kinds.ALL), core_v1.ConfigMap, "default")
    async with following(informer):
        await until(lambda: transport.requests >= 2)
        assert not informer.synced.is_set()
        transport.broken = None
        await informer.synced.wait()


@bare
async def test_a_watch_that_is_too_old_starts_with_a_list(cluster: Cluster) -> None:
    transport = Shaky(cluster.server.handler, ADMIN)
    client = Client(transport, kinds.ALL)
    informer = Informer(client, core_v1.ConfigMap, "default")
    async with following(informer):
        await informer.synced.wait()
    await cluster.client.create(config("missed"))
    gone = b'{"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}'
    transport.broken = Response(410, gone)
    async with following(informer):
        before = transport.requests
        await until(lambda: transport.requests > before)
        transport.broken = None
        await until(lambda: informer.get("missed", "default"))


@bare
async def test_informers_are_shared_and_end(cluster: Cluster) -> None:
    informers = Informers(cluster.client)
    first = informers.get(core_v1.ConfigMap)
    assert informers.get(core_v1.ConfigMap) is first
    assert informers.get(core_v1.ConfigMap, "default") is not first
    assert informers.find(core_v1.ConfigMap) is first
    assert informers.find(core_v1.Secret) is None
    before = asyncio.all_tasks()
    task = asyncio.ensure_future(informers.run())
    await informers.synced()
    late = informers.get(core_v1.Secret)
    await late.synced.wait()
    informers.drop(late)
    assert informers.find(core_v1.Secret) is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await settle()
    assert asyncio.all_tasks() == before


@bare
async def test_managed_fields_are_dropped(cluster: Cluster) -> None:
    await cluster.client.create(config("a"))
    found = await cluster.wait_for(core_v1.ConfigMap, "a")
    assert found.metadata.managedFields == ()
