"""Objects of which only the metadata matters, of kinds that need not be known when the program is written."""

from __future__ import annotations

from msgspec import Struct, field

from sampan.api.types import meta_v1


class PartialObjectMetadata(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Any object's identity and metadata (meta.k8s.io/v1). Read it with `kind=` naming the resource."""

    apiVersion: str | None = None
    kind: str | None = None
    metadata: meta_v1.ObjectMeta = field(default_factory=lambda: meta_v1.ObjectMeta())


ACCEPT = ",".join(
    (
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        "application/json",
    )
)
"""Servers that cannot cut objects down answer with whole ones; decoding drops the rest."""
