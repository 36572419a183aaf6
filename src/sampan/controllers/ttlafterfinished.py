"""Finished Jobs with ttlSecondsAfterFinished go when that time has passed."""

from __future__ import annotations

from sampan.api.types import batch_v1
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Delete, Plan, Requeue, View
from sampan.runtime.clock import unix
from sampan.runtime.controller import Controller, unless_unchanged


def plan(job: batch_v1.Job, view: View) -> Plan:
    ttl, ended = job.spec.ttlSecondsAfterFinished, finished_at(job)
    if ttl is None or not ended or job.metadata.deletionTimestamp is not None:
        return
    left = ended + ttl - view.now
    if left > 0:
        yield Requeue(left)
    else:
        # Only the very version that was judged: somebody may just have given it more time.
        yield Delete(job, propagation="Foreground", unchanged=True)


def finished_at(job: batch_v1.Job) -> float:
    """Unix seconds; 0 while it runs."""
    for each in job.status.conditions:
        if each.type in ("Complete", "Failed") and each.status == "True":
            return unix(each.lastTransitionTime)
    return 0.0


def declare(settings: Settings) -> Controller:
    return Controller(
        name="ttl-after-finished-controller",
        primary=batch_v1.Job,
        plan=plan,
        changed=unless_unchanged(lambda job: (job.spec.ttlSecondsAfterFinished, finished_at(job))),
    )
