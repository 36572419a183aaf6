"""Kinds of apps/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import workloads as workload_columns
from sampan.api.defaults import workloads
from sampan.api.kinds.kind import SCALE, STATUS, Kind
from sampan.api.types import apps_v1
from sampan.api.validation import apps as apps_rules

ALL_CATEGORY = ("all",)

CONTROLLER_REVISION = Kind(
    apps_v1.ControllerRevision,
    "apps",
    "v1",
    "controllerrevisions",
    columns=workload_columns.CONTROLLER_REVISION,
    validate=apps_rules.validate_controller_revision,
    validate_update=apps_rules.validate_controller_revision_update,
)
DAEMON_SET = Kind(
    apps_v1.DaemonSet,
    "apps",
    "v1",
    "daemonsets",
    ("ds",),
    categories=ALL_CATEGORY,
    subresources=(STATUS,),
    default=workloads.default_daemon_set,
    columns=workload_columns.DAEMON_SET,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=apps_rules.validate_daemon_set,
    validate_update=apps_rules.validate_daemon_set_update,
)
DEPLOYMENT = Kind(
    apps_v1.Deployment,
    "apps",
    "v1",
    "deployments",
    ("deploy",),
    categories=ALL_CATEGORY,
    subresources=(SCALE, STATUS),
    default=workloads.default_deployment,
    columns=workload_columns.DEPLOYMENT,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=apps_rules.validate_deployment,
    validate_update=apps_rules.validate_deployment_update,
)
REPLICA_SET = Kind(
    apps_v1.ReplicaSet,
    "apps",
    "v1",
    "replicasets",
    ("rs",),
    categories=ALL_CATEGORY,
    subresources=(SCALE, STATUS),
    default=workloads.default_replica_set,
    columns=workload_columns.REPLICA_SET,
    selectable=("status.replicas",),
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=apps_rules.validate_replica_set,
    validate_update=apps_rules.validate_replica_set_update,
)
STATEFUL_SET = Kind(
    apps_v1.StatefulSet,
    "apps",
    "v1",
    "statefulsets",
    ("sts",),
    categories=ALL_CATEGORY,
    subresources=(SCALE, STATUS),
    default=workloads.default_stateful_set,
    columns=workload_columns.STATEFUL_SET,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=apps_rules.validate_stateful_set,
    validate_update=apps_rules.validate_stateful_set_update,
)

KINDS = (CONTROLLER_REVISION, DAEMON_SET, DEPLOYMENT, REPLICA_SET, STATEFUL_SET)
