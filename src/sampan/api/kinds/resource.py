"""Kinds of resource.k8s.io/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import cluster as cluster_columns
from sampan.api.columns import common
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import STATUS, Kind
from sampan.api.types import resource_v1

DEVICE_CLASS = Kind(
    resource_v1.DeviceClass,
    "resource.k8s.io",
    "v1",
    "deviceclasses",
    namespaced=False,
    columns=common.NAME_AND_AGE,
)
RESOURCE_CLAIM = Kind(
    resource_v1.ResourceClaim,
    "resource.k8s.io",
    "v1",
    "resourceclaims",
    subresources=(STATUS,),
    default=cluster.default_resource_claim,
    columns=cluster_columns.RESOURCE_CLAIM,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
)
RESOURCE_CLAIM_TEMPLATE = Kind(
    resource_v1.ResourceClaimTemplate,
    "resource.k8s.io",
    "v1",
    "resourceclaimtemplates",
    default=cluster.default_resource_claim_template,
    columns=common.NAME_AND_AGE,
)
RESOURCE_SLICE = Kind(
    resource_v1.ResourceSlice,
    "resource.k8s.io",
    "v1",
    "resourceslices",
    namespaced=False,
    columns=cluster_columns.RESOURCE_SLICE,
    selectable=("spec.driver", "spec.nodeName"),
)

KINDS = (
    DEVICE_CLASS,
    RESOURCE_CLAIM,
    RESOURCE_CLAIM_TEMPLATE,
    RESOURCE_SLICE,
)
