"""Kinds of apiregistration.k8s.io/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import cluster as cluster_columns
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import STATUS, Kind
from sampan.api.types import apiregistration_v1

API_SERVICE = Kind(
    apiregistration_v1.APIService,
    "apiregistration.k8s.io",
    "v1",
    "apiservices",
    categories=("api-extensions",),
    namespaced=False,
    subresources=(STATUS,),
    default=cluster.default_api_service,
    columns=cluster_columns.API_SERVICE,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
)

KINDS = (API_SERVICE,)
