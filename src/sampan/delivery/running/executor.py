"""Steps for real: scripts in agents, files of the workspace, Secrets, images, the App.

What pods write into the workspace is never followed (delivery.trees), and what is built and deployed is a copy that
they cannot change any more.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sampan import removal
from sampan.api.extra import steps
from sampan.api.extra.pipelinerun_v1 import PipelineRun
from sampan.api.extra.sampan_v1 import App
from sampan.client.client import FAILURES, Client
from sampan.config import ClusterConfig
from sampan.delivery import keys, repository, trees
from sampan.delivery.runlog import RunLog
from sampan.delivery.running import commands
from sampan.delivery.running.contracts import Deployed, Say, Slot, StepFailed
from sampan.delivery.running.pods import STEPS, WORKSPACE, Agents

T = TypeVar("T")

ARTIFACTS = 1 << 30
"""Bytes that a run may archive; the same for each stash and for the workspace when it is built."""
REPORTS, REPORT = 500, 16 << 20
"""Test reports of one junit step, and bytes of all of them, which are in memory at once."""
ROLLOUT = "10m"
"""How long a rollout may take."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a run is about, on disk."""

    run: PipelineRun
    cluster: ClusterConfig
    bare: Path
    commit: str
    subject: str
    url: str
    branch: str
    root: Path
    artifacts: Path
    kubeconfig: Path

    @property
    def app(self) -> str:
        return self.run.spec.app

    @property
    def namespace(self) -> str:
        return self.run.metadata.namespace or ""

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def steps(self) -> Path:
        return self.root / "steps"


class PodExecutor:
    """An Executor."""

    def __init__(self, job: Job, client: Client, agents: Agents, log: RunLog) -> None:
        self._job = job
        self._client = client
        self._agents = agents
        self._log = log
        self._names: dict[Slot, str] = {}
        self._broken: dict[Slot, str] = {}
        self._starting: dict[Slot, asyncio.Lock] = {}
        self._clean = asyncio.Lock()
        self._clean_image = ""
        self._copy: Path | None = None
        self._stashes: dict[str, Path] = {}
        self._archived = self._count = 0

    # --- scripts

    async def prepare(self, slot: Slot, say: Say) -> None:
        await self._agent(slot, say)

    async def shell(
        self, slot: Slot, script: str, environment: Mapping[str, str], directory: str, say: Say, out: Say | None
    ) -> int:
        name = await self._agent(slot, say)
        self._count += 1
        place = self._job.steps / str(self._count)
        await asyncio.to_thread(_write_script, place, script, environment, directory)
        return await self._agents.run(name, ("sh", f"{STEPS}/{place.name}/run"), out)

    def pod(self, slot: Slot) -> str:
        return self._names.get(slot, "")

    async def release(self, slot: Slot) -> None:
        name = self._names.get(slot)
        if name is None:
            return
        try:
            await self._agents.remove(name)
        except FAILURES as error:
            # The end of the run tries again, and its PipelineRun owns the pod.
            await self._log.write(f"agent {name} could not be removed yet: {error}")

    async def _agent(self, slot: Slot, say: Say) -> str:
        async with self._starting.setdefault(slot, asyncio.Lock()):
            if slot in self._broken:
                raise StepFailed(self._broken[slot])
            if slot not in self._names:
                try:
                    image = slot.agent.image or await self._own_image(say)
                    self._names[slot] = await self._agents.start(image, say)
                except StepFailed as error:
                    self._broken[slot] = str(error)
                    raise
            return self._names[slot]

    # --- files

    async def archive(self, directory: str, patterns: Sequence[str], excludes: Sequence[str]) -> Sequence[str]:
        def work() -> list[trees.File]:
            found = trees.files(self._job.workspace, directory, patterns, excludes)
            room = ARTIFACTS - self._archived
            self._archived += trees.copy(self._job.workspace, directory, found, self._job.artifacts, room)
            return found

        return [file.path for file in await _of_files("archiveArtifacts", work)]

    async def reports(self, directory: str, patterns: Sequence[str]) -> Sequence[tuple[str, bytes]]:
        def work() -> list[tuple[str, bytes]]:
            found = trees.files(self._job.workspace, directory, patterns)
            prefix, room, read = f"{directory}/" if directory else "", REPORT, list[tuple[str, bytes]]()
            for file in found:
                # Their sizes may have grown since they were listed.
                read.append((file.path, trees.read(self._job.workspace, prefix + file.path, room + 1)))
                room -= len(read[-1][1])
                if len(found) > REPORTS or room < 0:
                    raise StepFailed(f"junit: more than {REPORTS} reports, or {REPORT >> 20} MiB together")
            return read

        return await _of_files("junit", work)

    async def stash(self, name: str, directory: str, patterns: Sequence[str], excludes: Sequence[str]) -> int:
        self._count += 1
        place = self._job.root / "stashes" / str(self._count)

        def work() -> int:
            place.mkdir(parents=True)
            found = trees.files(self._job.workspace, directory, patterns, excludes)
            trees.copy(self._job.workspace, directory, found, place, ARTIFACTS)
            return len(found)

        self._stashes[name] = place
        return await _of_files(f"stash {name}", work)

    async def unstash(self, name: str, directory: str) -> None:
        place = self._stashes.get(name)
        if place is None:
            there = f"there are {', '.join(self._stashes)}" if self._stashes else "stash something first"
            raise StepFailed(f"unstash: there is no stash {name}; {there}")
        await _of_files(f"unstash {name}", lambda: trees.put(place, self._job.workspace, directory))

    async def clear(self, directory: str) -> None:
        await _of_files("deleteDir", lambda: trees.clear(self._job.workspace, directory))

    async def check_out(self, directory: str) -> None:
        place = await self._checked_out()
        await _of_files("checkout", lambda: trees.put(place, self._job.workspace, directory))
        await asyncio.to_thread(removal.remove, place)

    async def _checked_out(self) -> Path:
        """The commit's files, in a place that no pod sees."""
        self._count += 1
        place = self._job.root / f"commit-{self._count}"
        try:
            await repository.check_out(self._job.bare, self._job.commit, place)
        except repository.GitError as error:
            raise StepFailed(f"checkout: {error}") from error
        await asyncio.to_thread(shutil.rmtree, place / ".git")
        return place

    # --- secrets

    async def credentials(self, id: str) -> Mapping[str, str]:
        try:
            fields = await keys.read(self._client, self._job.namespace, id)
        except keys.KeysError as error:
            raise StepFailed(str(error)) from error
        except FAILURES as error:
            raise StepFailed(f"secret {id}: {error}") from error
        if fields is None:
            make = f"sampan create secret generic {id} -n {self._job.namespace} --from-literal=value=..."
            raise StepFailed(f"there is no Secret {id} in namespace {self._job.namespace}; make it: {make}")
        return fields

    async def secret_file(self, text: str) -> str:
        self._count += 1
        name = f"secret-{self._count}"
        await asyncio.to_thread(_write, self._job.steps / name, text, 0o600)
        return f"{STEPS}/{name}"

    def mask(self, text: str) -> None:
        self._log.mask(text)

    # --- image and app

    async def build(self, say: Say, *, clean: bool = False) -> str:
        if clean:
            return await self._own_image(say)
        self._count += 1
        place = self._job.root / f"build-{self._count}"
        await _of_files("sampanBuild", lambda: trees.snapshot(self._job.workspace, place, ARTIFACTS))
        return await self._built(place, say)

    async def _own_image(self, say: Say) -> str:
        """The app's image of the commit itself; agents without an image of their own have it, too."""
        async with self._clean:
            if not self._clean_image:
                self._clean_image = await self._built(await self._checked_out(), say)
            return self._clean_image

    async def _built(self, place: Path, say: Say) -> str:
        await _closed(place)
        self._copy = place
        words = (*self._deploy(place), "--build-only")
        code, printed = await commands.sampan(words, self._job.kubeconfig, say)
        if code or not printed:
            raise StepFailed("the image was not built; the log tells which step it was")
        return printed[-1].strip()

    async def deploy(self, image: str, say: Say) -> Deployed:
        if self._copy is None:
            place = await self._checked_out()
            await _closed(place)
            self._copy = place
        # Flags in one word: what somebody has written may begin with a hyphen.
        words = [*self._deploy(self._copy), f"--image={image}", f"--git={self._job.url}#{self._job.branch}"]
        words += ["--timeout", ROLLOUT, *((f"--message={self._job.subject}",) if self._job.subject else ())]
        said: list[str] = []

        async def both(line: str) -> None:
            said.append(line)
            await say(line)

        code, _ = await commands.sampan(words, self._job.kubeconfig, both)
        app = await self._app()
        if code:
            raise StepFailed(_why(app, said))
        release = (app.status.release or 0) if app is not None else 0
        url = app.status.url if app is not None else None
        return Deployed(release, f"release {release}" + (f": {url}" if url else ""))

    def _deploy(self, place: Path) -> tuple[str, ...]:
        job = self._job
        where = ("--data-root", str(job.cluster.data_root))
        return ("deploy", str(place), "--name", job.app, "--namespace", job.namespace, *where)

    async def _app(self) -> App | None:
        try:
            return await self._client.get(App, self._job.app, self._job.namespace)
        except FAILURES:
            return None


async def _closed(place: Path) -> None:
    """Raises StepFailed when what the command reads there may be a file of the node."""
    link = await asyncio.to_thread(trees.leads_out, place)
    if link:
        raise StepFailed(f"{link} is a link that leads out of the repository; such a folder is not built or deployed")


def _why(app: App | None, said: Sequence[str]) -> str:
    """The condition that failed; else what the command said."""
    for condition in app.status.conditions if app is not None else ():
        if condition.status != "True" and condition.reason in steps.FAILED:
            return condition.message or condition.reason
    errors = [line for line in said if line.startswith("error: ")]
    return errors[-1].removeprefix("error: ") if errors else said[-1] if said else "it was not deployed"


async def _of_files(what: str, work: Callable[[], T]) -> T:
    """`work` in a thread; what the file system refuses is the step's failure."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        name = f" {error.filename}" if error.filename else ""
        raise StepFailed(f"{what}:{name}: {(error.strerror or str(error)).lower()}") from error


def _write(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "w") as file:
        file.write(text)


def _write_script(place: Path, script: str, environment: Mapping[str, str], directory: str) -> None:
    """What an agent runs: the environment, the directory, and then the script as Jenkins does (`sh -xe`)."""
    place.mkdir(parents=True)
    _write(place / "script", script, 0o700)
    inside = f"{WORKSPACE}/{directory}" if directory else WORKSPACE
    lines = [f"export {name}={_quoted(value)}" for name, value in environment.items()]
    lines += [f"mkdir -p {shlex.quote(inside)} && cd {shlex.quote(inside)} || exit 1"]
    program = f"{STEPS}/{place.name}/script"
    # Both outputs as one, so that what the shell is about to do stands before what it writes.
    lines.append(f"exec {program} 2>&1" if script.startswith("#!") else f"exec sh -xe {program} 2>&1")
    _write(place / "run", "\n".join([*lines, ""]), 0o600)


def _quoted(value: str) -> str:
    """For the shell; `$PATH` at the end of what withEnv puts before it stays a reference."""
    before, at, after = value.rpartition(":$PATH")
    return f'{shlex.quote(before)}":$PATH"' if at and not after else shlex.quote(value)
