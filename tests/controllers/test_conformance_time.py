"""Behaviours of the conformance suite that wait for minutes, on a cluster whose controllers' clock the test moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.types import batch_v1, core_v1
from sampan.client.cache import Cache
from sampan.runtime.clock import VirtualClock, settle
from sampan.testing.cluster import Cluster
from tests.covers import covers

CRON = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick, labels: {special: "true"}}
spec:
  schedule: "%s"
  concurrencyPolicy: %s
  suspend: %s
  jobTemplate:
    spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: main, image: i}]}}}
"""


POD = """
apiVersion: v1
kind: Pod
metadata: {name: p%d}
spec:
  nodeName: node-1
  tolerations: [{key: k, operator: Exists, effect: NoExecute, tolerationSeconds: %d}]
  containers: [{name: main, image: i}]
"""


class Moved:
    """A cluster and its clock; `until` lets time pass a second at a time."""

    def __init__(self, cluster: Cluster, clock: VirtualClock) -> None:
        self.cluster = cluster
        self.clock = clock

    def cache(self, type: type[Any]) -> Cache[Any]:
        return self.cluster.informers.get(type)

    def all(self, type: type[Any]) -> list[Any]:
        return list(self.cache(type).by("namespace", "default"))

    async def pass_(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.clock.advance(1)
            await settle(100)

    async def until(self, condition: Callable[[], object], most: int = 400) -> None:
        for _ in range(most):
            await settle(100)
            if condition():
                return
            await self.clock.advance(1)
        raise AssertionError(f"it did not happen within {most} s")


@pytest.fixture
async def moved(cluster_factory: Any) -> Moved:
    clock = VirtualClock(start=float(int(time.time())))
    made = await cluster_factory(clock=clock)
    made.informers.get(batch_v1.Job)
    return Moved(made, clock)


def jobs(moved: Moved) -> list[batch_v1.Job]:
    return sorted(moved.all(batch_v1.Job), key=lambda each: each.metadata.name or "")


@covers("[sig-apps] CronJob should schedule multiple jobs concurrently [Conformance]")
async def test_several_at_once(moved: Moved) -> None:
    await moved.cluster.apply(CRON % ("*/1 * * * ?", "Allow", "false"))
    await moved.until(lambda: len([each for each in jobs(moved) if each.status.active]) >= 2)
    (cron,) = moved.all(batch_v1.CronJob)
    assert len(cron.status.active) >= 2


@covers("[sig-apps] CronJob should not schedule jobs when suspended [Conformance] [Slow]")
async def test_none_while_suspended(moved: Moved) -> None:
    await moved.cluster.apply(CRON % ("*/1 * * * ?", "Allow", "true"))
    await moved.pass_(300)
    assert jobs(moved) == []


@covers("[sig-apps] CronJob should not schedule new jobs when ForbidConcurrent [Conformance] [Slow]")
async def test_one_at_a_time(moved: Moved) -> None:
    await moved.cluster.apply(CRON % ("*/1 * * * ?", "Forbid", "false"))
    await moved.until(lambda: jobs(moved))
    (first,) = jobs(moved)
    await moved.pass_(180)
    assert [each.metadata.uid for each in jobs(moved)] == [first.metadata.uid]
    (cron,) = moved.all(batch_v1.CronJob)
    assert len(cron.status.active) == 1


@covers("[sig-apps] CronJob should replace jobs when ReplaceConcurrent [Conformance]")
async def test_the_next_takes_the_place(moved: Moved) -> None:
    await moved.cluster.apply(CRON % ("*/1 * * * ?", "Replace", "false"))
    await moved.until(lambda: jobs(moved))
    (first,) = jobs(moved)
    await moved.until(lambda: len(jobs(moved)) == 1 and jobs(moved)[0].metadata.uid != first.metadata.uid)


@covers("[sig-apps] CronJob should support CronJob API operations [Conformance]")
async def test_the_api_of_cron_jobs(cluster: Cluster) -> None:
    type, client = batch_v1.CronJob, cluster.client
    for name in ("one", "two", "three"):
        await cluster.apply((CRON % ("* */1 * * ?", "Allow", "false")).replace("tick", name))
    made = await client.get(type, "one", "default")
    assert (made.spec.successfulJobsHistoryLimit, made.spec.failedJobsHistoryLimit) == (3, 1)
    assert len((await client.list(type, "default", labels="special=true")).items) == 3
    assert len((await client.list(type, labels="special=true")).items) == 3
    patched = await client.patch(type, "one", "default", body={"metadata": {"annotations": {"patched": "true"}}})
    updated = await client.update(replace(patched, metadata=replace(patched.metadata, annotations={"updated": "yes"})))
    assert updated.metadata.annotations == {"updated": "yes"}
    at = "2020-01-01T00:00:00Z"
    status = await client.patch(type, "one", "default", body={"status": {"lastScheduleTime": at}}, subresource="status")
    assert status.status.lastScheduleTime == at
    assert (await client.get(type, "one", "default", subresource="status")).metadata.uid == made.metadata.uid
    await client.delete(type, "one", "default")
    await cluster.wait_gone(type, "one")
    await client.delete_collection(type, "default", labels="special=true")
    await cluster.wait_until(type, lambda found: not found)


@covers(
    "[sig-node] NoExecuteTaintManager Multiple Pods evicts pods with minTolerationSeconds [Conformance] [Disruptive]"
    " [Serial]"
)
async def test_each_pod_leaves_in_its_time(moved: Moved) -> None:
    for seconds in (5, 25):
        await moved.cluster.apply(POD % (seconds, seconds))
    await moved.until(lambda: all(each.status.phase == "Running" for each in moved.all(core_v1.Pod)))
    body = {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}
    await moved.cluster.client.patch(core_v1.Node, "node-1", body=body)
    await moved.until(lambda: len(moved.all(core_v1.Pod)) == 1, 15)
    assert moved.all(core_v1.Pod)[0].metadata.name == "p25"
    await moved.until(lambda: not moved.all(core_v1.Pod), 30)


@covers(
    "[sig-node] NoExecuteTaintManager Single Pod removing taint cancels eviction [Conformance] [Disruptive] [Serial]"
)
async def test_a_taint_that_goes_in_time_evicts_nobody(moved: Moved) -> None:
    await moved.cluster.apply(POD % (60, 60))
    await moved.until(lambda: all(each.status.phase == "Running" for each in moved.all(core_v1.Pod)))
    body: dict[str, Any] = {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}
    await moved.cluster.client.patch(core_v1.Node, "node-1", body=body)
    await moved.pass_(30)
    await moved.cluster.client.patch(core_v1.Node, "node-1", body={"spec": {"taints": None}})
    await moved.pass_(120)
    (pod,) = moved.all(core_v1.Pod)
    assert (pod.metadata.name, pod.metadata.deletionTimestamp) == ("p60", None)


async def test_time_stands_still_unless_it_is_moved(moved: Moved) -> None:
    before = moved.clock.now()
    await asyncio.sleep(0)
    assert moved.clock.now() == before
