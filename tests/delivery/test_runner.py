"""The runner against an API server: takes, follows, aborts, gives up, forgets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sampan.api.extra.pipelinerun_v1 import PipelineRun, PipelineRunSpec, RunSource, RunTrigger
from sampan.api.extra.pipelineruns import POD_LABEL
from sampan.api.types import core_v1, meta_v1
from sampan.delivery import schedule
from sampan.delivery.places import Places
from sampan.delivery.runner import Job, Runner, Status
from sampan.testing.cluster import Cluster

pytestmark = pytest.mark.cluster(nodes=0, controllers=())


class Bench:
    """A runner whose work is to write `ended` once it is let go, or aborted."""

    def __init__(self, cluster: Cluster, root: Path) -> None:
        self.cluster = cluster
        self.places = Places(root)
        self.go = asyncio.Event()
        self.at_work: list[str] = []
        self.runner = Runner(self.places, cluster.client, "here", self._work)

    async def _work(self, job: Job, tell: Callable[[Status], Awaitable[None]]) -> Status:
        self.at_work.append(job.run.metadata.name or "")
        self.places.workspace("default", job.run.metadata.name or "").mkdir(parents=True)
        await job.log.write("begun")
        await tell({"stages": [{"name": "A", "phase": "Running"}]})
        waits = [asyncio.ensure_future(each.wait()) for each in (self.go, job.ends)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()
        if job.run.spec.app == "bad":
            raise RuntimeError("unforeseen")
        await job.log.write("ended")
        return {"phase": "Aborted", "message": job.why} if job.ends.is_set() else {"phase": "Succeeded"}

    async def make(self, app: str = "web", **more: Any) -> str:
        source = RunSource(ref="refs/heads/main", commit=more.get("commit", "0" * 40))
        made = await self.cluster.client.create(
            PipelineRun(
                metadata=meta_v1.ObjectMeta(generateName=f"{app}-", namespace="default"),
                spec=PipelineRunSpec(app=app, source=source, trigger=RunTrigger(kind=more.get("kind", "manual"))),
            )
        )
        return made.metadata.name or ""

    async def phase(self, name: str, phase: str) -> PipelineRun:
        return await self.cluster.wait_for(PipelineRun, name, lambda run: run.status.phase == phase)

    async def gone(self, name: str) -> None:
        """Its log, without any further change."""
        while self.places.log("default", name).exists():
            await asyncio.sleep(0.01)

    async def lines(self, name: str) -> list[str]:
        return [line async for line in self.runner.follow("default", name)]


@asynccontextmanager
async def running(cluster: Cluster, root: Path) -> AsyncIterator[Bench]:
    bench = Bench(cluster, root)
    task = asyncio.ensure_future(bench.runner.run())
    try:
        yield bench
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_run_is_taken_followed_and_ended(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as bench:
        name = await bench.make()
        following = asyncio.ensure_future(bench.lines(name))
        run = await bench.phase(name, "Running")
        assert (run.status.number, run.status.node) == (1, "here")
        assert run.status.startedAt
        bench.go.set()
        run = await bench.phase(name, "Succeeded")
        assert await following == ["begun", "ended"]
        assert await bench.lines(name) == ["begun", "ended"]
        assert run.status.finishedAt
        assert not bench.places.workspace("default", name).exists()
        assert await bench.lines("nobody") == []


async def test_a_run_whose_log_cannot_be_written_waits_and_can_be_aborted(cluster: Cluster, tmp_path: Path) -> None:
    """As on a disk that is full."""
    Places(tmp_path).root.mkdir(parents=True)
    logs = Places(tmp_path).root / "logs"
    logs.write_text("")
    async with running(cluster, tmp_path) as bench:
        name, other = await bench.make(), await bench.make(app="other")
        why = "waits: its log cannot be written on node here: "
        for each in (name, other):
            run = await cluster.wait_for(PipelineRun, each, lambda run: (run.status.message or "").startswith(why))
            assert run.status.phase == "Pending"
        await cluster.client.patch(PipelineRun, other, "default", body={"spec": {"abort": True}})
        await bench.phase(other, "Aborted")
        logs.unlink()
        bench.go.set()
        await bench.phase(name, "Succeeded")
        assert await bench.lines(name) == ["begun", "ended"]


async def test_the_next_run_of_an_app_waits_and_says_for_whom(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as bench:
        first = await bench.make()
        await bench.phase(first, "Running")
        second = await bench.make()
        waits = "waits: run 1 of web goes on"
        await cluster.wait_for(PipelineRun, second, lambda run: run.status.message == waits)
        following = asyncio.ensure_future(bench.lines(second))
        bench.go.set()
        run = await bench.phase(second, "Succeeded")
        assert (run.status.number, run.status.message) == (2, None)
        assert await following == [waits, "begun", "ended"]


async def test_a_push_gives_way_to_a_newer_one(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as bench:
        await bench.phase(await bench.make(), "Running")
        old = await bench.make(kind="push")
        await cluster.wait_for(PipelineRun, old, lambda run: run.status.number == 2)
        new = await bench.make(kind="push", commit="1" * 40)
        run = await bench.phase(old, "Aborted")
        assert "is about a newer commit of main" in (run.status.message or "")
        assert await bench.lines(old) == [f"aborted: {run.status.message}"]
        bench.go.set()
        await bench.phase(new, "Succeeded")
        assert old not in bench.at_work


async def test_an_abort_ends_a_run(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as bench:
        name = await bench.make()
        await bench.phase(name, "Running")
        await cluster.client.patch(PipelineRun, name, "default", body={"spec": {"abort": True}})
        run = await bench.phase(name, "Aborted")
        assert run.status.message == "somebody asked for it"


async def test_a_deleted_run_ends_and_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as bench:
        name = await bench.make()
        await bench.phase(name, "Running")
        following = asyncio.ensure_future(bench.lines(name))
        await cluster.client.delete(PipelineRun, name, "default")
        assert (await following)[-1] == "ended"
        await bench.gone(name)


async def test_a_run_of_the_same_name_is_another_one(cluster: Cluster, tmp_path: Path) -> None:
    """A delivery that is sent again after its run was deleted makes one."""
    async with running(cluster, tmp_path) as bench:
        name = await bench.make()
        old = await bench.phase(name, "Running")
        await cluster.client.delete(PipelineRun, name, "default")
        made = await cluster.client.create(
            PipelineRun(metadata=meta_v1.ObjectMeta(name=name, namespace="default"), spec=old.spec)
        )
        assert made.metadata.uid != old.metadata.uid
        run = await bench.phase(name, "Running")
        assert run.metadata.uid == made.metadata.uid
        assert len(bench.at_work) == 2
        bench.go.set()
        run = await bench.phase(name, "Succeeded")
        assert (run.metadata.uid, run.status.message) == (made.metadata.uid, None)
        assert await bench.lines(name) == ["begun", "ended"]


async def test_a_workspace_that_is_too_deep_for_others_goes_with_its_run(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as bench:
        name = await bench.make()
        await bench.phase(name, "Running")
        current = os.open(bench.places.workspace("default", name), os.O_RDONLY)
        for _ in range(2000):
            os.mkdir("d", dir_fd=current)
            inner = os.open("d", os.O_RDONLY, dir_fd=current)
            os.close(current)
            current = inner
        os.close(current)
        bench.go.set()
        await bench.phase(name, "Succeeded")
        assert not bench.places.workspace("default", name).exists()


async def test_what_is_unforeseen_is_said(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as bench:
        bench.go.set()
        run = await bench.phase(await bench.make("bad"), "Failed")
        assert run.status.message == "unforeseen: RuntimeError: unforeseen; see the node's log"
        assert [stage.phase for stage in run.status.stages] == ["Aborted"]


async def test_after_a_restart_a_lost_run_is_aborted_and_its_pods_are_gone(cluster: Cluster, tmp_path: Path) -> None:
    async with running(cluster, tmp_path) as bench:
        name = await bench.make()
        await bench.phase(name, "Running")
    pod = core_v1.Pod(
        metadata=meta_v1.ObjectMeta(name="agent", namespace="default", labels={POD_LABEL: name}),
        spec=core_v1.PodSpec(containers=(core_v1.Container(name="agent", image="x"),), nodeName="here"),
    )
    account = meta_v1.ObjectMeta(name="default", namespace="default")
    await cluster.client.create(core_v1.ServiceAccount(metadata=account))
    await cluster.client.create(pod)
    left = Places(tmp_path).log("default", "gone-before")
    left.write_text("")
    key = Places(tmp_path).secrets / "tmp" / "ssh-privatekey"
    key.parent.mkdir(parents=True)
    key.write_text("a key")
    async with running(cluster, tmp_path) as bench:
        run = await bench.phase(name, "Aborted")
        assert run.status.message == "the node's process ended while it ran; start it again"
        assert [stage.phase for stage in run.status.stages] == ["Aborted"]
        assert (await cluster.client.list(core_v1.Pod, "default")).items == ()
        assert (await bench.lines(name))[0] == "begun"
        assert not left.exists()
        assert not key.exists()
        assert bench.places.root.stat().st_mode & 0o777 == 0o700


async def test_old_runs_are_forgotten_with_their_logs(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "KEPT", 2)
    async with running(cluster, tmp_path) as bench:
        bench.go.set()
        names = []
        for _ in range(4):
            names.append(await bench.make())
            await bench.phase(names[-1], "Succeeded")
        await cluster.wait_gone(PipelineRun, names[0])
        last = await bench.make()
        await bench.phase(last, "Succeeded")
        run = await cluster.client.get(PipelineRun, last, "default")
        assert run.status.number == 5
