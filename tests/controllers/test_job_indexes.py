"""Indexed Jobs, failure and success policies, and that every pod counts once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.errors import forbidden_error, internal
from sampan.api.types import batch_v1, core_v1
from sampan.controllers.job import indexes
from sampan.runtime.actions import Create, Emit, Patch, Update
from sampan.runtime.clock import rfc3339
from sampan.testing.world import START
from tests.controllers.jobs import all_pods, conditions, counts, end, kubelet, plan, running, waits, work, world

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
