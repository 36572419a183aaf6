"""Jobs: how many pods when, what failures mean, and that every pod counts once."""

from __future__ import annotations

from msgspec.structs import replace

from sampan.api.types import core_v1
from sampan.controllers.job import policy
from sampan.runtime.actions import Create, Emit
from sampan.runtime.clock import rfc3339
from sampan.testing.world import START
from tests.controllers.jobs import all_pods, conditions, counts, end, kubelet, plan, running, waits, work, world

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
