"""What a push may change, and the runs that come of it.

One branch of a repository deploys: the one that the App names, else the one that HEAD means, which is main, or master
when the first push brought that and no main. Other branches are kept, and tested when they have a Jenkinsfile; tags are
kept.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

from sampan.api.errors import StatusError
from sampan.api.extra.pipelinerun_v1 import PipelineRun, PipelineRunSpec, RunSource, RunTrigger
from sampan.api.extra.pipelineruns import commit_of
from sampan.api.extra.sampan_v1 import App
from sampan.api.types.meta_v1 import ObjectMeta
from sampan.client.client import FAILURES, Client
from sampan.delivery import branches, checks, groovy, repository
from sampan.delivery.branches import HEADS, TAGS
from sampan.delivery.git.counts import Counts
from sampan.delivery.git.hooks import Push, Refusal
from sampan.delivery.git.paths import Place
from sampan.delivery.git.repositories import head

MASTER = "refs/heads/master"
RUNS = 10
"""Branches of one push that are run at most."""
FOLLOWED = 16
"""Runs that pushers follow at once; others are told where to look."""

Follow = Callable[[str, str], AsyncIterator[str]]
"""The lines of a run's log, by namespace and name, until it ends."""

_NONE = re.compile(r"0+\Z")
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Change(NamedTuple):
    """One ref; `old` or `new` is "" where there is none."""

    old: str
    new: str
    ref: str

    @property
    def name(self) -> str:
        return self.ref.removeprefix(HEADS).removeprefix(TAGS)


def changes(refs: Iterable[Sequence[str]]) -> list[Change]:
    """From the lines that git gives to its hooks."""
    return [Change(_digest(old), _digest(new), ref) for old, new, ref in refs]


def _digest(text: str) -> str:
    return "" if _NONE.match(text) else text


def main_branch(current: str, exists: bool, pushed: Iterable[Change]) -> str:
    """What HEAD shall mean: what it does, unless that is not there yet and master comes without main."""
    made = {each.ref for each in pushed if each.new}
    return MASTER if not exists and current not in made and MASTER in made else current


def refused(pushed: Iterable[Change], deploys: str, app: str) -> list[str]:
    """What is wrong with a push, whatever its content."""
    found = []
    for each in pushed:
        if not each.ref.startswith((HEADS, TAGS)):
            found.append(f"{each.ref}: only branches and tags can be pushed")
        elif each.ref == deploys and not each.new:
            found.append(f"{each.name} is the branch that deploys, so it stays; `sampan delete app {app}` ends the app")
    return found


def plain(text: str) -> str:
    """Without what would move the cursor of the person who reads it."""
    return _ESCAPES.sub("", text)


class Pushes:
    """The answers to git's hooks."""

    def __init__(self, client: Client, follow: Follow, counts: Counts) -> None:
        self._client = client
        self._follow = follow
        self._counts = counts
        self._following = 0

    async def before(self, push: Push, refs: Sequence[Sequence[str]], environ: Mapping[str, str]) -> AsyncIterator[str]:
        """pre-receive: what was pushed is not in yet, and is thrown away when this refuses."""
        pushed = changes(refs)
        deploys = await self._deploying(push, _main_branch(push.repository, pushed))
        wrong = refused(pushed, deploys, push.place.app)
        for each in pushed:
            if each.ref == deploys and each.new and not wrong:
                wrong += await checks.check(push.repository, each.new, environ=environ)
        for text in wrong:
            yield text
        if wrong:
            self._counts.pushes_refused += 1
            yield "nothing was changed: what was deployed before still serves"
            raise Refusal

    async def after(self, push: Push, refs: Sequence[Sequence[str]], environ: Mapping[str, str]) -> AsyncIterator[str]:
        """post-receive: the refs are changed. The runs are made before anything is said."""
        pushed = changes(refs)
        main = _main_branch(push.repository, pushed)
        if main != head(push.repository):
            await repository.git("symbolic-ref", "HEAD", main, directory=push.repository)
        deploys = await self._deploying(push, main)
        runs, said = await self._start(push, [each for each in pushed if each.new], deploys)
        push.settled()
        for text in said:
            yield text
        followed = next((run for run in runs if run.spec.source.ref == deploys), runs[0] if len(runs) == 1 else None)
        for run in runs:
            yield self._introduced(run)
        if followed is not None:
            async for text in self._followed(push, followed):
                yield text

    async def _deploying(self, push: Push, main: str) -> str:
        try:
            app = await self._client.get(App, push.place.app, push.place.namespace)
        except StatusError as error:
            if error.code != 404:
                raise
            app = None
        return branches.deploys(app, main)

    async def _start(self, push: Push, pushed: Sequence[Change], deploys: str) -> tuple[list[PipelineRun], list[str]]:
        runs: list[PipelineRun] = []
        said: list[str] = []
        # The branch that deploys is never left out.
        for each in sorted(pushed, key=lambda each: each.ref != deploys):
            if not each.ref.startswith(HEADS):
                continue
            if each.ref != deploys:
                problems = await self._untested(push, each, deploys)
                if problems:
                    said += problems
                    continue
            if len(runs) == RUNS:
                said.append(f"{each.name} is kept and not run: a push starts {RUNS} runs at most")
                continue
            subject, _ = await repository.about(push.repository, each.new)
            try:
                runs.append(await self._client.create(run_of(push.place, each, push.by, subject)))
            except FAILURES as error:
                said.append(f"{each.name} is kept, but cannot be run: {error}")
        return runs, said

    async def _untested(self, push: Push, change: Change, deploys: str) -> list[str]:
        """Why a branch that does not deploy is not run; empty when it is."""
        there = await repository.show(push.repository, change.new, checks.FILE, groovy.SIZE)
        if there is None:
            main = deploys.removeprefix(HEADS)
            return [f"{change.name} is kept; {main} is the branch that deploys: git push sampan {change.name}:{main}"]
        problems = await checks.problems(there)
        return [*problems, f"{change.name} is kept and not run"] if problems else []

    def _introduced(self, run: PipelineRun) -> str:
        source = run.spec.source
        return f"{run.spec.app}: {source.ref.removeprefix(HEADS)} at {commit_of(run)[:8]} runs as {run.metadata.name}"

    async def _followed(self, push: Push, run: PipelineRun) -> AsyncIterator[str]:
        namespace, name = run.metadata.namespace or "", run.metadata.name or ""
        if push.left:
            return
        if self._following >= FOLLOWED:
            yield f"{FOLLOWED} runs are followed already; this one: sampan get run {name} -n {namespace}"
            return
        self._following += 1
        push.following = asyncio.current_task()
        try:
            async with aclosing(self._follow(namespace, name)) as lines:  # type: ignore[type-var]
                async for line in lines:
                    yield plain(line)
            yield await self._ended(namespace, name)
        finally:
            push.following = None
            self._following -= 1

    async def _ended(self, namespace: str, name: str) -> str:
        """The last line: where the app answers, or why it does not."""
        run = await self._client.get(PipelineRun, name, namespace)
        phase, message = run.status.phase or "", run.status.message or ""
        if phase not in ("Succeeded", "Unstable"):
            return f"{name} {phase.lower() or 'is not done'}{f': {message}' if message else ''}"
        url = ""
        if run.status.release:
            url = (await self._client.get(App, run.spec.app, namespace)).status.url or ""
        return f"{name} {phase.lower()}{f': {url or message}' if url or message else ''}"


def _main_branch(bare: Path, pushed: Sequence[Change]) -> str:
    current = head(bare)
    return main_branch(current, _exists(bare, current), pushed)


def _exists(bare: Path, ref: str) -> bool:
    if (bare / ref).exists():
        return True
    try:
        packed = (bare / "packed-refs").read_text()
    except FileNotFoundError:
        return False
    return any(line.endswith(f" {ref}") for line in packed.splitlines())


def run_of(place: Place, change: Change, by: str, subject: str) -> PipelineRun:
    return PipelineRun(
        metadata=ObjectMeta(generateName=f"{place.app}-", namespace=place.namespace),
        spec=PipelineRunSpec(
            app=place.app,
            source=RunSource(ref=change.ref, commit=change.new),
            trigger=RunTrigger(kind="push", by=by, message=plain(subject)[:200]),
        ),
    )
