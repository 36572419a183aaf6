"""Kinds of flowcontrol.apiserver.k8s.io/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import cluster as cluster_columns
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import STATUS, Kind
from sampan.api.types import flowcontrol_v1

FLOW_SCHEMA = Kind(
    flowcontrol_v1.FlowSchema,
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "flowschemas",
    namespaced=False,
    subresources=(STATUS,),
    default=cluster.default_flow_schema,
    columns=cluster_columns.FLOW_SCHEMA,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
)
PRIORITY_LEVEL_CONFIGURATION = Kind(
    flowcontrol_v1.PriorityLevelConfiguration,
    "flowcontrol.apiserver.k8s.io",
    "v1",
    "prioritylevelconfigurations",
    namespaced=False,
    subresources=(STATUS,),
    default=cluster.default_priority_level,
    columns=cluster_columns.PRIORITY_LEVEL_CONFIGURATION,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
)

KINDS = (
    FLOW_SCHEMA,
    PRIORITY_LEVEL_CONFIGURATION,
)
