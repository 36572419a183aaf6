"""An executor that notes what it is asked, and answers as a test wants; and a run of a Jenkinsfile with it."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.delivery import pipeline
from sampan.delivery.conditions import Facts
from sampan.delivery.pipeline import Stage
from sampan.delivery.running.contracts import Deployed, Say, Slot, StepFailed
from sampan.delivery.running.interpreter import Interpreter, Outcome
from sampan.delivery.running.outcomes import Result
from sampan.runtime.clock import VirtualClock, settle


@dataclass
class Recorder:
    """`codes` and `waits` say how scripts end and how long they take, `starts` an agent; `files` the workspace's."""

    clock: VirtualClock
    codes: dict[str, list[int]] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)
    output: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    broken_agent: str = ""
    starts: float = 0
    deploy_fails: str = ""

    def __post_init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.environments: dict[str, Mapping[str, str]] = {}
        self.masked: list[str] = []
        self.lines: list[str] = []
        self.slots: list[Slot] = []
        self.released: list[Slot] = []
        self.cancelled: list[str] = []
        self.stashes: dict[str, list[str]] = {}

    async def say(self, line: str) -> None:
        for secret in self.masked:
            line = line.replace(secret, "****")
        self.lines.append(line)

    async def prepare(self, slot: Slot, say: Say) -> None:
        assert slot not in self.released, "the agent was released before"
        if self.broken_agent:
            raise StepFailed(self.broken_agent)
        if slot not in self.slots:
            self.slots.append(slot)
            if self.starts:
                await self.clock.sleep(self.starts)

    async def shell(
        self, slot: Slot, script: str, environment: Mapping[str, str], directory: str, say: Say, out: Say | None
    ) -> int:
        await self.prepare(slot, say)
        self.calls.append(("sh", script, directory))
        self.environments[script] = dict(environment)
        try:
            if script in self.waits:
                await self.clock.sleep(self.waits[script])
        except asyncio.CancelledError:
            self.cancelled.append(script)
            raise
        if out is not None:
            await out(self.output.get(script, f"+ {script}"))
        codes = self.codes.get(script, [0])
        return codes.pop(0) if len(codes) > 1 else codes[0]

    def pod(self, slot: Slot) -> str:
        return f"pod-{self.slots.index(slot)}" if slot in self.slots else ""

    async def release(self, slot: Slot) -> None:
        self.released.append(slot)

    def _found(self, directory: str, patterns: Sequence[str], excludes: Sequence[str] = ()) -> list[str]:
        from sampan.delivery import trees

        prefix = f"{directory}/" if directory else ""
        inside = [path.removeprefix(prefix) for path in self.files if path.startswith(prefix)]
        return [path for path in inside if trees.matches(path, patterns) and not trees.matches(path, excludes)]

    async def archive(self, directory: str, patterns: Sequence[str], excludes: Sequence[str]) -> Sequence[str]:
        found = self._found(directory, patterns, excludes)
        self.calls.append(("archive", *found))
        return found

    async def reports(self, directory: str, patterns: Sequence[str]) -> Sequence[tuple[str, bytes]]:
        prefix = f"{directory}/" if directory else ""
        return [(path, self.files[prefix + path]) for path in self._found(directory, patterns)]

    async def stash(self, name: str, directory: str, patterns: Sequence[str], excludes: Sequence[str]) -> int:
        self.stashes[name] = self._found(directory, patterns, excludes)
        return len(self.stashes[name])

    async def unstash(self, name: str, directory: str) -> None:
        if name not in self.stashes:
            raise StepFailed(f"unstash: there is no stash {name}")
        self.calls.append(("unstash", name, directory, *self.stashes[name]))

    async def clear(self, directory: str) -> None:
        self.calls.append(("clear", directory))

    async def check_out(self, directory: str) -> None:
        self.calls.append(("checkout", directory))

    async def credentials(self, id: str) -> Mapping[str, str]:
        if id not in self.secrets:
            raise StepFailed(f"there is no secret {id}")
        return self.secrets[id]

    async def secret_file(self, text: str) -> str:
        self.calls.append(("file", text))
        return "/sampan/secret-1"

    def mask(self, text: str) -> None:
        self.masked.append(text)

    async def build(self, say: Say, *, clean: bool = False) -> str:
        self.calls.append(("build", clean))
        return "sampan.dev/apps/web:1"

    async def deploy(self, image: str, say: Say) -> Deployed:
        self.calls.append(("deploy", image))
        if self.deploy_fails:
            raise StepFailed(self.deploy_fails)
        return Deployed(4, "release 4")


class Played:
    """A Jenkinsfile and what came of it."""

    def __init__(self, recorder: Recorder, interpreter: Interpreter, outcome: Outcome) -> None:
        self.recorder, self.interpreter, self.outcome = recorder, interpreter, outcome

    @property
    def phases(self) -> dict[str, str]:
        return {state.name: state.phase for state in self.interpreter.states}

    @property
    def scripts(self) -> list[str]:
        return [call[1] for call in self.recorder.calls if call[0] == "sh"]

    def message(self, stage: str) -> str:
        return next(state.message for state in self.interpreter.states if state.name == stage)


async def play(
    text: str,
    *,
    facts: Facts | None = None,
    previous: Result | None = None,
    after: Sequence[Stage] = (),
    prepare: Callable[[Recorder], None] = lambda recorder: None,
    abort_at: float | None = None,
    seconds: float = 10_000,
) -> Played:
    """`text` is a whole Jenkinsfile, or the inside of `stages` with `agent any`."""
    text = textwrap.dedent(text)
    if not text.lstrip().startswith("pipeline"):
        text = f"pipeline {{ agent any\nstages {{\n{text}\n}} }}"
    clock = VirtualClock()
    recorder = Recorder(clock)
    prepare(recorder)

    async def told() -> None:
        return None

    interpreter = Interpreter(
        pipeline.read(text),
        facts or Facts(branch="main"),
        recorder,
        clock,
        say=recorder.say,
        told=told,
        previous=previous,
        after=after,
    )
    ends = asyncio.Event()
    task = asyncio.get_running_loop().create_task(interpreter.run(ends, lambda: "somebody asked for it"))
    await settle()
    if abort_at is not None:
        await clock.advance(abort_at)
        ends.set()
        await settle()
    spent = 0.0
    while not task.done() and spent < seconds:
        await clock.advance(10)
        spent += 10
    assert task.done(), "the run does not end"
    assert set(recorder.slots) <= set(recorder.released), "an agent was left behind"
    return Played(recorder, interpreter, task.result())
