"""Kinds of autoscaling: v2 is how an autoscaler is stored, v1 its older form."""

from __future__ import annotations

from sampan.api import conversion, strategy
from sampan.api.columns import workloads as workload_columns
from sampan.api.defaults import cluster
from sampan.api.kinds.kind import STATUS, Kind, Storage
from sampan.api.types import autoscaling_v1, autoscaling_v2
from sampan.api.validation import autoscaling as autoscaling_rules

HORIZONTAL_POD_AUTOSCALER = Kind(
    autoscaling_v2.HorizontalPodAutoscaler,
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    ("hpa",),
    categories=("all",),
    subresources=(STATUS,),
    default=cluster.default_autoscaler,
    columns=workload_columns.HORIZONTAL_POD_AUTOSCALER,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=autoscaling_rules.validate_autoscaler,
)
HORIZONTAL_POD_AUTOSCALER_V1 = Kind(
    autoscaling_v1.HorizontalPodAutoscaler,
    "autoscaling",
    "v1",
    "horizontalpodautoscalers",
    ("hpa",),
    categories=("all",),
    subresources=(STATUS,),
    default=cluster.default_autoscaler_v1,
    columns=workload_columns.HORIZONTAL_POD_AUTOSCALER_V1,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=autoscaling_rules.validate_autoscaler_v1,
    storage=Storage("autoscaling", "v2", conversion.autoscaler_to_v2, conversion.autoscaler_to_v1),
)

KINDS = (HORIZONTAL_POD_AUTOSCALER, HORIZONTAL_POD_AUTOSCALER_V1)
