"""Structs of sampan.dev/v1."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from sampan.api.types import core_v1, meta_v1
from sampan.api.types.base import Int32, Int64, IntOrString, Quantity


class App(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An application: where it comes from, how it runs, where it is published."""

    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ObjectMeta = field(default_factory=lambda: meta_v1.ObjectMeta())
    spec: AppSpec = field(default_factory=lambda: AppSpec())
    status: AppStatus = field(default_factory=lambda: AppStatus())


class AppList(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ListMeta = field(default_factory=lambda: meta_v1.ListMeta())
    items: tuple[App, ...] = field(default_factory=lambda: ())


class AppSpec(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`replicas` or `scale`, not both. `health` is the path that answers 2xx when the app can serve.

    `secrets` names environment variables whose values are made up once and kept in a Secret. `instrument` is the
    language whose programs get OpenTelemetry's packages at their start, or none.
    """

    source: AppSource = field(default_factory=lambda: AppSource())
    type: str = field(default_factory=str)
    replicas: Int32 | None = None
    scale: AppScale | None = None
    port: Int32 | None = None
    protocol: str | None = None
    health: str | None = None
    command: tuple[str, ...] = field(default_factory=lambda: ())
    args: tuple[str, ...] = field(default_factory=lambda: ())
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = field(default_factory=lambda: ())
    volumes: tuple[AppVolume, ...] = field(default_factory=lambda: ())
    host: str | None = None
    needs: tuple[AppNeed, ...] = field(default_factory=lambda: ())
    schedule: str | None = None
    timeZone: str | None = None
    instrument: str | None = None
    resources: core_v1.ResourceRequirements | None = None


class AppSource(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`path` or `git` is where the source is, `image` what was built from it; or `image` alone."""

    path: str | None = None
    git: AppGit | None = None
    image: str | None = None


class AppGit(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    url: str = field(default_factory=str)
    ref: str | None = None


class AppScale(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """`cpu` and `memory` are the share of what the pods request that they should use on average, as `70%` or 70."""

    min: Int32 | None = None
    max: Int32 = field(default_factory=int)
    cpu: IntOrString | None = None
    memory: IntOrString | None = None


class AppVolume(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A directory that outlives pods. `name` comes from `path` unless it is given."""

    path: str = field(default_factory=str)
    size: Quantity | None = None
    name: str | None = None
    class_: str | None = field(default=None, name="class")


class AppNeed(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Another app of the namespace, reached by NAME_HOST and NAME_PORT, its secrets as NAME_...."""

    name: str = field(default_factory=str)
    app: str = field(default_factory=str)


class AppStatus(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One condition a step: ImageBuilt, PodsReady, VolumesBound, Exposed, Published, Monitored."""

    conditions: tuple[meta_v1.Condition, ...] = field(default_factory=lambda: ())
    observedGeneration: Int64 | None = None
    release: Int64 | None = None
    image: str | None = None
    ready: str | None = None
    url: str | None = None
