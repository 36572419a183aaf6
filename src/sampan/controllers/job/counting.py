"""Every pod counts once, whatever crashes when: uncounted uids in the status, a finalizer at the pod.

A pod that has ended is noted in status.uncountedTerminatedPods (an index in completedIndexes); then it loses its
finalizer; then the note becomes part of the count. Whoever finds a note without a finalizer finishes the count.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from sampan.api.types import batch_v1, core_v1
from sampan.controllers import pods
from sampan.controllers.job import indexes, policy
from sampan.controllers.job.template import TRACKING
from sampan.runtime.actions import Action, Batch, Patch, Refused, UpdateStatus

MOST = 500
"""Pods noted in one status at most."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The pods of a Job, told apart, and what they add up to with those counted earlier."""

    owned: tuple[core_v1.Pod, ...]
    active: tuple[core_v1.Pod, ...]
    terminating: int
    ready: int
    succeeded: int
    failed: int
    succeeded_indexes: frozenset[int]
    failed_indexes: frozenset[int]

    @property
    def over(self) -> bool:
        """Nothing runs any more."""
        return not self.active and not self.terminating


def tally(job: batch_v1.Job, owned: Sequence[core_v1.Pod]) -> Tally:
    status, completions = job.status, job.spec.completions or 0
    noted = status.uncountedTerminatedPods or batch_v1.UncountedTerminatedPods()
    fresh = [pod for pod in owned if is_tracked(pod)]
    won = [pod for pod in fresh if pods.phase(pod) == "Succeeded" and pod.metadata.uid not in noted.succeeded]
    lost = [pod for pod in fresh if counts_as_failed(pod, job) and pod.metadata.uid not in noted.failed]
    won_indexes, lost_indexes = frozenset[int](), frozenset[int]()
    succeeded = (status.succeeded or 0) + len(noted.succeeded) + len(won)
    if indexes.is_indexed(job):
        ended = [index for pod in won if (index := indexes.index_of(pod)) is not None and index < completions]
        won_indexes = frozenset(indexes.parse(status.completedIndexes, completions).union(ended))
        succeeded = len(won_indexes)
        if indexes.limit_per_index(job) is not None:
            hopeless = {indexes.index_of(pod) for pod in fresh if policy.failed_for_good(pod, job)}
            known = indexes.parse(status.failedIndexes, completions) | {each for each in hopeless if each is not None}
            lost_indexes = frozenset(known - won_indexes)
    active = tuple(pod for pod in owned if pods.is_active(pod))
    return Tally(
        owned=tuple(owned),
        active=active,
        terminating=sum(pods.is_terminating(pod) for pod in owned),
        ready=sum(pods.is_ready(pod) for pod in active),
        succeeded=succeeded,
        failed=(status.failed or 0) + len(noted.failed) + len(lost),
        succeeded_indexes=won_indexes,
        failed_indexes=lost_indexes,
    )


def is_tracked(pod: core_v1.Pod) -> bool:
    return TRACKING in pod.metadata.finalizers


def counts_as_failed(pod: core_v1.Pod, job: batch_v1.Job) -> bool:
    return policy.is_failed(pod, job) and policy.judge(pod, job).action != policy.IGNORE


def count(
    job: batch_v1.Job, status: batch_v1.JobStatus, now: Tally, *, ended: bool, held: frozenset[str]
) -> Generator[Action, Any, tuple[batch_v1.Job, batch_v1.JobStatus]]:
    """Count what has ended. Returns the Job as it is then, and the status that is still to be written.

    `ended`: the Job has failed, so whatever still runs counts as failed. `held`: uids of failed pods whose finalizer
    stays, because the next pod of their index is still to learn from them how often the index has failed.
    """
    status = settled(status, now.owned)
    noted = status.uncountedTerminatedPods or batch_v1.UncountedTerminatedPods()
    won, lost = list(noted.succeeded), list(noted.failed)
    done: list[core_v1.Pod] = []
    for pod in now.owned:
        uid = pod.metadata.uid or ""
        if not is_tracked(pod) or len(done) >= MOST:
            continue
        if pods.phase(pod) == "Succeeded":
            if not indexes.is_indexed(job) and uid not in won:
                won.append(uid)
        elif ended or (policy.is_failed(pod, job) and uid not in held):
            if uid not in lost and policy.judge(pod, job).action != policy.IGNORE:
                lost.append(uid)
        else:
            continue
        done.append(pod)
    if indexes.is_indexed(job):
        status = _with_indexes(job, status, now)
    notes = batch_v1.UncountedTerminatedPods(succeeded=tuple(won), failed=tuple(lost))
    status = replace(status, uncountedTerminatedPods=notes)
    if not done:
        return job, status
    job = yield from write(job, status)
    freed = {pod.metadata.uid for pod in (yield from release(done))}
    return job, settled(status, [pod for pod in now.owned if pod.metadata.uid not in freed])


def _with_indexes(job: batch_v1.Job, status: batch_v1.JobStatus, now: Tally) -> batch_v1.JobStatus:
    won, lost = now.succeeded_indexes, now.failed_indexes
    status = replace(status, completedIndexes=indexes.show(won) or None, succeeded=len(won) or None)
    return status if indexes.limit_per_index(job) is None else replace(status, failedIndexes=indexes.show(lost))


def write(job: batch_v1.Job, status: batch_v1.JobStatus) -> Generator[Action, Any, batch_v1.Job]:
    if status == job.status:
        return job
    written: batch_v1.Job = yield UpdateStatus(replace(job, status=status))
    return written


def settled(status: batch_v1.JobStatus, owned: Sequence[core_v1.Pod]) -> batch_v1.JobStatus:
    """Notes about pods that have lost their finalizer become part of the count."""
    noted = status.uncountedTerminatedPods
    if noted is None:
        return replace(status, uncountedTerminatedPods=batch_v1.UncountedTerminatedPods())
    waiting = {pod.metadata.uid for pod in owned if is_tracked(pod)}
    won = tuple(uid for uid in noted.succeeded if uid in waiting)
    lost = tuple(uid for uid in noted.failed if uid in waiting)
    return replace(
        status,
        succeeded=(status.succeeded or 0) + len(noted.succeeded) - len(won) or None,
        failed=(status.failed or 0) + len(noted.failed) - len(lost) or None,
        uncountedTerminatedPods=batch_v1.UncountedTerminatedPods(succeeded=won, failed=lost),
    )


def release(tracked: Sequence[core_v1.Pod]) -> Generator[Action, Any, Sequence[core_v1.Pod]]:
    """Take the finalizer off. Those that are gone meanwhile are as good; any other refusal is tried again later."""
    freed: list[core_v1.Pod] = []
    left = list(tracked)
    while left:
        try:
            yield Batch([Patch(pod, FREE, "strategic") for pod in left])
        except Refused as refused:
            if refused.error.code not in (404, 409, 422):
                raise
            # The batch stopped at the first refusal: what had been done is done, the one in question is gone.
            done = len(left) - refused.skipped
            freed += left[:done]
            left = left[done:]
        else:
            return [*freed, *left]
    return freed


FREE = {"metadata": {"$deleteFromPrimitiveList/finalizers": [TRACKING]}}
