"""Kinds of sampan.dev/v1: what Sampan adds to Kubernetes."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns.common import AGE, NAME
from sampan.api.extra import pipelinerun_v1, sampan_v1
from sampan.api.extra.defaults import default_app
from sampan.api.extra.pipelineruns import (
    branch_of,
    commit_of,
    create_run,
    default_run,
    validate_run,
    validate_run_update,
)
from sampan.api.extra.validation import validate_app, validate_app_update
from sampan.api.kinds.kind import STATUS, Column, Kind, Subresource

APP = Kind(
    sampan_v1.App,
    "sampan.dev",
    "v1",
    "apps",
    categories=("all",),
    subresources=(STATUS,),
    default=default_app,
    columns=(
        NAME,
        Column("Type", lambda app, now: app.spec.type, description="How the app runs."),
        Column("Image", lambda app, now: app.status.image or app.spec.source.image or "", description="What runs."),
        Column("Ready", lambda app, now: app.status.ready or "", description="Pods that can serve, of those wanted."),
        Column("URL", lambda app, now: app.status.url or "", description="Where the app answers."),
        AGE,
        Column("Release", lambda app, now: app.status.release or 0, type="integer", priority=1),
    ),
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=validate_app,
    validate_update=validate_app_update,
)


def _stage(run: pipelinerun_v1.PipelineRun, now: float) -> str:
    """The stages that run, or the one that decided the end."""
    running = [stage.name for stage in run.status.stages if stage.phase == "Running"]
    decided = [stage.name for stage in run.status.stages if stage.phase in ("Failed", "Aborted", "Unstable")]
    return ",".join(running) if running else decided[0] if decided else ""


PIPELINE_RUN = Kind(
    pipelinerun_v1.PipelineRun,
    "sampan.dev",
    "v1",
    "pipelineruns",
    short=("run", "runs"),
    subresources=(STATUS, Subresource("log", ("get",)), Subresource("artifacts", ("get",))),
    default=default_run,
    columns=(
        NAME,
        Column("App", lambda run, now: run.spec.app, description="Whose pipeline it is."),
        Column("Number", lambda run, now: run.status.number or 0, type="integer", description="Counts an app's runs."),
        Column("Branch", lambda run, now: branch_of(run.spec.source.ref), description="The branch or tag."),
        Column("Commit", lambda run, now: commit_of(run)[:8], description="The commit's first digits."),
        Column("Phase", lambda run, now: run.status.phase or "", description="How far it is."),
        Column("Stage", _stage, description="The stage that runs, or that decided the end."),
        AGE,
        Column("Message", lambda run, now: run.status.message or "", priority=1),
    ),
    selectable=("spec.app",),
    prepare_create=create_run,
    prepare_update=strategy.keep_status,
    validate=validate_run,
    validate_update=validate_run_update,
)

KINDS = (APP, PIPELINE_RUN)
