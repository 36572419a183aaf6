"""What a failed pod means to its Job: podFailurePolicy, backoff, and when enough has succeeded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from sampan.api.types import batch_v1, core_v1
from sampan.controllers import pods
from sampan.controllers.job import indexes
from sampan.runtime.backoff import Exponential
from sampan.runtime.clock import unix

BACKOFF = Exponential(first=10.0, longest=600.0)
"""Between a failure and the next pod."""

COUNT, IGNORE, FAIL_JOB, FAIL_INDEX = "Count", "Ignore", "FailJob", "FailIndex"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a failure does; `message` explains FailJob."""

    action: str = COUNT
    message: str = ""


def only_replace_failed(job: batch_v1.Job) -> bool:
    """A pod that is on its way out is replaced only when it has ended."""
    return job.spec.podReplacementPolicy == "Failed" or job.spec.podFailurePolicy is not None


def is_failed(pod: core_v1.Pod, job: batch_v1.Job) -> bool:
    if pods.phase(pod) == "Failed":
        return True
    if pod.metadata.deletionTimestamp is None:
        return False
    if only_replace_failed(job):
        return pods.phase(pod) in ("", "Pending") and not pod.spec.nodeName
    return pods.phase(pod) != "Succeeded"


def judge(pod: core_v1.Pod, job: batch_v1.Job) -> Judgement:
    """The first rule of podFailurePolicy that fits the failed pod decides."""
    policy = job.spec.podFailurePolicy
    if policy is None or pods.phase(pod) != "Failed":
        return Judgement()
    for number, rule in enumerate(policy.rules):
        why = _by_exit_code(pod, rule.onExitCodes) if rule.onExitCodes else _by_condition(pod, rule.onPodConditions)
        if why:
            if rule.action == FAIL_INDEX and indexes.limit_per_index(job) is None:
                return Judgement()
            return Judgement(rule.action, f"{why} matching {rule.action} rule at index {number}")
    return Judgement()


def _by_exit_code(pod: core_v1.Pod, wanted: batch_v1.PodFailurePolicyOnExitCodesRequirement) -> str:
    for each in (*pod.status.containerStatuses, *pod.status.initContainerStatuses):
        ended = each.state.terminated if each.state else None
        if ended is None or not ended.exitCode or wanted.containerName not in (None, each.name):
            continue
        if (ended.exitCode in wanted.values) == (wanted.operator == "In"):
            name = f"{pod.metadata.namespace}/{pod.metadata.name}"
            return f"Container {each.name} for pod {name} failed with exit code {ended.exitCode}"
    return ""


def _by_condition(pod: core_v1.Pod, patterns: Iterable[batch_v1.PodFailurePolicyOnPodConditionsPattern]) -> str:
    for pattern in patterns:
        found = pods.condition(pod, pattern.type)
        if found is not None and found.status == (pattern.status or "True"):
            return f"Pod {pod.metadata.namespace}/{pod.metadata.name} has condition {pattern.type}"
    return ""


def failed_for_good(pod: core_v1.Pod, job: batch_v1.Job) -> bool:
    """With a limit per index: this failure was the index's last, or the policy says so."""
    limit = indexes.limit_per_index(job)
    if limit is None or not is_failed(pod, job):
        return False
    action = judge(pod, job).action
    return action == FAIL_INDEX or (action != IGNORE and indexes.failures(pod) >= limit)


def restarted_too_often(job: batch_v1.Job, owned: Iterable[core_v1.Pod]) -> bool:
    """With restartPolicy OnFailure the kubelet's restarts count against backoffLimit."""
    spec = job.spec.template.spec
    if spec is None or spec.restartPolicy != "OnFailure":
        return False
    count = sum(
        each.restartCount or 0
        for pod in owned
        if pods.phase(pod) in ("Running", "Pending")
        for each in (*pod.status.initContainerStatuses, *pod.status.containerStatuses)
    )
    limit = 6 if job.spec.backoffLimit is None else job.spec.backoffLimit
    return count >= limit if limit else count > 0


def enough(job: batch_v1.Job, succeeded: Set[int], completions: int) -> str:
    """Why successPolicy is met; "" when it is not."""
    policy = job.spec.successPolicy
    for number, rule in enumerate(policy.rules if policy is not None else ()):
        counted = succeeded
        if rule.succeededIndexes is not None:
            wanted = indexes.parse(rule.succeededIndexes, completions)
            counted = succeeded & wanted
            if rule.succeededCount is None and counted == wanted:
                return f"Matched rules at index {number}"
        if rule.succeededCount is not None and len(counted) >= rule.succeededCount:
            return f"Matched rules at index {number}"
    return ""


# --- backoff


def finished_at(pod: core_v1.Pod) -> float:
    """Unix seconds of the end of a pod, as well as it can be told."""
    ends = [
        unix(each.state.terminated.finishedAt)
        for each in pod.status.containerStatuses
        if each.state and each.state.terminated
    ]
    latest = max(ends, default=0.0)
    if latest:
        return latest
    if pod.metadata.deletionTimestamp is not None:
        return unix(pod.metadata.deletionTimestamp) - (pod.metadata.deletionGracePeriodSeconds or 0)
    ready = pods.condition(pod, "Ready")
    return unix(ready.lastTransitionTime) if ready else unix(pod.metadata.creationTimestamp)


def wait_after_failures(ended: Sequence[core_v1.Pod], now: float) -> float:
    """Seconds to wait before the next pod: for the failures since the last success, counted from the last one."""
    row = sorted(ended, key=finished_at, reverse=True)
    count = 0
    for pod in row:
        if pods.phase(pod) == "Succeeded":
            break
        count += 1
    return max(0.0, finished_at(row[0]) + BACKOFF.delay(count) - now) if count else 0.0
