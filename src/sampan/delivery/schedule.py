"""Which runs begin, wait, give way, end and are forgotten. Pure: `decide` looks at everything again each time.

One run of an app at a time, at most OF_ONE of a namespace and LIMIT on a node: nobody keeps all others out. A push that
still waits gives way to a newer one of the same branch; what was started by hand does not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from sampan.api.extra.pipelinerun_v1 import PipelineRun
from sampan.api.extra.pipelineruns import RUNNING, branch_of, ended

LIMIT, OF_ONE = 3, 2
"""Runs at the same time on a node, and those of one namespace."""
KEPT = 20
"""Runs of an app that are kept after their end, with their logs and artifacts."""
WAITING = 20
"""Runs of an app that wait, at most; the oldest give way."""

Key = tuple[str, str]


class Number(NamedTuple):
    """The run's place among those of its app."""

    run: PipelineRun
    number: int


class Start(NamedTuple):
    run: PipelineRun


class Wait(NamedTuple):
    run: PipelineRun
    why: str


class End(NamedTuple):
    """A run that is not at work ends as Aborted."""

    run: PipelineRun
    why: str


class Stop(NamedTuple):
    """A run at work shall end."""

    key: Key
    why: str


class Forget(NamedTuple):
    run: PipelineRun


Action = Number | Start | Wait | End | Stop | Forget


def key_of(run: PipelineRun) -> Key:
    return run.metadata.namespace or "", run.metadata.name or ""


def decide(runs: Collection[PipelineRun], active: Collection[Key], node: str) -> list[Action]:
    """`active` are the runs that this process works on."""
    there = {key_of(run): run for run in runs}
    actions: list[Action] = [Stop(key, "its PipelineRun was deleted") for key in active if key not in there]
    by_app: Mapping[Key, list[PipelineRun]] = defaultdict(list)
    for run in sorted(there.values(), key=_age):
        by_app[run.metadata.namespace or "", run.spec.app].append(run)
    ready: list[PipelineRun] = []
    for group in by_app.values():
        actions += _numbers(group)
        ready += _of_app(group, active, node, actions)
    taken = Counter(namespace for namespace, _ in active)
    for run in sorted(ready, key=_age):
        namespace, _ = key_of(run)
        if taken[namespace] >= OF_ONE:
            actions.append(Wait(run, f"{OF_ONE} pipelines of namespace {namespace} run at the same time"))
            continue
        taken[namespace] += 1
        if taken.total() > LIMIT:
            actions.append(Wait(run, f"{LIMIT} pipelines run at the same time"))
        elif run.status.number:
            actions.append(Start(run))
    return actions


def _age(run: PipelineRun) -> tuple[str, int, str]:
    return run.metadata.creationTimestamp or "", run.status.number or 0, run.metadata.name or ""


def _numbers(group: list[PipelineRun]) -> list[Action]:
    last = max((run.status.number or 0 for run in group), default=0)
    new = [run for run in group if not run.status.number]
    return [Number(run, last + at) for at, run in enumerate(new, 1)]


def _of_app(group: list[PipelineRun], active: Collection[Key], node: str, actions: list[Action]) -> list[PipelineRun]:
    """The run that may begin, if any; what else there is to do goes to `actions`."""
    over = [run for run in group if ended(run) and key_of(run) not in active]
    actions += [Forget(run) for run in over[: max(0, len(over) - KEPT)]]
    at_work = [run for run in group if key_of(run) in active]
    actions += [Stop(key_of(run), "somebody asked for it") for run in at_work if run.spec.abort]
    waiting = []
    for run in group:
        if ended(run) or run in at_work:
            continue
        if run.status.phase == RUNNING:
            if run.status.node in (None, node):
                actions.append(End(run, "the node's process ended while it ran; start it again"))
        elif run.spec.abort:
            actions.append(End(run, "somebody asked for it before it began"))
        elif (newer := _newer(run, group)) is not None:
            which = f"run {newer.status.number}" if newer.status.number else "a newer run"
            actions.append(End(run, f"{which} is about a newer commit of {branch_of(run.spec.source.ref)}"))
        else:
            waiting.append(run)
    actions += [End(run, f"more than {WAITING} runs of {run.spec.app} wait") for run in waiting[:-WAITING]]
    waiting = waiting[-WAITING:]
    others = [run for run in group if run.status.phase == RUNNING and run.status.node not in (None, node)]
    before = [*at_work, *others]
    if before:
        which = f"run {before[0].status.number} of {before[0].spec.app} goes on"
        actions += [Wait(run, which) for run in waiting]
        return []
    actions += [Wait(run, f"run {waiting[0].status.number} of {run.spec.app} comes first") for run in waiting[1:]]
    return waiting[:1]


def _newer(run: PipelineRun, group: list[PipelineRun]) -> PipelineRun | None:
    """The newest push that makes a waiting one needless."""
    if run.spec.trigger.kind == "manual":
        return None
    source = run.spec.source
    later = [
        each
        for each in group[group.index(run) + 1 :]
        if each.spec.trigger.kind != "manual"
        and (each.spec.source.url or "", each.spec.source.ref) == (source.url or "", source.ref)
    ]
    return later[-1] if later else None
