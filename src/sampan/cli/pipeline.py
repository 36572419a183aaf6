"""`sampan pipeline`: the runs of an app's pipeline: their stages, logs and artifacts; start and abort them."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from sampan.api import duration
from sampan.api.errors import StatusError
from sampan.api.extra.pipelinerun_v1 import PipelineRun, RunSource, RunTrigger
from sampan.api.extra.pipelineruns import LABEL, branch_of, commit_of, ended
from sampan.api.kinds.sampan import PIPELINE_RUN as KIND
from sampan.api.types import meta_v1
from sampan.cli import apps
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import flags
from sampan.cli.kubectl.session import connect
from sampan.cli.pipeline_log import blocks, follow, summary, took
from sampan.client.client import Client

EXAMPLES = """\
examples:
  sampan pipeline web
  sampan pipeline web last -f
  sampan pipeline web --start --branch main -p TARGET=test
  sampan pipeline web --abort 7
  sampan pipeline web --artifacts 7 --to ./out
  sampan pipeline --check Jenkinsfile"""
LAST = "last"
WIDTH = 90
"""Letters of a reason in the list of runs."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.usage = "sampan pipeline APP [N | last] [-f] | APP --start | --check [FILE]"
    flags.set_up(parser)
    add = parser.add_argument
    add("-f", "--follow", action="store_true", help="go on to the run's end; its exit code is 1 when that is bad")
    add("--start", action="store_true", help="start a run by hand")
    add(
        "--branch",
        default="",
        metavar="B",
        help="with --start: of this branch (default: the last run's, or main)",
    )
    add("--url", default="", metavar="URL", help="with --start: of a repository elsewhere")
    add("-p", "--parameter", action="append", default=[], metavar="K=V", help="with --start: a parameter")
    add("--abort", default="", metavar="N", help="end a run")
    add("--artifacts", default="", metavar="N", help="what a run has archived")
    add("--to", default="", metavar="DIR", help="with --artifacts: copy them into this folder")
    add("--check", nargs="?", const="Jenkinsfile", metavar="FILE", help="check a Jenkinsfile, without a cluster")


async def run(options: argparse.Namespace, context: Context) -> int:
    if options.check is not None:
        return _check(Path(options.check), context)
    if not 1 <= len(options.args) <= 2:
        raise CommandError("error: name one app: sampan pipeline APP [N | last]")
    app, *which = options.args
    async with connect(options, context) as session:
        client, namespace = apps.client_of(session), session.namespace
        if options.start:
            return await _start(client, namespace, app, options, context)
        runs = await _runs(client, namespace, app)
        if options.abort:
            return await _abort(client, _find(runs, app, options.abort), context)
        if options.artifacts:
            return await _artifacts(client, _find(runs, app, options.artifacts), options.to, context)
        if which or options.follow:
            return await _show(client, _find(runs, app, which[0] if which else LAST), options.follow, context)
        return _list(runs, app, context)


def _check(file: Path, context: Context) -> int:
    from sampan.delivery import pipeline
    from sampan.delivery.errors import PipelineError
    from sampan.delivery.running.interpreter import flat

    try:
        found = pipeline.read(file.read_text())
    except OSError as error:
        raise CommandError(f"error: {file}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"error: {file} is no text in UTF-8") from error
    except PipelineError as error:
        raise CommandError(f"error: {error}") from error
    context.out(f"{file} is well: stages {', '.join(stage.name for stage in flat(found.stages))}")
    return 0


async def _runs(client: Client, namespace: str, app: str) -> list[PipelineRun]:
    """Oldest first."""
    try:
        page = await client.list(PipelineRun, namespace, labels=f"{LABEL}={app}")
    except StatusError as error:
        if error.code == 404:
            raise CommandError("error: this cluster runs no pipelines (sampan.dev/v1)") from error
        raise
    return sorted(page.items, key=lambda each: (each.metadata.creationTimestamp or "", each.status.number or 0))


def _find(runs: list[PipelineRun], app: str, which: str) -> PipelineRun:
    found = runs[-1:] if which == LAST else [each for each in runs if str(each.status.number) == which]
    if found:
        return found[0]
    numbers = ", ".join(str(each.status.number) for each in runs if each.status.number)
    there = (
        f"there are {numbers}" if numbers else f"there are none yet: push a commit (sampan remote {app}), or --start"
    )
    raise CommandError(f"error: {app} has no run {which}; {there}")


def _list(runs: list[PipelineRun], app: str, context: Context) -> int:
    if not runs:
        context.out(f"{app} has no runs yet: push a commit (sampan remote {app}), or sampan pipeline {app} --start")
        return 0
    rows: list[tuple[str, ...]] = [("RUN", "BRANCH", "COMMIT", "PHASE", "TOOK", "AGE", "WHY")]
    rows += [_row(each, time.time()) for each in reversed(runs)]
    widths = [max(len(line[at]) for line in rows) for at in range(len(rows[0]))]
    for line in rows:
        context.out("   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    return 0


def _row(run: PipelineRun, now: float) -> tuple[str, ...]:
    status = run.status
    age = duration.since(run.metadata.creationTimestamp, now)
    branch, commit = branch_of(run.spec.source.ref), commit_of(run)[:8]
    ok = status.phase == "Succeeded" or not status.message
    why = why_of(run) if ok else status.message or ""
    return str(status.number or ""), branch, commit, status.phase or "", took(status, now), age, _short(why)


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 3]}..."


def why_of(run: PipelineRun) -> str:
    """`push by ann: the commit's subject`."""
    trigger = run.spec.trigger
    text = f"{trigger.kind} by {trigger.by}" if trigger.by else trigger.kind
    return f"{text}: {trigger.message}" if trigger.message else text


async def _show(client: Client, run: PipelineRun, following: bool, context: Context) -> int:
    if run.status.number:
        context.out(f"run {run.status.number} of {run.spec.app}: {branch_of(run.spec.source.ref)}, {why_of(run)}")
    if following and not ended(run):
        run = await follow(client, run, context)
        summary(run, context)
        return 0 if run.status.phase in ("Succeeded", "Unstable") else 1
    summary(run, context)
    if run.status.node:
        context.out("")
        await follow(client, run, context, wait=False)
    return 1 if following and run.status.phase in ("Failed", "Aborted") else 0


async def _start(client: Client, namespace: str, app: str, options: argparse.Namespace, context: Context) -> int:
    runs = await _runs(client, namespace, app)
    last = runs[-1].spec.source if runs else RunSource(ref="refs/heads/main")
    source = RunSource(
        url=options.url or last.url,
        ref=f"refs/heads/{options.branch}" if options.branch else last.ref,
    )
    made = PipelineRun(
        metadata=meta_v1.ObjectMeta(generateName=f"{app}-", namespace=namespace),
        spec=_spec(app, source, _parameters(options.parameter), context),
    )
    try:
        run = await client.create(made)
    except StatusError as error:
        raise CommandError(f"error: {error}") from error
    context.err(f"a run of {app} was started: {branch_of(source.ref)}")
    if not options.follow:
        context.err(f"watch it: sampan pipeline {app} last -f")
        return 0
    return await _show(client, run, True, context)


def _spec(app: str, source: RunSource, parameters: dict[str, str], context: Context) -> Any:
    from sampan.api.extra.pipelinerun_v1 import PipelineRunSpec

    who = context.environ.get("SUDO_USER") or context.environ.get("USER") or ""
    return PipelineRunSpec(
        app=app, source=source, trigger=RunTrigger(kind="manual", by=who or None), parameters=parameters
    )


def _parameters(given: list[str]) -> dict[str, str]:
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise CommandError(f"error: -p {each}: write {name or 'NAME'}=VALUE")
        found[name] = value
    return found


async def _abort(client: Client, run: PipelineRun, context: Context) -> int:
    which = f"run {run.status.number} of {run.spec.app}"
    if ended(run):
        raise CommandError(f"error: {which} has ended: {run.status.phase}")
    metadata = run.metadata
    await client.patch(PipelineRun, metadata.name or "", metadata.namespace or "", body={"spec": {"abort": True}})
    context.err(f"{which} will end; what its `post` does still runs")
    return 0


async def _artifacts(client: Client, run: PipelineRun, target: str, context: Context) -> int:
    import msgspec

    path = KIND.path(run.metadata.namespace or "", run.metadata.name or "", "artifacts")
    listed: list[dict[str, Any]] = msgspec.json.decode(await (await client.raw("GET", path)).read())
    if not listed:
        context.out(f"run {run.status.number} of {run.spec.app} has archived nothing")
    for each in listed:
        name = str(each["path"])
        context.out(f"{each['size']:>12}  {name}")
        if target:
            response = await client.raw("GET", path, {"path": name})
            await _keep(_inside(Path(target), name), blocks(response))
    return 0


def _inside(folder: Path, name: str) -> Path:
    """The server says what files are called; nothing of that leads out of the folder."""
    if name.startswith("/") or ".." in name.split("/"):
        raise CommandError(f"error: {name} leads out of {folder}")
    return folder / name


async def _keep(path: Path, chunks: AsyncGenerator[bytes, None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with open(partial, "wb") as file:  # noqa: ASYNC230 - one file after the other
        async with aclosing(chunks) as found:
            async for chunk in found:
                file.write(chunk)
    partial.replace(path)
