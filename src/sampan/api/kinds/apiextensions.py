"""Kinds of apiextensions.k8s.io/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import common
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import STATUS, Kind
from sampan.api.types import apiextensions_v1

CUSTOM_RESOURCE_DEFINITION = Kind(
    apiextensions_v1.CustomResourceDefinition,
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    ("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    subresources=(STATUS,),
    default=cluster.default_custom_resource_definition,
    prepare_create=strategy.create_definition,
    prepare_update=strategy.update_definition,
    columns=common.NAME_AND_CREATED,
)

KINDS = (CUSTOM_RESOURCE_DEFINITION,)
