"""How many pods a Job should have now, which are too many, and which completion indexes come next."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any

from sampan.api.errors import StatusError
from sampan.api.types import batch_v1, core_v1
from sampan.controllers import pods, ranking
from sampan.controllers.job import indexes, policy, template
from sampan.controllers.job.counting import Tally
from sampan.runtime.actions import Action, Batch, Create, Delete, Emit, Refused, Requeue, View

BURST = 500
"""Pods that one reconciliation creates or deletes at most."""


def manage(job: batch_v1.Job, now: Tally, view: View) -> Generator[Action, Any, StatusError | None]:
    """Make what is missing, delete what is too much. Returns the refusal that stopped it."""
    surplus = _surplus(job, now, view)
    if surplus:
        return (yield from remove(job, surplus))
    missing = wanted(job, now) - len(now.active)
    if policy.only_replace_failed(job):
        missing -= now.terminating
    if missing <= 0:
        return None
    described = yield from _next(job, now, min(missing, BURST), view)
    return (yield from _create(job, described)) if described else None


def wanted(job: batch_v1.Job, now: Tally) -> int:
    """Pods that should run side by side."""
    parallelism = 1 if job.spec.parallelism is None else job.spec.parallelism
    if job.spec.completions is None:
        # A work queue: the first success means that the work is done; those that run may finish.
        return len(now.active) if now.succeeded else parallelism
    return max(0, min(parallelism, job.spec.completions - now.succeeded - len(now.failed_indexes)))


def _surplus(job: batch_v1.Job, now: Tally, view: View) -> list[core_v1.Pod]:
    unwanted = _misplaced(job, now) if indexes.is_indexed(job) else []
    uids = {pod.metadata.uid for pod in unwanted}
    rest = [pod for pod in now.active if pod.metadata.uid not in uids]
    excess = len(rest) - wanted(job, now)
    if excess > 0:
        unwanted = unwanted + ranking.first_to_go(rest, rest, excess, view.now)
    return unwanted[:BURST]


def _misplaced(job: batch_v1.Job, now: Tally) -> list[core_v1.Pod]:
    """Pods of no index, of one that is done with, or of one that another pod has already."""
    completions, seen = job.spec.completions or 0, set(now.succeeded_indexes | now.failed_indexes)
    found: list[core_v1.Pod] = []
    for pod in sorted(now.active, key=lambda each: (each.metadata.creationTimestamp or "", each.metadata.name or "")):
        index = indexes.index_of(pod)
        if index is None or index >= completions or index in seen:
            found.append(pod)
        else:
            seen.add(index)
    return found


def _next(job: batch_v1.Job, now: Tally, count: int, view: View) -> Generator[Action, Any, Sequence[core_v1.Pod]]:
    """The pods to make now; after failures not before their time."""
    if indexes.limit_per_index(job) is not None:
        return (yield from _next_by_index(job, now, count, view))
    ended = [pod for pod in now.owned if pods.phase(pod) == "Succeeded" or policy.is_failed(pod, job)]
    wait = policy.wait_after_failures(ended, view.now)
    if wait > 0:
        yield Requeue(wait)
        return ()
    if not indexes.is_indexed(job):
        return [template.make(job)] * count
    pending = indexes.first_pending(job.spec.completions or 0, _taken(job, now), count)
    return [template.make(job, index) for index in pending]


def _taken(job: batch_v1.Job, now: Tally) -> set[int]:
    present = now.active
    if policy.only_replace_failed(job):
        present = tuple(pod for pod in now.owned if pods.is_active(pod) or pods.is_terminating(pod))
    running = {index for pod in present if (index := indexes.index_of(pod)) is not None}
    return running | now.succeeded_indexes | now.failed_indexes


def _next_by_index(
    job: batch_v1.Job, now: Tally, count: int, view: View
) -> Generator[Action, Any, Sequence[core_v1.Pod]]:
    made: list[core_v1.Pod] = []
    before = last_failures(job, now.owned)
    waits: list[float] = []
    taken = _taken(job, now)
    for index in range(job.spec.completions or 0):
        if len(made) == count:
            break
        if index in taken:
            continue
        last = before.get(index)
        if last is None:
            made.append(template.make(job, index))
            continue
        ignored = policy.judge(last, job).action == policy.IGNORE
        failures = indexes.failures(last) + (not ignored)
        ignores = indexes.ignored_failures(last) + ignored
        wait = policy.finished_at(last) + policy.BACKOFF.delay(failures + ignores) - view.now
        if wait > 0:
            waits.append(wait)
        else:
            made.append(template.make(job, index, failures=failures, ignored=ignores))
    if waits:
        yield Requeue(min(waits))
    return made


def last_failures(job: batch_v1.Job, owned: Iterable[core_v1.Pod]) -> dict[int, core_v1.Pod]:
    """By index, the failed pod that knows of the most failures."""
    found: dict[int, core_v1.Pod] = {}
    for pod in owned:
        index = indexes.index_of(pod)
        if index is None or not policy.is_failed(pod, job):
            continue
        if index not in found or _failures(found[index]) < _failures(pod):
            found[index] = pod
    return found


def _failures(pod: core_v1.Pod) -> int:
    return indexes.failures(pod) + indexes.ignored_failures(pod)


def held(job: batch_v1.Job, now: Tally) -> frozenset[str]:
    """Failed pods from which the next one of their index is still to learn how often it has failed."""
    if indexes.limit_per_index(job) is None:
        return frozenset()
    done = now.succeeded_indexes | now.failed_indexes
    newest = {index: _failures(pod) for pod in now.active if (index := indexes.index_of(pod)) is not None}
    return frozenset(
        pod.metadata.uid or ""
        for index, pod in last_failures(job, now.owned).items()
        if index not in done and newest.get(index, -1) <= _failures(pod)
    )


def _create(job: batch_v1.Job, described: Sequence[core_v1.Pod]) -> Generator[Action, Any, StatusError | None]:
    error: StatusError | None = None
    try:
        made: Sequence[core_v1.Pod] = yield Batch([Create(pod) for pod in described])
    except Refused as refused:
        made, error = refused.answers, refused.error
    for pod in made:
        yield Emit(job, "Normal", "SuccessfulCreate", f"Created pod: {pod.metadata.name}")
    if error is not None:
        yield Emit(job, "Warning", "FailedCreate", f"Error creating: {error}")
    return error


def remove(job: batch_v1.Job, chosen: Sequence[core_v1.Pod]) -> Generator[Action, Any, StatusError | None]:
    if not chosen:
        return None
    error: StatusError | None = None
    done = len(chosen)
    try:
        yield Batch([Delete(pod) for pod in chosen])
    except Refused as refused:
        error, done = refused.error, len(refused.answers)
    for pod in chosen[:done]:
        yield Emit(job, "Normal", "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}")
    if error is not None:
        yield Emit(job, "Warning", "FailedDelete", f"Error deleting: {error}")
    return error
