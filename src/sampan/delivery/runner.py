"""Runs pipelines: follows PipelineRuns, lets `schedule` decide, and does it.

    PipelineRun -> schedule.decide -> start, stop, end, forget -> work.carry_out -> status

`follow` gives a run's log to who asks, from its first line to its end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from sampan import removal
from sampan.api import codec
from sampan.api.errors import StatusError
from sampan.api.extra.pipelinerun_v1 import PipelineRun
from sampan.api.extra.pipelineruns import POD_LABEL, commit_of, ended
from sampan.api.types import core_v1
from sampan.client.client import FAILURES, Client
from sampan.client.informer import Informers
from sampan.delivery import runlog, schedule
from sampan.delivery.places import Places
from sampan.delivery.runlog import RunLog
from sampan.delivery.schedule import Key, key_of
from sampan.runtime.backoff import Exponential
from sampan.runtime.clock import Clock, RealClock, rfc3339
from sampan.runtime.metrics import Sample
from sampan.runtime.tasks import Group

log = logging.getLogger(__name__)

AGAIN = Exponential(first=0.2, longest=15.0)
Status = dict[str, Any]


class Job:
    """One run at work."""

    def __init__(self, run: PipelineRun, log: RunLog) -> None:
        self.run = run
        self.log = log
        self.ends = asyncio.Event()
        """Set when the run shall end before its time; `why` says why."""
        self.why = ""

    def stop(self, why: str) -> None:
        if not self.ends.is_set():
            self.why = why
            self.ends.set()


Work = Callable[[Job, Callable[[Status], Awaitable[None]]], Awaitable[Status]]
"""Carries out a run; is given a way to tell its status, and returns the last one."""


class Runner:
    """`run` never returns."""

    def __init__(self, places: Places, client: Client, node: str, work: Work, *, clock: Clock | None = None) -> None:
        self._places = places
        self._client = client
        self._node = node
        self._work = work
        self._clock = clock or RealClock()
        self._informers = Informers(client)
        self._runs = self._informers.get(PipelineRun)
        self._jobs: dict[Key, Job] = {}
        self._told: dict[Key, str] = {}
        self._gone: set[Key] = set()
        self._changed = asyncio.Event()
        self._moved = asyncio.Condition()
        self._failures = 0
        self.closing = False
        """Set when the process ends, so that nobody begins anything more."""
        self.ended: dict[str, int] = {}

    # --- the loop

    async def run(self) -> None:
        async with Group("pipelines", clock=self._clock) as group:
            try:
                group.start("informers", self._informers.run())
                await self._runs.synced.wait()
                await self._sweep()
                stop = self._runs.subscribe(self._note)
                try:
                    self._changed.set()
                    while True:
                        await self._changed.wait()
                        self._changed.clear()
                        await self._settle(group)
                finally:
                    stop()
            except asyncio.CancelledError:
                self.closing = True
                raise

    def _note(self, type: str, old: PipelineRun | None, new: PipelineRun | None) -> None:
        if type == "DELETED" and old is not None:
            self._gone.add(key_of(old))
        self._changed.set()

    async def _settle(self, group: Group) -> None:
        failed = False
        for key, job in self._jobs.items():
            known = self._runs.get(key[1], key[0])
            if known is not None and known.metadata.uid != job.run.metadata.uid:
                job.stop("its PipelineRun was deleted")
        # Before anything begins: a new run of the same name writes a log of its own.
        for key in self._gone - self._jobs.keys():
            await asyncio.to_thread(self._remove_files, *key)
            self._gone.discard(key)
        for action in schedule.decide(self._runs.all(), self._jobs, self._node):
            # One that cannot be done must not keep the others waiting.
            failed |= not await self._tried(action, group)
        self._failures = self._failures + 1 if failed else 0
        if failed:
            self._clock.call_later(AGAIN.delay(self._failures), self._changed.set)
        async with self._moved:
            self._moved.notify_all()

    async def _tried(self, action: schedule.Action, group: Group) -> bool:
        try:
            await self._do(action, group)
        except FAILURES as error:
            if isinstance(error, StatusError) and error.code in (404, 409):
                log.debug("pipelines: %s; the watch will tell", error)
                return True
            log.log(logging.WARNING if self._failures > 2 else logging.DEBUG, "pipelines: %s", error)
            return False
        except Exception:
            log.exception("pipelines: %s is not possible", type(action).__name__)
            return False
        return True

    async def _do(self, action: schedule.Action, group: Group) -> None:
        match action:
            case schedule.Number(run, number):
                await self._tell(key_of(run), {"number": number})
            case schedule.Start(run):
                await self._start(run, group)
            case schedule.Wait(run, why):
                if self._told.get(key_of(run)) != why:
                    self._told[key_of(run)] = why
                    await self._tell(key_of(run), {"message": f"waits: {why}"})
            case schedule.Stop(key, why):
                self._jobs[key].stop(why)
            case schedule.End(run, why):
                await self._end(run, why)
            case schedule.Forget(run):
                await self._forget(run)

    async def _start(self, run: PipelineRun, group: Group) -> None:
        key = key_of(run)
        written = await self._log_of(key)
        self._told.pop(key, None)
        started = {"phase": "Running", "node": self._node, "startedAt": self._time(), "message": None}
        taken = await self._tell(key, started, revision=run.metadata.resourceVersion)
        if taken is None:
            await written.close()
            return
        job = Job(taken, written)
        self._jobs[key] = job
        group.start(f"run {key[0]}/{key[1]}", self._carry_out(key, job))

    async def _log_of(self, key: Key) -> RunLog:
        """Raises OSError, which the run tells: a disk that is full is somebody's to mend, and the run waits for it."""
        try:
            return RunLog(self._places.log(*key))
        except OSError as error:
            why = f"its log cannot be written on node {self._node}: {error.strerror or error}"
            if self._told.get(key) != why:
                self._told[key] = why
                await self._tell(key, {"message": f"waits: {why}"})
            raise

    async def _carry_out(self, key: Key, job: Job) -> None:
        last: Status = {"phase": "Aborted", "message": "the node's process ended while it ran; start it again"}
        try:
            last = await self._work(job, lambda status: self._tell_surely(job, status))
        except Exception as error:
            log.exception("run %s/%s failed in an unforeseen way", *key)
            last = {"phase": "Failed", "message": f"unforeseen: {type(error).__name__}: {error}; see the node's log"}
        finally:
            await asyncio.to_thread(self._remove_tree, self._places.workspace(*key))
            if self.closing:
                job.log.leave()
            else:
                await self._close(key, job, last)

    async def _close(self, key: Key, job: Job, last: Status) -> None:
        try:
            known, now = self._runs.get(key[1], key[0]), self._time()
            stages = {"stages": _settled(known, now)} if known is not None and known.status.stages else {}
            await self._tell_surely(job, {**stages, **last, "finishedAt": now})
        finally:
            phase = str(last.get("phase"))
            self.ended[phase] = self.ended.get(phase, 0) + 1
            await job.log.close()
            del self._jobs[key]
            self._changed.set()
            async with self._moved:
                self._moved.notify_all()

    async def _end(self, run: PipelineRun, why: str) -> None:
        """End what does not run, or does not run any more."""
        await self._remove_pods(run)
        stages = _settled(run, self._time())
        try:
            written = RunLog(self._places.log(*key_of(run)))
            await written.write(f"aborted: {why}")
            await written.close()
        except OSError as error:
            log.warning("run %s/%s: its log cannot be written: %s", *key_of(run), error)
        status = {"phase": "Aborted", "message": why, "finishedAt": self._time(), "stages": stages or None}
        await self._tell(key_of(run), status, revision=run.metadata.resourceVersion)

    async def _forget(self, run: PipelineRun) -> None:
        namespace, name = key_of(run)
        await self._client.delete(PipelineRun, name, namespace, uid=run.metadata.uid)

    async def _remove_pods(self, run: PipelineRun) -> None:
        namespace, name = key_of(run)
        page = await self._client.list(core_v1.Pod, namespace, labels=f"{POD_LABEL}={name}")
        for pod in page.items:
            await self._client.delete(core_v1.Pod, pod.metadata.name or "", namespace, grace=0)

    async def _sweep(self) -> None:
        """What a process before this one has left of runs that are no more."""
        known = {key_of(run) for run in self._runs.all()}
        await asyncio.to_thread(self._sweep_files, known)

    def _sweep_files(self, known: set[Key]) -> None:
        # Scripts, keys, artifacts, pushed sources: none of it is for others who have an account on this machine.
        self._places.root.mkdir(parents=True, exist_ok=True)
        self._places.root.chmod(0o700)
        self._remove_tree(self._places.root / "workspaces")
        for kind, suffix in (("logs", ".log"), ("artifacts", "")):
            for path in (self._places.root / kind).glob("*/*"):
                if (path.parent.name, path.name.removesuffix(suffix)) not in known:
                    self._remove_files(path.parent.name, path.name.removesuffix(suffix))

    def _remove_files(self, namespace: str, name: str) -> None:
        self._told.pop((namespace, name), None)
        self._places.log(namespace, name).unlink(missing_ok=True)
        self._remove_tree(self._places.artifacts(namespace, name))

    def _remove_tree(self, path: Path) -> None:
        try:
            removal.remove(path)
        except OSError as error:
            log.warning("%s is not removed yet, the next start tries again: %s", path, error)

    # --- status

    def _time(self) -> str:
        return rfc3339(self._clock.now())

    async def _tell(
        self, key: Key, status: Status, *, revision: str | None = None, uid: str | None = None
    ) -> PipelineRun | None:
        """None when the run is gone (with `uid`: is another one), or (with `revision`) has changed meanwhile."""
        body: Status = {"status": status}
        if revision or uid:
            body["metadata"] = {"resourceVersion": revision} if revision else {"uid": uid}
        try:
            written = await self._client.patch(PipelineRun, key[1], key[0], body=body, subresource="status")
        except StatusError as error:
            if error.code in (404, 409):
                return None
            raise
        self._runs.assume(written)
        return written

    async def _tell_surely(self, job: Job, status: Status) -> None:
        """The API server may be away for a while; a run goes on and tells it later."""
        failures, key = 0, key_of(job.run)
        while True:
            try:
                await self._tell(key, status, uid=job.run.metadata.uid)
                return
            except FAILURES as error:
                if isinstance(error, StatusError) and error.code < 500 and error.code != 429:
                    log.warning("run %s/%s: its status is refused: %s", *key, error)
                    return
                failures += 1
                log.debug("run %s/%s: %s", *key, error)
                await self._clock.sleep(AGAIN.delay(failures))

    # --- for others

    async def follow(self, namespace: str, name: str) -> AsyncGenerator[str, None]:
        """The lines of a run's log from its start to its end, and before it what it waits for.

        A run that there is not has none.
        """
        key, said = (namespace, name), ""
        while True:
            job = self._jobs.get(key)
            if job is not None:
                async with aclosing(job.log.follow()) as lines:
                    async for line in lines:
                        yield line
                return
            run = self._runs.get(name, namespace) or await self._asked(key)
            if run is None or ended(run):
                for line in await asyncio.to_thread(runlog.lines, self._places.log(namespace, name)):
                    yield line
                return
            if run.status.message and run.status.message != said:
                said = run.status.message
                yield said
            async with self._moved:
                if key not in self._jobs:
                    await self._moved.wait()

    def before(self, run: PipelineRun) -> PipelineRun | None:
        """The run of the same branch that ended last before this one."""
        runs = [
            each
            for each in self._runs.all()
            if each.metadata.namespace == run.metadata.namespace
            and (each.spec.app, each.spec.source.ref) == (run.spec.app, run.spec.source.ref)
            and ended(each)
            and each.status.commit
            and (each.status.number or 0) < (run.status.number or 0)
        ]
        return max(runs, key=lambda each: each.status.number or 0, default=None)

    def commits(self, run: PipelineRun) -> set[str]:
        """Those that runs of the same app, this one too, are about."""
        return {
            commit_of(each)
            for each in self._runs.all()
            if (each.metadata.namespace, each.spec.app) == (run.metadata.namespace, run.spec.app)
        }

    async def _asked(self, key: Key) -> PipelineRun | None:
        """A run that was made just now may not have come by the watch."""
        try:
            return await self._client.get(PipelineRun, key[1], key[0])
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    def samples(self) -> Iterator[Sample]:
        yield Sample("sampan_pipelines_running", "gauge", "Pipelines at work.", {}, len(self._jobs))
        for phase, count in sorted(self.ended.items()):
            yield Sample("sampan_pipelines_total", "counter", "Pipelines that ended.", {"phase": phase}, count)


def _settled(run: PipelineRun, now: str) -> list[Status]:
    """The stages of a run that is over; those that nobody has ended are Aborted."""
    stages = [codec.document(stage) for stage in run.status.stages]
    for stage in stages:
        if stage.get("phase") in ("Running", "Pending"):
            stage |= {"phase": "Aborted", "finishedAt": now}
    return stages
