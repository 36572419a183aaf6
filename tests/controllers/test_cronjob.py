"""CronJobs: when they are due, what they start, and what they keep."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from sampan.api.types import batch_v1
from sampan.controllers import cronjob
from sampan.controllers.cronjob.schedule import parse
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Delete, Emit, Requeue
from sampan.runtime.clock import rfc3339, unix
from sampan.testing.cluster import Cluster
from sampan.testing.plans import names
from sampan.testing.world import START, World

CRON = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "%s"
  %s
  jobTemplate:
    metadata: {labels: {a: b}, annotations: {c: d}}
    spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: i}]}}}
"""


def world(schedule: str = "*/5 * * * *", more: str = "suspend: false") -> tuple[World, Any]:
    controller = cronjob.declare(Settings())
    here = World(controller)
    here.load(CRON % (schedule, more))

    def plan() -> list[Action]:
        return here.plan(controller, "tick")

    return here, plan


def tick(here: World) -> batch_v1.CronJob:
    return here.get(batch_v1.CronJob, "tick")


def jobs(here: World) -> list[batch_v1.Job]:
    return here.all(batch_v1.Job)


def finish(here: World, job: batch_v1.Job, type: str = "Complete") -> None:
    condition = batch_v1.JobCondition(type=type, status="True")
    end = rfc3339(here.now) if type == "Complete" else None
    here.add(replace(job, status=replace(job.status, conditions=(condition,), completionTime=end)))


def waits(actions: list[Action]) -> list[float]:
    return [each.after for each in actions if isinstance(each, Requeue)]


# --- schedules


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("schedule", "now", "then"),
    [
        ("* * * * *", "2027-01-15T08:00:00", "2027-01-15T08:01:00"),
        ("*/15 * * * *", "2027-01-15T08:00:01", "2027-01-15T08:15:00"),
        ("0 * * * *", "2027-01-15T08:00:00", "2027-01-15T09:00:00"),
        ("30 6 * * *", "2027-01-15T08:00:00", "2027-01-16T06:30:00"),
        ("0 0 1 * *", "2027-01-15T08:00:00", "2027-02-01T00:00:00"),
        ("0 0 29 2 *", "2027-01-15T08:00:00", "2028-02-29T00:00:00"),
        ("0 12 * * mon-fri", "2027-01-15T13:00:00", "2027-01-18T12:00:00"),
        ("0 12 * * 0", "2027-01-15T13:00:00", "2027-01-17T12:00:00"),
        ("0 0 13 * 5", "2027-01-15T13:00:00", "2027-01-22T00:00:00"),
        ("0 0 */10 * *", "2027-01-15T13:00:00", "2027-01-21T00:00:00"),
        ("5,10-20/5 3 * jun ?", "2027-01-15T13:00:00", "2027-06-01T03:05:00"),
        ("10/20 * * * *", "2027-01-15T13:31:00", "2027-01-15T13:50:00"),
        ("@hourly", "2027-01-15T13:31:00", "2027-01-15T14:00:00"),
        ("@weekly", "2027-01-15T13:31:00", "2027-01-17T00:00:00"),
        ("@yearly", "2027-01-15T13:31:00", "2028-01-01T00:00:00"),
        ("@every 1h30m", "2027-01-15T13:31:00", "2027-01-15T15:01:00"),
        ("@every 90s", "2027-01-15T13:31:00", "2027-01-15T13:32:30"),
    ],
)
def test_next_time(schedule: str, now: str, then: str) -> None:
    found = parse(schedule).after(at(now))
    assert found is not None and datetime.fromtimestamp(found, UTC).isoformat() == f"{then}+00:00"


def test_a_day_that_never_comes() -> None:
    assert parse("0 0 30 2 *").after(START) is None


@pytest.mark.parametrize(
    ("now", "then"),
    [
        # Berlin's clocks go from 2:00 to 3:00 on 28 March 2027, and from 3:00 back to 2:00 on 31 October.
        ("2027-01-15T00:00:00", "2027-01-15T01:30:00"),
        ("2027-06-15T00:30:00", "2027-06-16T00:30:00"),
        ("2027-03-27T02:00:00", "2027-03-29T00:30:00"),
    ],
)
def test_time_zones(now: str, then: str) -> None:
    found = parse("30 2 * * *", "Europe/Berlin").after(at(now))
    assert found is not None and datetime.fromtimestamp(found, UTC).isoformat() == f"{then}+00:00"


@pytest.mark.parametrize("schedule", ["", "* * * *", "61 * * * *", "* * * * 7", "5-1 * * * *", "@every x", "a * * * *"])
def test_what_is_no_schedule(schedule: str) -> None:
    with pytest.raises(ValueError):
        parse(schedule)


# --- starting


def test_nothing_is_due_before_its_time() -> None:
    here, plan = world()
    assert waits(plan()) == [300.0]
    assert jobs(here) == []


def test_a_job_is_made_when_it_is_time() -> None:
    here, plan = world()
    here.now += 300
    actions = plan()
    (job,) = jobs(here)
    assert job.metadata.name == f"tick-{int(START + 300) // 60}"
    assert job.metadata.labels == {"a": "b"}
    assert job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] == rfc3339(START + 300)
    assert job.metadata.annotations["c"] == "d"
    assert job.metadata.ownerReferences[0].controller
    assert unix(tick(here).status.lastScheduleTime) == START + 300
    assert [each.name for each in tick(here).status.active] == [job.metadata.name]
    assert waits(actions) == [300.0]
    plan()
    assert len(jobs(here)) == 1


def test_of_several_missed_times_the_last_counts() -> None:
    here, plan = world()
    here.now += 1000
    plan()
    assert [unix(tick(here).status.lastScheduleTime)] == [START + 900]
    assert len(jobs(here)) == 1


def test_very_many_missed_times_are_told() -> None:
    here, plan = world("* * * * *")
    here.now += 86400
    actions = plan()
    assert "TooManyMissedTimes" in [each.reason for each in actions if isinstance(each, Emit)]
    assert unix(tick(here).status.lastScheduleTime) == START + 86400


def test_what_is_too_late_is_left_out() -> None:
    here, plan = world("0 * * * *", "startingDeadlineSeconds: 100")
    here.now += 3600 + 101
    plan()
    assert jobs(here) == []
    here.now = START + 7200 + 99
    plan()
    assert len(jobs(here)) == 1


def test_a_suspended_one_starts_nothing() -> None:
    here, plan = world(more="suspend: true")
    here.now += 600
    assert waits(plan()) == []
    assert jobs(here) == []


def test_a_zone_that_is_unknown_is_told() -> None:
    _, plan = world(more="timeZone: Mars/Olympus")
    actions = plan()
    assert [each.reason for each in actions if isinstance(each, Emit)] == ["UnknownTimeZone"]


def test_a_job_that_exists_already_is_not_made_twice() -> None:
    here, plan = world()
    here.now += 300
    plan()
    before = tick(here)
    here.add(replace(before, status=batch_v1.CronJobStatus()))
    plan()
    assert len(jobs(here)) == 1
    assert len(tick(here).status.active) == 1


# --- concurrency


@pytest.mark.parametrize(("policy", "running"), [("Allow", 2), ("Forbid", 1), ("Replace", 1)])
def test_concurrency(policy: str, running: int) -> None:
    here, plan = world(more=f"concurrencyPolicy: {policy}")
    here.now += 300
    plan()
    first = jobs(here)[0].metadata.name
    here.now += 300
    actions = plan()
    assert len(jobs(here)) == running
    assert len(tick(here).status.active) == running
    if policy == "Replace":
        assert jobs(here)[0].metadata.name != first
    if policy == "Forbid":
        assert "JobAlreadyActive" in [each.reason for each in actions if isinstance(each, Emit)]
        finish(here, jobs(here)[0])
        plan()
        assert len(jobs(here)) == 2, "the missed time is made up for"


# --- history


def test_finished_jobs_are_seen_and_kept_up_to_the_limits() -> None:
    here, plan = world(more="successfulJobsHistoryLimit: 2\n  failedJobsHistoryLimit: 1")
    for number in range(5):
        here.now = START + 300 * (number + 1)
        plan()
        newest = max(jobs(here), key=lambda job: job.metadata.name or "")
        finish(here, newest, "Failed" if number in (1, 3) else "Complete")
        plan()
    actions = plan()
    left = sorted(job.metadata.name or "" for job in jobs(here))
    base = int(START) // 60
    assert left == [f"tick-{base + 15}", f"tick-{base + 20}", f"tick-{base + 25}"]
    assert tick(here).status.active == ()
    assert unix(tick(here).status.lastSuccessfulTime) == START + 1500
    assert not [each for each in actions if isinstance(each, Delete)]


def test_a_job_that_somebody_deleted_is_missed() -> None:
    here, plan = world()
    here.now += 300
    plan()
    here.remove(jobs(here)[0])
    actions = plan()
    assert "MissingJob" in [each.reason for each in actions if isinstance(each, Emit)]
    assert tick(here).status.active == ()
    assert "Create" not in " ".join(names(actions))


# --- on a whole cluster


async def test_a_job_every_second(cluster: Cluster) -> None:
    await cluster.apply((CRON % ("@every 1s", "suspend: false")).replace("tick", "quick"))
    done = await cluster.wait_for(batch_v1.CronJob, "quick", lambda each: each.status.lastScheduleTime)
    assert done.status.lastScheduleTime
    await cluster.wait_until(batch_v1.Job, lambda found: len(found) >= 1)
