"""What `sampan why APP` says of its pipeline: the last run, when it did not end well."""

from __future__ import annotations

from sampan.api.errors import StatusError
from sampan.api.extra.pipelinerun_v1 import PipelineRun
from sampan.api.extra.pipelineruns import LABEL, branch_of, commit_of, ended
from sampan.cli.context import Context
from sampan.client.client import Client


async def tell(client: Client, app: str, namespace: str, context: Context) -> bool:
    """Whether there was something to tell."""
    try:
        page = await client.list(PipelineRun, namespace, labels=f"{LABEL}={app}")
    except StatusError as error:
        # A cluster without pipelines, or somebody who may not read them.
        if error.code in (403, 404):
            return False
        raise
    runs = sorted((each for each in page.items if ended(each)), key=lambda each: each.status.number or 0)
    if not runs or runs[-1].status.phase != "Failed":
        return False
    run = runs[-1]
    number, commit = run.status.number, commit_of(run)[:8]
    context.out(f"\nThe last run of its pipeline failed: run {number}, {branch_of(run.spec.source.ref)} at {commit}.")
    context.out(f"  {run.status.message}")
    context.out(f"\nNext: its log tells more: sampan pipeline {app} {number}")
    context.out(f"      then mend it and push again, or run it once more: sampan pipeline {app} --start")
    return True
