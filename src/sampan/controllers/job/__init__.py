"""Jobs: pods that run to an end, as often as it takes.

template.py  the pods and their completion indexes
sizing.py    how many pods now, which ones, and after which wait
policy.py    what a failure means; when enough has succeeded
counting.py  each pod counts exactly once
indexes.py   sets of completion indexes
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import replace as replaced
from typing import Any, NamedTuple

from msgspec.structs import replace

from sampan.api import conditions, selectors
from sampan.api.kinds import batch
from sampan.api.types import batch_v1, core_v1
from sampan.client.cache import Key
from sampan.controllers import owners, pods
from sampan.controllers.job import counting, indexes, policy, sizing, template
from sampan.controllers.job.counting import Tally
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Emit, Plan, Requeue, View
from sampan.runtime.clock import rfc3339, unix
from sampan.runtime.controller import Controller, Watch

MANAGED_HERE = (None, "", "kubernetes.io/job-controller")
BY_JOB = "job"
FAILING, SUCCEEDING = "FailureTarget", "SuccessCriteriaMet"


class Verdict(NamedTuple):
    """What the Job comes to: FailureTarget and then Failed, or SuccessCriteriaMet and then Complete."""

    type: str
    reason: str
    message: str


def selector(job: batch_v1.Job) -> selectors.Selector:
    return selectors.label_selector(job.spec.selector)


def is_over(job: batch_v1.Job) -> bool:
    found = job.status.conditions
    return conditions.is_true(found, "Complete") or conditions.is_true(found, "Failed")


def plan(job: batch_v1.Job, view: View) -> Plan:
    if job.spec.managedBy not in MANAGED_HERE:
        return
    if is_over(job):
        yield from _free(owners.owned(core_v1.Pod, job, view))
        return
    owned = yield from owners.claim(core_v1.Pod, job, batch.JOB, selector(job), view, finalizer=template.TRACKING)
    now, status, refusal = counting.tally(job, owned), _started(job, view), None
    verdict = judge(job, now, status, view)
    if verdict is not None or job.spec.suspend:
        refusal = yield from sizing.remove(job, now.active)
    elif job.metadata.deletionTimestamp is None:
        refusal = yield from sizing.manage(job, now, view)
    # What the actions came to is in the cache already. Pods that go because of the verdict fail no index.
    failed_indexes = now.failed_indexes
    now = counting.tally(job, owners.owned(core_v1.Pod, job, view))
    if verdict is not None:
        now = replaced(now, failed_indexes=failed_indexes)
    if verdict is None and _has_all(job, now):
        verdict = Verdict(SUCCEEDING, "CompletionsReached", "Reached expected number of succeeded pods")
    yield from _report(job, status, now, verdict, view)
    if refusal is not None:
        raise refusal
    yield from _wait_for_deadline(job, status, verdict, view)


def gone(key: Key, view: View) -> Plan:
    """Pods outlive their Job when it was deleted without them; nobody will count them any more."""
    yield from _free(view.by(core_v1.Pod, BY_JOB, f"{key[0]}/{key[1]}"))


def _free(left: Iterable[core_v1.Pod]) -> Plan:
    tracked = [pod for pod in left if counting.is_tracked(pod)]
    if tracked:
        yield from counting.release(tracked)


# --- judging


def judge(job: batch_v1.Job, now: Tally, status: batch_v1.JobStatus, view: View) -> Verdict | None:
    """Once made, a verdict stands."""
    for type in (SUCCEEDING, FAILING):
        made = conditions.find(job.status.conditions, type)
        if made is not None and made.status == "True":
            return Verdict(type, made.reason or "", made.message or "")
    for pod in now.owned:
        judgement = policy.judge(pod, job)
        if judgement.action == policy.FAIL_JOB:
            return Verdict(FAILING, "PodFailurePolicy", judgement.message)
    limit = 6 if job.spec.backoffLimit is None else job.spec.backoffLimit
    if now.failed > limit or policy.restarted_too_often(job, now.owned):
        return Verdict(FAILING, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if _deadline(job, status, view.now) == 0:
        return Verdict(FAILING, "DeadlineExceeded", "Job was active longer than specified deadline")
    return _judge_indexes(job, now) if indexes.is_indexed(job) else None


def _judge_indexes(job: batch_v1.Job, now: Tally) -> Verdict | None:
    completions, most, failed = job.spec.completions or 0, job.spec.maxFailedIndexes, len(now.failed_indexes)
    if most is not None and failed > most:
        message = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict(FAILING, "MaxFailedIndexesExceeded", message)
    if failed and failed + len(now.succeeded_indexes) >= completions:
        return Verdict(FAILING, "FailedIndexes", "Job has failed indexes")
    why = policy.enough(job, now.succeeded_indexes, completions)
    return Verdict(SUCCEEDING, "SuccessPolicy", why) if why else None


def _has_all(job: batch_v1.Job, now: Tally) -> bool:
    if now.active or job.metadata.deletionTimestamp is not None:
        return False
    return now.succeeded > 0 if job.spec.completions is None else now.succeeded >= job.spec.completions


def _deadline(job: batch_v1.Job, status: batch_v1.JobStatus, now: float) -> float:
    """Seconds until activeDeadlineSeconds have passed: 0 when they have, infinite when there is no such limit."""
    if job.spec.activeDeadlineSeconds is None or status.startTime is None or job.spec.suspend:
        return float("inf")
    return max(0.0, unix(status.startTime) + job.spec.activeDeadlineSeconds - now)


# --- reporting


def _started(job: batch_v1.Job, view: View) -> batch_v1.JobStatus:
    """The clock of the deadline starts when the Job does, and anew when it is resumed."""
    suspended = conditions.is_true(job.status.conditions, "Suspended")
    if job.spec.suspend or (job.status.startTime is not None and not suspended):
        return job.status
    return replace(job.status, startTime=rfc3339(view.now))


def _report(job: batch_v1.Job, status: batch_v1.JobStatus, now: Tally, verdict: Verdict | None, view: View) -> Plan:
    at = rfc3339(view.now)
    status = replace(status, active=len(now.active) or None, ready=now.ready, terminating=now.terminating)
    if verdict is None:
        status = yield from _suspension(job, status, at)
    else:
        status = _with(status, verdict.type, verdict, at)
    failing = verdict is not None and verdict.type == FAILING
    ended = failing or job.metadata.deletionTimestamp is not None
    job, status = yield from counting.count(job, status, now, ended=ended, held=sizing.held(job, now))
    if verdict is not None and now.over and status.uncountedTerminatedPods == batch_v1.UncountedTerminatedPods():
        status = _with(status, "Failed" if failing else "Complete", verdict, at)
        status = status if failing else replace(status, completionTime=at)
        if failing:
            yield Emit(job, "Warning", verdict.reason, verdict.message)
        else:
            yield Emit(job, "Normal", "Completed", "Job completed")
    yield from counting.write(job, status)


def _suspension(job: batch_v1.Job, status: batch_v1.JobStatus, at: str) -> Generator[Action, Any, batch_v1.JobStatus]:
    was = conditions.is_true(status.conditions, "Suspended")
    if bool(job.spec.suspend) == was or job.metadata.deletionTimestamp is not None:
        return status
    word = "suspended" if job.spec.suspend else "resumed"
    yield Emit(job, "Normal", word.title(), f"Job {word}")
    made = batch_v1.JobCondition(
        type="Suspended",
        status="True" if job.spec.suspend else "False",
        reason=f"Job{word.title()}",
        message=f"Job {word}",
        lastProbeTime=at,
    )
    return replace(status, conditions=conditions.put(status.conditions, made, at))


def _with(status: batch_v1.JobStatus, type: str, verdict: Verdict, at: str) -> batch_v1.JobStatus:
    made = batch_v1.JobCondition(
        type=type, status="True", reason=verdict.reason, message=verdict.message, lastProbeTime=at
    )
    return replace(status, conditions=conditions.put(status.conditions, made, at))


def _wait_for_deadline(job: batch_v1.Job, status: batch_v1.JobStatus, verdict: Verdict | None, view: View) -> Plan:
    left = _deadline(job, status, view.now)
    if verdict is None and left != float("inf"):
        yield Requeue(left)


# --- declaration


def job_of(pod: core_v1.Pod) -> Iterable[str]:
    """Index function: `namespace/name` of the Job that controls a pod that is still to be counted."""
    above = owners.controller_of(pod)
    if above is None or above.kind != "Job" or not counting.is_tracked(pod):
        return ()
    return (f"{pod.metadata.namespace}/{above.name}",)


def declare(settings: Settings) -> Controller:
    return Controller(
        name="job-controller",
        primary=batch_v1.Job,
        plan=plan,
        gone=gone,
        watches=(Watch(core_v1.Pod, owners.keys_of_owner(batch.JOB, selector), pods.matters),),
        indexes={core_v1.Pod: {owners.BY_CONTROLLER: owners.controller_uid, BY_JOB: job_of}},
    )
