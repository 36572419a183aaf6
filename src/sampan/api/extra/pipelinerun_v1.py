"""Structs of sampan.dev/v1: one run of an application's pipeline."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from sampan.api.types import meta_v1
from sampan.api.types.base import Int64


class PipelineRun(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One commit on its way through the pipeline of an app."""

    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ObjectMeta = field(default_factory=lambda: meta_v1.ObjectMeta())
    spec: PipelineRunSpec = field(default_factory=lambda: PipelineRunSpec())
    status: PipelineRunStatus = field(default_factory=lambda: PipelineRunStatus())


class PipelineRunList(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ListMeta = field(default_factory=lambda: meta_v1.ListMeta())
    items: tuple[PipelineRun, ...] = field(default_factory=lambda: ())


class PipelineRunSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Fixed once made, except for `abort`, which asks for an end."""

    app: str = field(default_factory=str)
    source: RunSource = field(default_factory=lambda: RunSource())
    trigger: RunTrigger = field(default_factory=lambda: RunTrigger())
    parameters: Mapping[str, str] = field(default_factory=dict)
    abort: bool | None = None


class RunSource(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`url` is a repository elsewhere, "" the cluster's own one; `ref` is refs/heads/NAME or refs/tags/NAME.

    A run that is started by hand may leave `commit` open: the newest one of `ref`.
    """

    url: str | None = None
    ref: str = field(default_factory=str)
    commit: str | None = None


class RunTrigger(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`kind` is push, webhook or manual, `by` who it was, `message` why (the commit's subject)."""

    kind: str = field(default_factory=str)
    by: str | None = None
    message: str | None = None


class RunStage(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`phase` is one of the run's, or Skipped."""

    name: str = field(default_factory=str)
    phase: str = field(default_factory=str)
    startedAt: str | None = None
    finishedAt: str | None = None
    message: str | None = None
    pod: str | None = None


class PipelineRunStatus(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`number` counts an app's runs; `release` is the App's release that the run made; `commit` is what runs.

    `node` is where it runs, and where its log and its artifacts are.
    """

    phase: str | None = None
    number: Int64 | None = None
    node: str | None = None
    commit: str | None = None
    stages: tuple[RunStage, ...] = field(default_factory=lambda: ())
    image: str | None = None
    release: Int64 | None = None
    message: str | None = None
    startedAt: str | None = None
    finishedAt: str | None = None
