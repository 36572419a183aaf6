"""The loop that all controllers share, over a real API server: what a plan's end does to its key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.errors import StatusError, conflict, forbidden_error, internal
from sampan.api.types import core_v1, meta_v1
from sampan.client.client import Client
from sampan.runtime.actions import (
    Batch,
    Call,
    Create,
    Delete,
    Emit,
    Evict,
    Patch,
    Plan,
    Refused,
    Requeue,
    Retry,
    Terminal,
    Update,
    View,
)
from sampan.runtime.clock import VirtualClock, settle
from sampan.runtime.controller import Controller, Environment, Loop, Watch, unless_unchanged
from sampan.runtime.events import Recorder
from sampan.runtime.metrics import expose
from sampan.testing.cluster import Cluster

bare = pytest.mark.cluster(nodes=0, controllers=(), scheduler=False)

Planner = Callable[[core_v1.ConfigMap, View], Plan]


def config(name: str, **data: str) -> core_v1.ConfigMap:
    return core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name=name, namespace="default"), data=data)


@asynccontextmanager
async def running(
    cluster: Cluster, plan: Planner, clock: VirtualClock | None = None, **more: Any
) -> AsyncIterator[Loop]:
    clock = clock or VirtualClock()
    recorder = Recorder(cluster.client, "test-controller", clock=clock)
    declaration = Controller("test-controller", core_v1.ConfigMap, plan, workers=2, **more)
    loop = Loop(declaration, Environment(cluster.client, cluster.informers, recorder, clock))
    tasks = [asyncio.ensure_future(loop.run()), asyncio.ensure_future(recorder.run())]
    try:
        yield loop
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], object]) -> None:
    """Bounded: what is to happen happens within a thousand turns of the loop, or not at all."""
    for _ in range(1000):
        if condition():
            return
        await settle(5)
    raise AssertionError("it did not happen")


def raising(error: Exception) -> Planner:
    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        raise error
        yield

    return plan


# --- how plans end


@bare
@pytest.mark.parametrize(
    ("error", "outcome", "wait"),
    [
        (Retry(30, "too early"), "requeue_after", 30),
        (Terminal("hopeless"), "terminal", None),
        (conflict("configmaps", "", "a"), "conflict", 0.005),
        (forbidden_error("configmaps", "", "a", "no"), "error", 0.005),
        (Refused(internal("x"), (), 3), "error", 0.005),
        (ConnectionRefusedError("no server"), "unreachable", 0.005),
        (ValueError("a bug"), "error", 0.005),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_what_becomes_of_a_key(cluster: Cluster, error: Exception, outcome: str, wait: float | None) -> None:
    clock = VirtualClock()
    async with running(cluster, raising(error), clock) as loop:
        await cluster.client.create(config("a"))
        await until(lambda: loop.outcomes[outcome] == 1)
        assert loop.queue.delayed == (0 if wait is None else 1)
        if wait is not None:
            await clock.advance(wait)
            await until(lambda: loop.outcomes[outcome] == 2)


@bare
async def test_waits_double_until_a_plan_does_well(cluster: Cluster) -> None:
    clock, failing = VirtualClock(), [True]

    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        if failing[0]:
            raise internal("broken")
        yield Requeue(60)

    async with running(cluster, plan, clock) as loop:
        await cluster.client.create(config("a"))
        for failures in range(1, 5):
            await until(lambda failures=failures: loop.outcomes["error"] == failures)  # type: ignore[misc]
            assert loop.queue.failures(("default", "a")) == failures
            await clock.advance(0.005 * 2 ** (failures - 1))
        failing[0] = False
        await clock.advance(1)
        await until(lambda: loop.outcomes["requeue_after"] == 1)
        assert loop.queue.failures(("default", "a")) == 0
        await clock.advance(60)
        await until(lambda: loop.outcomes["requeue_after"] == 2)


@bare
async def test_a_namespace_that_goes_ends_the_work(cluster: Cluster) -> None:
    cause = meta_v1.StatusCause(reason="NamespaceTerminating", message="x")
    refused = forbidden_error("pods", "", "a", "being terminated").status
    error = StatusError(replace(refused, details=meta_v1.StatusDetails(causes=(cause,))))
    async with running(cluster, raising(error)) as loop:
        await cluster.client.create(config("a"))
        await until(lambda: loop.outcomes["namespace_terminating"] == 1)
        assert loop.queue.delayed == 0


@bare
async def test_failures_that_last_are_told(cluster: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    with caplog.at_level(logging.WARNING, logger="sampan.runtime.controller"):
        async with running(cluster, raising(internal("broken")), clock) as loop:
            await cluster.client.create(config("a"))
            await until(lambda: loop.outcomes["error"] >= 1)
            await clock.advance(10)
    assert "test-controller: default/a: Internal error occurred: broken, again in" in caplog.text


# --- what is looked at


@bare
async def test_what_was_there_before_is_looked_at_too(cluster: Cluster) -> None:
    seen: list[str] = []

    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        seen.append(object.metadata.name or "")
        yield from ()

    await cluster.client.create(config("early"))
    informer = cluster.informers.get(core_v1.ConfigMap)
    await informer.synced.wait()
    async with running(cluster, plan):
        await until(lambda: "early" in seen)
        await cluster.client.create(config("late"))
        await until(lambda: "late" in seen)


@bare
async def test_modifications_may_not_matter(cluster: Cluster) -> None:
    seen: list[str] = []

    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        seen.append(object.data.get("x", ""))
        yield from ()

    async with running(cluster, plan, changed=unless_unchanged(lambda each: each.data)):
        made = await cluster.client.create(config("a", x="1"))
        await until(lambda: seen == ["1"])
        made = await cluster.client.update(replace(made, metadata=replace(made.metadata, labels={"a": "b"})))
        await cluster.client.update(replace(made, data={"x": "2"}))
        await until(lambda: seen == ["1", "2"])


@bare
async def test_gone_objects_have_a_plan_of_their_own(cluster: Cluster) -> None:
    gone: list[Any] = []

    def nothing(object: core_v1.ConfigMap, view: View) -> Plan:
        yield from ()

    def ended(key: Any, view: View) -> Plan:
        gone.append(key)
        yield from ()

    async with running(cluster, nothing, gone=ended) as loop:
        await cluster.client.create(config("a"))
        await until(lambda: loop.outcomes["success"])
        await cluster.client.delete(core_v1.ConfigMap, "a", "default")
        await until(lambda: gone == [("default", "a")])


@bare
async def test_other_types_lead_to_primary_objects(cluster: Cluster) -> None:
    seen: list[str] = []

    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        seen.append(object.metadata.name or "")
        yield from ()

    watch = Watch(core_v1.Secret, lambda secret, view: [("default", secret.metadata.name or "")])
    async with running(cluster, plan, watches=(watch,)):
        await cluster.client.create(config("a"))
        await until(lambda: seen == ["a"])
        metadata = meta_v1.ObjectMeta(name="a", namespace="default")
        await cluster.client.create(core_v1.Secret(metadata=metadata))
        await until(lambda: seen == ["a", "a"])


# --- what is done


@bare
async def test_answers_are_in_the_cache_at_once(cluster: Cluster) -> None:
    """The heart of it: whoever plans next sees what was done, without expectations to count."""
    twice: list[str] = []

    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        if object.metadata.name != "a":
            return
        if view.get(core_v1.ConfigMap, "child", "default") is None:
            made = yield Create(config("child"))
            if view.get(core_v1.ConfigMap, "child", "default") is not made:
                twice.append("not in the cache")
            made = yield Update(replace(made, data={"x": "1"}))
            yield Patch(made, {"data": {"y": "2"}})
            yield Delete(config("never-was"))

    async with running(cluster, plan) as loop:
        await cluster.client.create(config("a"))
        await until(lambda: loop.outcomes["success"] >= 2)
        child = await cluster.client.get(core_v1.ConfigMap, "child", "default")
        assert dict(child.data) == {"x": "1", "y": "2"}
        assert twice == []
        assert loop.outcomes["error"] == loop.outcomes["conflict"] == 0


@bare
async def test_a_patch_never_reaches_another_of_the_same_name(cluster: Cluster) -> None:
    refused: list[int] = []

    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        stranger = replace(object, metadata=replace(object.metadata, uid="another"))
        try:
            yield Patch(stranger, {"data": {"x": "1"}})
        except StatusError as error:
            refused.append(error.code)

    async with running(cluster, plan):
        await cluster.client.create(config("a"))
        await until(lambda: refused)
        assert refused[0] in (409, 422)
        assert (await cluster.client.get(core_v1.ConfigMap, "a", "default")).data == {}


@bare
async def test_a_batch_starts_slowly_and_stops_at_a_refusal(cluster: Cluster) -> None:
    ended: list[Refused] = []

    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        if object.metadata.name != "a":
            return
        wrong = core_v1.ConfigMap(metadata=meta_v1.ObjectMeta(name="Wrong Name", namespace="default"))
        try:
            yield Batch([Create(config("one")), Create(config("two")), Create(wrong), *[Create(wrong)] * 10])
        except Refused as refused:
            ended.append(refused)

    async with running(cluster, plan):
        await cluster.client.create(config("a"))
        await until(lambda: ended)
        (refused,) = ended
        assert [each.metadata.name for each in refused.answers] == ["one", "two"]
        assert (refused.error.code, refused.skipped) == (422, 10)


@bare
async def test_events_are_written_and_counted(cluster: Cluster) -> None:
    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        yield Emit(object, "Normal", "Looked", "looked at it")

    async with running(cluster, plan):
        await cluster.client.create(config("a"))
        await cluster.wait_until(core_v1.Event, lambda found: found)
        await cluster.client.patch(core_v1.ConfigMap, "a", "default", body={"data": {"x": "1"}})
        (event,) = await cluster.wait_until(core_v1.Event, lambda found: found and found[0].count == 2)
        assert (event.reason, event.message, event.type) == ("Looked", "looked at it", "Normal")
        assert event.source is not None and event.source.component == "test-controller"
        assert event.involvedObject.name == "a" and event.involvedObject.uid
        assert (event.metadata.name or "").startswith("a.")


@bare
async def test_plans_may_read_past_the_cache_and_evict(cluster: Cluster) -> None:
    found: list[Any] = []

    async def ask(client: Client) -> int:
        return len((await client.list(core_v1.ConfigMap, "default")).items)

    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        found.append((yield Call(ask)))
        try:
            yield Evict(core_v1.Pod(metadata=meta_v1.ObjectMeta(name="nobody", namespace="default")))
        except StatusError as error:
            found.append(error.code)

    async with running(cluster, plan):
        await cluster.client.create(config("a"))
        await until(lambda: len(found) >= 2)
        assert found[:2] == [1, 404]


@bare
async def test_metrics(cluster: Cluster) -> None:
    def plan(object: core_v1.ConfigMap, view: View) -> Plan:
        yield from ()

    async with running(cluster, plan) as loop:
        await cluster.client.create(config("a"))
        await until(lambda: loop.outcomes["success"])
        text = expose(loop.samples())
    assert 'workqueue_adds_total{name="test-controller"} 1' in text
    assert 'sampan_controller_reconcile_total{controller="test-controller",result="success"} 1' in text
