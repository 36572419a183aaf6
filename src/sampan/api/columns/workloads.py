"""Columns of apps, batch, autoscaling and policy kinds."""

from __future__ import annotations

from typing import Any

from sampan.api import duration
from sampan.api.columns.common import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    boolean,
    condition,
    container_images,
    container_names,
    labels,
    selector,
    selector_or_none,
)
from sampan.api.kinds.kind import Column
from sampan.api.types import apps_v1, autoscaling_v1, autoscaling_v2, batch_v1, policy_v1


def _template(object: Any) -> Any:
    return object.spec.template.spec if object.spec.template else None


CONTAINERS = Column("Containers", lambda object, now: container_names(_template(object)), priority=1)
IMAGES = Column("Images", lambda object, now: container_images(_template(object)), priority=1)
SELECTOR = Column("Selector", lambda object, now: selector_or_none(object.spec.selector), priority=1)


def _integer(name: str, cell: Any) -> Column:
    return Column(name, lambda object, now: cell(object) or 0, type="integer")


def _deployment_ready(object: apps_v1.Deployment | apps_v1.StatefulSet, now: float) -> str:
    return f"{object.status.readyReplicas or 0}/{object.spec.replicas or 0}"


DEPLOYMENT = (
    NAME,
    Column("Ready", _deployment_ready),
    _integer("Up-to-date", lambda object: object.status.updatedReplicas),
    _integer("Available", lambda object: object.status.availableReplicas),
    AGE,
    CONTAINERS,
    IMAGES,
    Column("Selector", lambda object, now: selector(object.spec.selector), priority=1),
)
STATEFUL_SET = (NAME, Column("Ready", _deployment_ready), AGE, CONTAINERS, IMAGES)
_REPLICAS = (
    NAME,
    _integer("Desired", lambda object: object.spec.replicas),
    _integer("Current", lambda object: object.status.replicas),
    _integer("Ready", lambda object: object.status.readyReplicas),
    AGE,
    CONTAINERS,
    IMAGES,
)
REPLICA_SET = (*_REPLICAS, SELECTOR)
REPLICATION_CONTROLLER = (
    *_REPLICAS,
    Column("Selector", lambda object, now: labels(object.spec.selector), priority=1),
)
DAEMON_SET = (
    NAME,
    _integer("Desired", lambda object: object.status.desiredNumberScheduled),
    _integer("Current", lambda object: object.status.currentNumberScheduled),
    _integer("Ready", lambda object: object.status.numberReady),
    _integer("Up-to-date", lambda object: object.status.updatedNumberScheduled),
    _integer("Available", lambda object: object.status.numberAvailable),
    Column("Node Selector", lambda object, now: labels(object.spec.template.spec.nodeSelector)),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)


def _controller(object: apps_v1.ControllerRevision, now: float) -> str:
    """`deployment.apps/web`: who made the revision."""
    owner = next((o for o in object.metadata.ownerReferences if o.controller), None)
    if owner is None:
        return NONE
    group = owner.apiVersion.rpartition("/")[0]
    return f"{owner.kind.lower()}{'.' + group if group else ''}/{owner.name}"


CONTROLLER_REVISION = (
    NAME,
    Column("Controller", _controller),
    _integer("Revision", lambda object: object.revision),
    AGE,
)


# --- batch


def _job_status(job: batch_v1.Job, now: float) -> str:
    true = {found.type for found in job.status.conditions if found.status == "True"}
    for type in ("Complete", "Failed"):
        if type in true:
            return type
    if job.metadata.deletionTimestamp:
        return "Terminating"
    return next((type for type in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if type in true), "Running")


def _completions(job: batch_v1.Job, now: float) -> str:
    done = job.status.succeeded or 0
    if job.spec.completions is not None:
        return f"{done}/{job.spec.completions}"
    parallel = job.spec.parallelism or 0
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration(job: batch_v1.Job, now: float) -> str:
    if not job.status.startTime:
        return ""
    end = duration.unix(job.status.completionTime) if job.status.completionTime else now
    return duration.human(end - duration.unix(job.status.startTime))


JOB = (
    NAME,
    Column("Status", _job_status),
    Column("Completions", _completions),
    Column("Duration", _duration),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
)


def _cron_template(object: batch_v1.CronJob) -> batch_v1.JobSpec:
    return object.spec.jobTemplate.spec


CRON_JOB = (
    NAME,
    Column("Schedule", lambda object, now: object.spec.schedule),
    Column("Timezone", lambda object, now: object.spec.timeZone or NONE),
    Column("Suspend", lambda object, now: boolean(object.spec.suspend), type="boolean"),
    Column("Active", lambda object, now: len(object.status.active), type="integer"),
    Column(
        "Last Schedule",
        lambda object, now: (
            duration.since(object.status.lastScheduleTime, now) if object.status.lastScheduleTime else NONE
        ),
    ),
    AGE,
    Column("Containers", lambda object, now: container_names(_cron_template(object).template.spec), priority=1),
    Column("Images", lambda object, now: container_images(_cron_template(object).template.spec), priority=1),
    Column("Selector", lambda object, now: selector_or_none(_cron_template(object).selector), priority=1),
)


# --- autoscaling and policy


def _reference(object: Any, now: float) -> str:
    return f"{object.spec.scaleTargetRef.kind}/{object.spec.scaleTargetRef.name}"


def _amount(found: Any, percent: bool) -> str:
    """One side of a metric: what is, or what is wanted."""
    if found is None:
        return UNKNOWN
    if percent:
        return f"{found.averageUtilization}%" if found.averageUtilization is not None else UNKNOWN
    return found.averageValue or found.value or UNKNOWN


def _metric(spec: autoscaling_v2.MetricSpec, status: autoscaling_v2.MetricStatus | None) -> str:
    field = spec.type[:1].lower() + spec.type[1:]
    wanted, found = getattr(spec, field, None), getattr(status, field, None) if status else None
    if wanted is None:
        return f"{UNKNOWN}/{UNKNOWN}"
    percent = wanted.target.averageUtilization is not None
    text = f"{_amount(found.current if found else None, percent)}/{_amount(wanted.target, percent)}"
    if spec.type in ("Resource", "ContainerResource"):
        return f"{wanted.name}: {text}"
    return f"{text} (avg)" if wanted.target.averageValue else text


def _targets(object: autoscaling_v2.HorizontalPodAutoscaler, now: float) -> str:
    if not object.spec.metrics:
        return NONE
    current = object.status.currentMetrics
    texts = [
        _metric(spec, current[index] if index < len(current) else None)
        for index, spec in enumerate(object.spec.metrics)
    ]
    shown = ", ".join(texts[:2])
    return f"{shown} + {len(texts) - 2} more..." if len(texts) > 2 else shown


def _targets_v1(object: autoscaling_v1.HorizontalPodAutoscaler, now: float) -> str:
    wanted = object.spec.targetCPUUtilizationPercentage
    found = object.status.currentCPUUtilizationPercentage
    return f"cpu: {UNKNOWN if found is None else f'{found}%'}/{UNKNOWN if wanted is None else f'{wanted}%'}"


def _autoscaler(targets: Any) -> tuple[Column, ...]:
    return (
        NAME,
        Column("Reference", _reference),
        Column("Targets", targets),
        Column(
            "MinPods", lambda object, now: UNSET if object.spec.minReplicas is None else str(object.spec.minReplicas)
        ),
        _integer("MaxPods", lambda object: object.spec.maxReplicas),
        _integer("Replicas", lambda object: object.status.currentReplicas),
        AGE,
    )


HORIZONTAL_POD_AUTOSCALER = _autoscaler(_targets)
HORIZONTAL_POD_AUTOSCALER_V1 = _autoscaler(_targets_v1)


def _or_not(value: Any) -> str:
    return "N/A" if value is None else str(value)


def _disruptions(object: policy_v1.PodDisruptionBudget) -> int:
    return object.status.disruptionsAllowed or 0


POD_DISRUPTION_BUDGET = (
    NAME,
    Column("Min Available", lambda object, now: _or_not(object.spec.minAvailable)),
    Column("Max Unavailable", lambda object, now: _or_not(object.spec.maxUnavailable)),
    _integer("Allowed Disruptions", _disruptions),
    AGE,
)


def available(conditions: Any) -> str:
    """`True`, or `False (Reason)`, of a condition Available."""
    found = condition(conditions, "Available")
    if found is None:
        return "Unknown"
    return found.status if found.status == "True" else f"{found.status} ({found.reason})"
