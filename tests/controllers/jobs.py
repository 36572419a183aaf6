"""A Job in a world in which pods end as the test says."""

from __future__ import annotations

from msgspec.structs import replace

from sampan.api.types import batch_v1, core_v1
from sampan.controllers import job
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Requeue
from sampan.runtime.clock import rfc3339
from sampan.testing.world import World

JOBS = job.declare(Settings())

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: work, uid: job-uid}
spec:
  %s
  selector: {matchLabels: {batch.kubernetes.io/controller-uid: job-uid}}
  template:
    metadata: {labels: {batch.kubernetes.io/controller-uid: job-uid, job-name: work}}
    spec: {restartPolicy: %s, containers: [{name: main, image: i}]}
"""


def world(spec: str = "completions: 1", restart: str = "Never") -> World:
    here = World(JOBS)
    here.load(JOB % (spec.replace("\n", "\n  "), restart))
    return here


def work(here: World) -> batch_v1.Job:
    return here.get(batch_v1.Job, "work")


def plan(here: World) -> list[Action]:
    return here.plan(JOBS, "work")


def all_pods(here: World) -> list[core_v1.Pod]:
    return here.all(core_v1.Pod)


def running(here: World) -> list[core_v1.Pod]:
    return [
        each
        for each in all_pods(here)
        if each.status.phase not in ("Succeeded", "Failed") and each.metadata.deletionTimestamp is None
    ]


def end(here: World, pod: core_v1.Pod, *, code: int = 0, at: float | None = None, **conditions: str) -> None:
    phase = "Failed" if code or conditions else "Succeeded"
    ended = core_v1.ContainerStateTerminated(exitCode=code, finishedAt=rfc3339(here.now if at is None else at))
    status = replace(
        pod.status,
        phase=phase,
        containerStatuses=(core_v1.ContainerStatus(name="main", state=core_v1.ContainerState(terminated=ended)),),
        conditions=tuple(core_v1.PodCondition(type=type, status=value) for type, value in conditions.items()),
    )
    here.add(replace(here.get(core_v1.Pod, pod.metadata.name or ""), status=status))


def kubelet(here: World) -> None:
    """Pods that are on their way out have ended."""
    for each in all_pods(here):
        if each.metadata.deletionTimestamp is not None and each.status.phase not in ("Succeeded", "Failed"):
            end(here, each, code=137)
            plan(here)


def conditions(here: World) -> dict[str, tuple[str, str]]:
    return {each.type: (each.status, each.reason or "") for each in work(here).status.conditions}


def counts(here: World) -> tuple[int, int, int]:
    status = work(here).status
    return status.active or 0, status.succeeded or 0, status.failed or 0


def waits(actions: list[Action]) -> list[float]:
    return [each.after for each in actions if isinstance(each, Requeue)]
