"""Kinds of discovery.k8s.io/v1."""

from __future__ import annotations

from sampan.api.columns import cluster as cluster_columns
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import Kind
from sampan.api.types import discovery_v1
from sampan.api.validation import policy as policy_rules

ENDPOINT_SLICE = Kind(
    discovery_v1.EndpointSlice,
    "discovery.k8s.io",
    "v1",
    "endpointslices",
    default=cluster.default_endpoint_slice,
    columns=cluster_columns.ENDPOINT_SLICE,
    validate=policy_rules.validate_endpoint_slice,
    validate_update=policy_rules.validate_endpoint_slice_update,
)

KINDS = (ENDPOINT_SLICE,)
