"""Kinds of sampan.dev/v1: what Sampan adds to Kubernetes."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns.common import AGE, NAME
from sampan.api.extra import sampan_v1
from sampan.api.extra.defaults import default_app
from sampan.api.extra.validation import validate_app, validate_app_update
from sampan.api.kinds.kind import STATUS, Column, Kind

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

KINDS = (APP,)
