"""Kinds of batch/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import workloads as workload_columns
from sampan.api.defaults import workloads
from sampan.api.kinds.kind import STATUS, Kind
from sampan.api.types import batch_v1
from sampan.api.validation import batch as batch_rules

CRON_JOB = Kind(
    batch_v1.CronJob,
    "batch",
    "v1",
    "cronjobs",
    ("cj",),
    categories=("all",),
    subresources=(STATUS,),
    default=workloads.default_cron_job,
    columns=workload_columns.CRON_JOB,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.keep_status,
    validate=batch_rules.validate_cron_job,
)
JOB = Kind(
    batch_v1.Job,
    "batch",
    "v1",
    "jobs",
    categories=("all",),
    subresources=(STATUS,),
    default=workloads.default_job,
    prepare_create=strategy.create_job,
    prepare_update=strategy.keep_status,
    columns=workload_columns.JOB,
    selectable=("status.successful",),
    validate=batch_rules.validate_job,
    validate_update=batch_rules.validate_job_update,
)

KINDS = (
    CRON_JOB,
    JOB,
)
