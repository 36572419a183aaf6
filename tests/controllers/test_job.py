"""Jobs: how many pods when, what failures mean, and that every pod counts once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.errors import forbidden_error, internal
from sampan.api.types import batch_v1, core_v1
from sampan.controllers import job
from sampan.controllers.job import indexes, policy
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Create, Emit, Patch, Requeue, Update
from sampan.runtime.clock import rfc3339
from sampan.testing.world import START, World

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


# --- the usual life


def test_one_pod_that_succeeds_completes_the_job() -> None:
    here = world()
    plan(here)
    (pod,) = all_pods(here)
    assert pod.metadata.finalizers == ("batch.kubernetes.io/job-tracking",)
    assert pod.metadata.generateName == "work-"
    assert pod.metadata.ownerReferences[0].kind == "Job"
    assert counts(here) == (1, 0, 0)
    assert work(here).status.startTime == rfc3339(START)
    here.now += 10
    end(here, pod)
    actions = plan(here)
    assert counts(here) == (0, 1, 0)
    assert conditions(here) == {
        "SuccessCriteriaMet": ("True", "CompletionsReached"),
        "Complete": ("True", "CompletionsReached"),
    }
    assert work(here).status.completionTime == rfc3339(START + 10)
    assert all_pods(here)[0].metadata.finalizers == ()
    assert [each.reason for each in actions if isinstance(each, Emit)] == ["Completed"]
    assert plan(here) == []


def test_no_more_pods_than_parallelism_and_no_more_than_are_missing() -> None:
    here = world("completions: 5\nparallelism: 2")
    plan(here)
    assert len(running(here)) == 2
    for _ in range(4):
        end(here, running(here)[0])
        plan(here)
    assert (len(running(here)), counts(here)) == (1, (1, 4, 0))
    end(here, running(here)[0])
    plan(here)
    assert counts(here) == (0, 5, 0)
    assert "Complete" in conditions(here)


def test_a_work_queue_is_done_with_the_first_success_when_all_have_ended() -> None:
    here = world("parallelism: 3")
    before = work(here)
    here.add(replace(before, spec=replace(before.spec, completions=None)))
    plan(here)
    one, two, three = all_pods(here)
    end(here, one)
    plan(here)
    assert len(running(here)) == 2 and "Complete" not in conditions(here)
    end(here, two, code=1)
    plan(here)
    assert len(running(here)) == 1
    end(here, three)
    plan(here)
    assert counts(here) == (0, 2, 1)
    assert "Complete" in conditions(here)


def test_parallelism_may_shrink() -> None:
    here = world("completions: 5\nparallelism: 4")
    plan(here)
    before = work(here)
    here.add(replace(before, spec=replace(before.spec, parallelism=1)))
    plan(here)
    assert len(running(here)) == 1
    assert counts(here)[0] == 1
    assert work(here).status.terminating == 3


def test_another_controllers_job_is_left_alone() -> None:
    here = world("managedBy: example.org/queue")
    assert plan(here) == []


# --- failures


def test_failures_wait_longer_each_time() -> None:
    here = world()
    plan(here)
    expected = [10.0, 20.0, 40.0]
    for wait in expected:
        end(here, running(here)[0], code=1)
        assert waits(plan(here)) == [wait]
        here.now += wait - 1
        assert waits(plan(here)) == [1.0]
        here.now += 1
        plan(here)
        assert len(running(here)) == 1
    assert counts(here) == (1, 0, 3)


def test_a_success_forgives() -> None:
    ended = [
        core_v1.Pod(
            metadata=core_v1.Pod().metadata,
            status=core_v1.PodStatus(
                phase=phase,
                containerStatuses=(
                    core_v1.ContainerStatus(
                        name="m",
                        state=core_v1.ContainerState(
                            terminated=core_v1.ContainerStateTerminated(exitCode=0, finishedAt=rfc3339(START + at))
                        ),
                    ),
                ),
            ),
        )
        for at, phase in enumerate(("Failed", "Failed", "Succeeded", "Failed"))
    ]
    assert policy.wait_after_failures(ended, START + 3) == 10
    assert policy.wait_after_failures(ended[:3], START + 3) == 0
    assert policy.wait_after_failures([], START) == 0


def test_beyond_the_backoff_limit_the_job_fails() -> None:
    here = world("completions: 3\nparallelism: 3\nbackoffLimit: 1")
    plan(here)
    one, two, _ = all_pods(here)
    end(here, one, code=1)
    end(here, two, code=1)
    actions = plan(here)
    assert conditions(here) == {"FailureTarget": ("True", "BackoffLimitExceeded")}, "a pod is still on its way out"
    assert counts(here) == (0, 0, 3)
    assert work(here).status.terminating == 1
    kubelet(here)
    plan(here)
    assert conditions(here)["Failed"] == ("True", "BackoffLimitExceeded")
    assert work(here).status.completionTime is None
    assert not [each for each in actions if isinstance(each, Create)]


def test_a_limit_of_none_fails_at_the_first() -> None:
    here = world("backoffLimit: 0")
    plan(here)
    end(here, running(here)[0], code=1)
    actions = plan(here)
    assert conditions(here)["Failed"] == ("True", "BackoffLimitExceeded")
    assert [each.reason for each in actions if isinstance(each, Emit)] == ["BackoffLimitExceeded"]


def test_restarts_in_place_count_too() -> None:
    here = world("backoffLimit: 2", restart="OnFailure")
    plan(here)
    (pod,) = all_pods(here)
    for restarts, failed in ((1, False), (2, True)):
        status = core_v1.ContainerStatus(name="main", restartCount=restarts)
        pod = here.get(core_v1.Pod, pod.metadata.name or "")
        here.add(replace(pod, status=replace(pod.status, phase="Running", containerStatuses=(status,))))
        plan(here)
        assert ("FailureTarget" in conditions(here)) is failed


def test_a_pod_that_was_deleted_is_a_failure_and_replaced() -> None:
    here = world()
    plan(here)
    (pod,) = all_pods(here)
    here.add(replace(pod, metadata=replace(pod.metadata, deletionTimestamp=rfc3339(START - 60))))
    plan(here)
    assert counts(here) == (1, 0, 1)


def test_with_replacement_policy_failed_the_end_is_waited_for() -> None:
    here = world("podReplacementPolicy: Failed")
    plan(here)
    (pod,) = all_pods(here)
    pod = replace(pod, spec=replace(pod.spec, nodeName="n1"), status=replace(pod.status, phase="Running"))
    here.add(replace(pod, metadata=replace(pod.metadata, deletionTimestamp=rfc3339(START - 60))))
    plan(here)
    assert (counts(here), work(here).status.terminating) == ((0, 0, 0), 1)
    end(here, all_pods(here)[0], code=137, at=START - 30)
    plan(here)
    assert counts(here) == (1, 0, 1)


def test_the_deadline() -> None:
    here = world("activeDeadlineSeconds: 60")
    assert waits(plan(here)) == [60.0]
    here.now += 59
    assert waits(plan(here)) == [1.0]
    here.now += 1
    plan(here)
    assert conditions(here)["FailureTarget"] == ("True", "DeadlineExceeded")
    kubelet(here)
    plan(here)
    assert conditions(here)["Failed"] == ("True", "DeadlineExceeded")
    assert counts(here) == (0, 0, 1)


# --- suspension


def test_a_suspended_job_has_no_pods_and_starts_anew() -> None:
    here = world("activeDeadlineSeconds: 60\ncompletions: 2\nparallelism: 2")
    plan(here)
    before = work(here)
    here.add(replace(before, spec=replace(before.spec, suspend=True)))
    actions = plan(here)
    assert conditions(here)["Suspended"] == ("True", "JobSuspended")
    assert [each.reason for each in actions if isinstance(each, Emit)][-1] == "Suspended"
    assert running(here) == []
    here.now += 100
    kubelet(here)
    plan(here)
    assert "FailureTarget" not in conditions(here)
    here.now += 1000
    before = work(here)
    here.add(replace(before, spec=replace(before.spec, suspend=False)))
    plan(here)
    assert conditions(here)["Suspended"] == ("False", "JobResumed")
    assert work(here).status.startTime == rfc3339(START + 1100)
    assert len(running(here)) == 2


def test_a_job_that_begins_suspended_has_not_started() -> None:
    here = world("suspend: true")
    plan(here)
    assert work(here).status.startTime is None
    assert all_pods(here) == []
    assert plan(here) == []


# --- indexes


def test_indexed_pods_know_their_index() -> None:
    here = world("completions: 3\nparallelism: 2\ncompletionMode: Indexed")
    plan(here)
    first, second = all_pods(here)
    assert (first.metadata.generateName, first.spec.hostname) == ("work-0-", "work-0")
    assert second.metadata.annotations["batch.kubernetes.io/job-completion-index"] == "1"
    assert second.metadata.labels["batch.kubernetes.io/job-completion-index"] == "1"
    (variable,) = second.spec.containers[0].env
    assert variable.name == "JOB_COMPLETION_INDEX"
    assert variable.valueFrom is not None and variable.valueFrom.fieldRef is not None
    assert "job-completion-index" in variable.valueFrom.fieldRef.fieldPath


def test_each_index_succeeds_once() -> None:
    here = world("completions: 4\nparallelism: 4\ncompletionMode: Indexed")
    plan(here)
    pods = all_pods(here)
    end(here, pods[0])
    end(here, pods[1])
    end(here, pods[3])
    plan(here)
    assert work(here).status.completedIndexes == "0,1,3"
    end(here, pods[2], code=1, at=START - 60)
    plan(here)
    assert [indexes.index_of(each) for each in running(here)] == [2]
    end(here, running(here)[0])
    plan(here)
    assert work(here).status.completedIndexes == "0-3"
    assert counts(here) == (0, 4, 1)
    assert "Complete" in conditions(here)


def test_two_pods_of_one_index_are_one_too_many() -> None:
    here = world("completions: 2\nparallelism: 2\ncompletionMode: Indexed")
    plan(here)
    twin = all_pods(here)[0]
    here.add(replace(twin, metadata=replace(twin.metadata, name="twin", uid="twin")))
    stray = replace(twin.metadata, name="stray", uid="stray", annotations={indexes.INDEX: "7"})
    here.add(replace(twin, metadata=stray))
    plan(here)
    assert sorted(indexes.index_of(each) or 0 for each in running(here)) == [0, 1]


def test_a_limit_per_index_lets_the_others_go_on() -> None:
    here = world("completions: 3\nparallelism: 3\ncompletionMode: Indexed\nbackoffLimitPerIndex: 1")
    plan(here)
    pods = all_pods(here)
    end(here, pods[0], code=1)
    assert waits(plan(here)) == [10.0]
    held = here.get(core_v1.Pod, pods[0].metadata.name or "")
    assert held.metadata.finalizers, "the next pod of index 0 has to learn from it"
    here.now += 10
    plan(here)
    again = next(each for each in running(here) if indexes.index_of(each) == 0)
    assert indexes.failures(again) == 1
    assert here.get(core_v1.Pod, pods[0].metadata.name or "").metadata.finalizers == ()
    end(here, again, code=1)
    plan(here)
    assert work(here).status.failedIndexes == "0"
    end(here, pods[1])
    end(here, pods[2])
    plan(here)
    assert work(here).status.completedIndexes == "1,2"
    assert conditions(here)["Failed"] == ("True", "FailedIndexes")
    assert counts(here) == (0, 2, 2)


def test_too_many_failed_indexes() -> None:
    here = world(
        "completions: 5\nparallelism: 5\ncompletionMode: Indexed\nbackoffLimitPerIndex: 0\nmaxFailedIndexes: 1"
    )
    plan(here)
    for pod in all_pods(here)[:2]:
        end(here, pod, code=1)
    plan(here)
    assert conditions(here)["FailureTarget"] == ("True", "MaxFailedIndexesExceeded")
    assert work(here).status.failedIndexes == "0,1"


@pytest.mark.parametrize(
    ("rule", "succeeding", "met"),
    [
        ("{succeededIndexes: '0,2'}", (0,), False),
        ("{succeededIndexes: '0,2'}", (0, 2), True),
        ("{succeededCount: 2}", (4,), False),
        ("{succeededCount: 2}", (1, 4), True),
        ("{succeededIndexes: '0-3', succeededCount: 1}", (4,), False),
        ("{succeededIndexes: '0-3', succeededCount: 1}", (3,), True),
    ],
)
def test_success_policies(rule: str, succeeding: tuple[int, ...], met: bool) -> None:
    here = world(f"completions: 5\nparallelism: 5\ncompletionMode: Indexed\nsuccessPolicy: {{rules: [{rule}]}}")
    plan(here)
    for pod in all_pods(here):
        if indexes.index_of(pod) in succeeding:
            end(here, pod)
    plan(here)
    assert ("SuccessCriteriaMet" in conditions(here)) is met
    if met:
        assert conditions(here)["SuccessCriteriaMet"][1] == "SuccessPolicy"
        kubelet(here)
        plan(here)
        assert conditions(here)["Complete"] == ("True", "SuccessPolicy")
        assert running(here) == []


@pytest.mark.parametrize(
    ("given", "text"),
    [([], ""), ([0], "0"), ([0, 1], "0,1"), ([2, 0, 1], "0-2"), ([0, 1, 2, 4, 6, 7], "0-2,4,6,7")],
)
def test_sets_of_indexes_as_text(given: list[int], text: str) -> None:
    assert indexes.show(given) == text
    assert indexes.parse(text, 10) == set(given)


def test_indexes_beyond_completions_are_dropped() -> None:
    assert indexes.parse("0-5,8", 4) == {0, 1, 2, 3}
    assert indexes.parse(None, 4) == set()
    assert indexes.first_pending(5, {0, 2}, 2) == [1, 3]


# --- failure policy

RULES = """podFailurePolicy:
  rules:
  - {action: Ignore, onPodConditions: [{type: DisruptionTarget}]}
  - {action: FailJob, onExitCodes: {containerName: main, operator: In, values: [42]}}
  - {action: FailIndex, onExitCodes: {operator: In, values: [7]}}
  - {action: Count, onExitCodes: {operator: NotIn, values: [1]}}"""


def test_a_disrupted_pod_does_not_count() -> None:
    here = world(f"backoffLimit: 0\n{RULES}")
    plan(here)
    end(here, running(here)[0], code=137, at=START - 60, DisruptionTarget="True")
    plan(here)
    assert counts(here) == (1, 0, 0)
    assert all_pods(here)[0].metadata.finalizers == ()


def test_an_exit_code_that_fails_the_job() -> None:
    here = world(f"completions: 2\nparallelism: 2\n{RULES}")
    plan(here)
    pod = running(here)[0]
    end(here, pod, code=42)
    plan(here)
    made = next(each for each in work(here).status.conditions if each.type == "FailureTarget")
    assert made.reason == "PodFailurePolicy"
    assert made.message == (
        f"Container main for pod default/{pod.metadata.name} failed with exit code 42 matching FailJob rule at index 1"
    )
    kubelet(here)
    plan(here)
    assert conditions(here)["Failed"] == ("True", "PodFailurePolicy")


def test_an_exit_code_that_fails_the_index() -> None:
    here = world(f"completions: 2\nparallelism: 2\ncompletionMode: Indexed\nbackoffLimitPerIndex: 3\n{RULES}")
    plan(here)
    end(here, running(here)[0], code=7)
    plan(here)
    assert work(here).status.failedIndexes == "0"
    assert [indexes.index_of(each) for each in running(here)] == [1]


def test_other_failures_count() -> None:
    here = world(RULES)
    plan(here)
    end(here, running(here)[0], code=3)
    plan(here)
    assert counts(here)[2] == 1


# --- counting


def test_what_was_noted_before_a_crash_is_counted_once() -> None:
    here = world("completions: 3\nparallelism: 1")
    plan(here)
    (pod,) = all_pods(here)
    end(here, pod)
    here.refuse = lambda action: internal("crash") if isinstance(action, Patch) else None
    plan(here)
    noted = work(here).status.uncountedTerminatedPods
    assert noted is not None and noted.succeeded == (pod.metadata.uid,)
    assert work(here).status.succeeded is None
    here.refuse = lambda action: None
    plan(here)
    assert work(here).status.succeeded == 1
    assert work(here).status.uncountedTerminatedPods == batch_v1.UncountedTerminatedPods()


def test_a_note_whose_pod_is_gone_is_counted() -> None:
    here = world("completions: 3\nparallelism: 1")
    plan(here)
    (pod,) = all_pods(here)
    end(here, pod)
    here.refuse = lambda action: internal("crash") if isinstance(action, Patch) else None
    plan(here)
    here.remove(here.get(core_v1.Pod, pod.metadata.name or ""))
    here.refuse = lambda action: None
    plan(here)
    assert counts(here) == (1, 1, 0)


def test_a_job_that_is_deleted_makes_nothing_and_frees_its_pods() -> None:
    here = world("completions: 2\nparallelism: 2")
    plan(here)
    before = work(here)
    here.add(replace(before, metadata=replace(before.metadata, deletionTimestamp=rfc3339(START))))
    end(here, running(here)[0])
    plan(here)
    assert [each.metadata.finalizers for each in all_pods(here)] == [(), ()]
    assert len(all_pods(here)) == 2


def test_pods_of_a_job_that_is_gone_are_freed() -> None:
    here = world()
    plan(here)
    here.remove(work(here))
    plan(here)
    assert all_pods(here)[0].metadata.finalizers == ()
    assert plan(here) == []


def test_orphans_are_adopted_with_the_finalizer_and_strangers_released_without() -> None:
    here = world("completions: 2\nparallelism: 2")
    plan(here)
    pod = all_pods(here)[0]
    here.add(replace(pod, metadata=replace(pod.metadata, ownerReferences=(), finalizers=())))
    plan(here)
    adopted = here.get(core_v1.Pod, pod.metadata.name or "")
    assert adopted.metadata.ownerReferences and adopted.metadata.finalizers
    here.add(replace(adopted, metadata=replace(adopted.metadata, labels={})))
    plan(here)
    released = here.get(core_v1.Pod, pod.metadata.name or "")
    assert (released.metadata.ownerReferences, released.metadata.finalizers) == ((), ())


def test_a_refused_pod_is_told_and_tried_again() -> None:
    here = world()
    error: Any = forbidden_error("pods", "", "work-1", "exceeded quota")
    here.refuse = lambda action: error if isinstance(action, Create) else None
    actions = plan(here)
    assert here.ended is error
    assert [each.reason for each in actions if isinstance(each, Emit)] == ["FailedCreate"]
    assert isinstance(actions[-1], Update)
