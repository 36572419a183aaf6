"""A run of a pipeline as people see it: its stages, and its log as it is written."""

from __future__ import annotations

import codecs
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from sampan.api import duration
from sampan.api.errors import StatusError
from sampan.api.extra.pipelinerun_v1 import PipelineRun, PipelineRunStatus, RunStage
from sampan.api.extra.pipelineruns import ended
from sampan.api.kinds.sampan import PIPELINE_RUN as KIND
from sampan.cli.context import CommandError, Context
from sampan.client.client import Client
from sampan.http.types import Response
from sampan.runtime.clock import unix


def took(what: PipelineRunStatus | RunStage, now: float) -> str:
    if not what.startedAt:
        return ""
    return duration.human((unix(what.finishedAt) or now) - unix(what.startedAt))


def summary(run: PipelineRun, context: Context) -> None:
    now, stages = time.time(), run.status.stages
    width = max((len(stage.name) for stage in stages), default=0)
    for stage in stages:
        words = f"  {stage.message}" if stage.message else ""
        context.out(f"  {stage.name:<{width}}  {stage.phase:<9} {took(stage, now):>6}{words}".rstrip())
    status = run.status
    if ended(run):
        words = f": {status.message}" if status.message else ""
        context.out(f"{status.phase} after {took(status, now) or '0s'}{words}")
        if status.phase == "Failed":
            context.out(f"next: mend it and push again, or run it again: sampan pipeline {run.spec.app} --start")
    elif status.message:
        context.out(status.message)


async def follow(client: Client, run: PipelineRun, context: Context, *, wait: bool = True) -> PipelineRun:
    """Print the log to its end; the run as it is then."""
    name, namespace = run.metadata.name or "", run.metadata.namespace or ""
    if wait:
        run = await _begun(client, run, context)
    if run.status.node:
        path = KIND.path(namespace, name, "log")
        response = await client.raw("GET", path, {"follow": True} if wait else None)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        async with aclosing(blocks(response)) as log:
            async for block in log:
                context.stdout.write(decoder.decode(block))
                context.stdout.flush()
    if not wait:
        return run
    return await _until(client, run, ended, context)


async def blocks(response: Response) -> AsyncGenerator[bytes, None]:
    """A body as it comes, closed when the reader stops."""
    if isinstance(response.body, bytes):
        yield response.body
        return
    try:
        async for block in response.body:
            yield block
    finally:
        if isinstance(response.body, AsyncGenerator):
            await response.body.aclose()


async def _begun(client: Client, run: PipelineRun, context: Context) -> PipelineRun:
    return await _until(client, run, lambda each: bool(each.status.node) or ended(each), context)


async def _until(
    client: Client, run: PipelineRun, done: Callable[[PipelineRun], bool], context: Context
) -> PipelineRun:
    said = ""
    while True:
        if done(run):
            return run
        if run.status.message and run.status.message != said and not run.status.node:
            said = run.status.message
            context.err(said)
        run = await _next(client, run)


async def _next(client: Client, run: PipelineRun) -> PipelineRun:
    name, namespace = run.metadata.name or "", run.metadata.namespace or ""
    fields, revision = f"metadata.name={name}", run.metadata.resourceVersion or ""
    watched = client.watch(PipelineRun, namespace, resourceVersion=revision, fields=fields, timeout=60)
    async with aclosing(watched) as events:
        async for event in events:
            if event.type == "DELETED":
                raise CommandError(f"error: the run was deleted: {name}")
            if event.type != "BOOKMARK":
                return event.object
    try:
        return await client.get(PipelineRun, name, namespace)
    except StatusError as error:
        if error.code == 404:
            raise CommandError(f"error: the run was deleted: {name}") from error
        raise
