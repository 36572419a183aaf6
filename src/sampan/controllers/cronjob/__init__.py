"""CronJobs: a Job each time that the schedule says so.

schedule.py  when that is
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from sampan.api import conditions
from sampan.api.errors import StatusError
from sampan.api.kinds import batch
from sampan.api.types import batch_v1, core_v1, meta_v1
from sampan.client.cache import Key
from sampan.controllers import owners
from sampan.controllers.cronjob.schedule import Schedule, parse
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Create, Delete, Emit, Plan, Requeue, UpdateStatus, View, no_longer
from sampan.runtime.clock import rfc3339, unix
from sampan.runtime.controller import Controller, Watch

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"
MANY = 100
"""More missed times than this are reported as a clock that jumped."""


def plan(cron: batch_v1.CronJob, view: View) -> Plan:
    jobs: Sequence[batch_v1.Job] = owners.owned(batch_v1.Job, cron, view)
    cron = yield from _follow(cron, jobs)
    yield from _clean(cron, jobs)
    if cron.metadata.deletionTimestamp is not None:
        yield from _report(cron, view)
        return
    if cron.spec.suspend:
        yield from _report(cron, view)
        return
    try:
        schedule = parse(cron.spec.schedule, cron.spec.timeZone)
    except KeyError:
        message = f'invalid timeZone: "{cron.spec.timeZone}": unknown time zone {cron.spec.timeZone}'
        yield Emit(cron, "Warning", "UnknownTimeZone", message)
        yield from _report(cron, view)
        return
    except ValueError as error:
        yield Emit(cron, "Warning", "UnparseableSchedule", f'unparseable schedule: "{cron.spec.schedule}" : {error}')
        yield from _report(cron, view)
        return
    due = yield from _due(cron, schedule, view.now)
    if due is not None:
        cron = yield from _start(cron, due, jobs, view)
    yield from _report(cron, view)
    following = schedule.after(view.now)
    if following is not None:
        yield Requeue(following - view.now)


# --- what runs


def _is_over(job: batch_v1.Job) -> bool:
    found = job.status.conditions
    return conditions.is_true(found, "Complete") or conditions.is_true(found, "Failed")


def _follow(cron: batch_v1.CronJob, jobs: Sequence[batch_v1.Job]) -> Generator[Action, Any, batch_v1.CronJob]:
    """status.active names the Jobs that run; the status remembers the last success."""
    by_uid = {job.metadata.uid: job for job in jobs}
    known = {each.uid for each in cron.status.active}
    active = [each for each in cron.status.active if each.uid in by_uid and not _is_over(by_uid[each.uid])]
    for each in cron.status.active:
        job = by_uid.get(each.uid)
        if job is None:
            yield Emit(cron, "Normal", "MissingJob", f"Active job went missing: {each.name}")
        elif _is_over(job):
            how = next(c.type for c in job.status.conditions if c.type in ("Complete", "Failed") and c.status == "True")
            yield Emit(cron, "Normal", "SawCompletedJob", f"Saw completed job: {each.name}, condition: {how}")
    # A Job that was made before a crash could write it down.
    active += [_reference(job) for job in jobs if not _is_over(job) and job.metadata.uid not in known]
    ends = [job.status.completionTime or "" for job in jobs if conditions.is_true(job.status.conditions, "Complete")]
    last = max([*ends, cron.status.lastSuccessfulTime or ""])
    return replace(cron, status=replace(cron.status, active=tuple(active), lastSuccessfulTime=last or None))


def _reference(job: batch_v1.Job) -> core_v1.ObjectReference:
    metadata = job.metadata
    return core_v1.ObjectReference(
        apiVersion="batch/v1",
        kind="Job",
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        resourceVersion=metadata.resourceVersion,
    )


def _clean(cron: batch_v1.CronJob, jobs: Sequence[batch_v1.Job]) -> Plan:
    """Finished Jobs beyond the history limits go, the oldest first."""
    for type, limit in (
        ("Complete", cron.spec.successfulJobsHistoryLimit),
        ("Failed", cron.spec.failedJobsHistoryLimit),
    ):
        ended = [job for job in jobs if conditions.is_true(job.status.conditions, type)]
        ended.sort(key=lambda job: (job.status.startTime or "", job.metadata.name or ""))
        for job in ended[: max(0, len(ended) - limit)] if limit is not None else ():
            yield from _delete(cron, job)


def _delete(cron: batch_v1.CronJob, job: batch_v1.Job) -> Plan:
    if job.metadata.deletionTimestamp is None:
        yield Delete(job, propagation="Background")
        yield Emit(cron, "Normal", "SuccessfulDelete", f"Deleted job {job.metadata.name}")


def _report(cron: batch_v1.CronJob, view: View) -> Plan:
    before = view.get(batch_v1.CronJob, cron.metadata.name or "", cron.metadata.namespace or "")
    if before is not None and before.status != cron.status:
        yield UpdateStatus(cron)


# --- what is due


def _due(cron: batch_v1.CronJob, schedule: Schedule, now: float) -> Generator[Action, Any, float | None]:
    """The latest time that has passed and was not met yet; None when there is none, or it is too late for it."""
    earliest = unix(cron.status.lastScheduleTime) or unix(cron.metadata.creationTimestamp)
    deadline = cron.spec.startingDeadlineSeconds
    if deadline is not None:
        earliest = max(earliest, now - deadline)
    last, missed = None, 0
    following = schedule.after(earliest)
    while following is not None and following <= now:
        last, missed = following, missed + 1
        if missed > MANY:
            # Too long ago to count: what matters is the latest, found from shortly before now.
            message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            yield Emit(cron, "Warning", "TooManyMissedTimes", message)
            last = _latest(schedule, last, now)
            break
        following = schedule.after(following)
    return last


def _latest(schedule: Schedule, known: float, now: float) -> float:
    """The last time up to `now`, looking back over ever longer spans."""
    span = 60.0
    while now - span > known:
        following = schedule.after(now - span)
        if following is not None and following <= now:
            known = following
            break
        span *= 4
    while (following := schedule.after(known)) is not None and following <= now:
        known = following
    return known


def _start(
    cron: batch_v1.CronJob, due: float, jobs: Sequence[batch_v1.Job], view: View
) -> Generator[Action, Any, batch_v1.CronJob]:
    name = job_name(cron, due)
    if any(each.name == name for each in cron.status.active):
        return cron
    if cron.spec.concurrencyPolicy == "Forbid" and cron.status.active:
        message = "Not starting job because prior execution is running and concurrency policy is Forbid"
        yield Emit(cron, "Normal", "JobAlreadyActive", message)
        return cron
    if cron.spec.concurrencyPolicy == "Replace":
        active = {each.uid for each in cron.status.active}
        for job in jobs:
            if job.metadata.uid in active:
                yield from _delete(cron, job)
        cron = replace(cron, status=replace(cron.status, active=()))
    try:
        made: batch_v1.Job = yield Create(described(cron, due))
    except StatusError as error:
        if error.reason == "AlreadyExists":
            # Made before the status was written: it is in the list of Jobs already, or about to come.
            return replace(cron, status=replace(cron.status, lastScheduleTime=rfc3339(due)))
        if no_longer(error):
            return cron
        yield Emit(cron, "Warning", "FailedCreate", f"Error creating job: {error}")
        raise
    yield Emit(cron, "Normal", "SuccessfulCreate", f"Created job {made.metadata.name}")
    active_now = (*cron.status.active, _reference(made))
    return replace(cron, status=replace(cron.status, active=active_now, lastScheduleTime=rfc3339(due)))


def job_name(cron: batch_v1.CronJob, due: float) -> str:
    """One name for each time, so that no time is met twice."""
    return f"{cron.metadata.name}-{int(due) // 60}"


def described(cron: batch_v1.CronJob, due: float) -> batch_v1.Job:
    template = cron.spec.jobTemplate
    return batch_v1.Job(
        metadata=meta_v1.ObjectMeta(
            name=job_name(cron, due),
            namespace=cron.metadata.namespace,
            labels=template.metadata.labels,
            annotations={**template.metadata.annotations, SCHEDULED: rfc3339(due)},
            ownerReferences=(owners.reference(cron, batch.CRON_JOB),),
        ),
        spec=template.spec,
    )


def _cron_of(job: batch_v1.Job, view: View) -> Iterable[Key]:
    above = owners.controller_of(job)
    return ((job.metadata.namespace or "", above.name),) if above is not None and above.kind == "CronJob" else ()


def declare(settings: Settings) -> Controller:
    return Controller(
        name="cronjob-controller",
        primary=batch_v1.CronJob,
        plan=plan,
        watches=(Watch(batch_v1.Job, _cron_of),),
        indexes={batch_v1.Job: {owners.BY_CONTROLLER: owners.controller_uid}},
    )
