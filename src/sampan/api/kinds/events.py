"""Kinds of events.k8s.io/v1."""

from __future__ import annotations

from sampan.api import conversion
from sampan.api.columns import core as core_columns
from sampan.api.kinds.kind import Kind, Storage
from sampan.api.types import events_v1

EVENT_FIELDS = (
    "reason",
    "regarding.apiVersion",
    "regarding.fieldPath",
    "regarding.kind",
    "regarding.name",
    "regarding.namespace",
    "regarding.resourceVersion",
    "regarding.uid",
    "reportingController",
    "type",
)
EVENT = Kind(
    events_v1.Event,
    "events.k8s.io",
    "v1",
    "events",
    ("ev",),
    columns=core_columns.EVENT_V1,
    selectable=EVENT_FIELDS,
    storage=Storage("", "v1", conversion.event_to_core, conversion.event_from_core),
)

KINDS = (EVENT,)
