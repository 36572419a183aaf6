"""Which runs begin, wait, give way, end and are forgotten."""

from __future__ import annotations

from typing import Any

from sampan.api.extra.pipelinerun_v1 import PipelineRun, PipelineRunSpec, PipelineRunStatus, RunSource, RunTrigger
from sampan.api.types import meta_v1
from sampan.delivery import schedule
from sampan.delivery.schedule import End, Forget, Number, Start, Stop, Wait, decide

NODE = "here"


def run(name: str, number: int = 0, phase: str = "Pending", **more: Any) -> PipelineRun:
    source = RunSource(url=more.get("url"), ref=more.get("ref", "refs/heads/main"), commit="0" * 40)
    return PipelineRun(
        metadata=meta_v1.ObjectMeta(
            name=name,
            namespace=more.get("namespace", "default"),
            creationTimestamp=f"2026-01-01T00:00:{more.get('second', number):02d}Z",
        ),
        spec=PipelineRunSpec(
            app=more.get("app", "web"),
            source=source,
            trigger=RunTrigger(kind=more.get("kind", "manual")),
            abort=more.get("abort"),
        ),
        status=PipelineRunStatus(number=number or None, phase=phase, node=more.get("node")),
    )


def key(name: str) -> tuple[str, str]:
    return "default", name


def test_a_new_run_gets_the_next_number_and_begins_with_it() -> None:
    new = run("b", second=9)
    assert decide([run("a", 4, "Succeeded"), new], (), NODE) == [Number(new, 5)]
    numbered = run("b", 5)
    assert decide([run("a", 4, "Succeeded"), numbered], (), NODE) == [Start(numbered)]


def test_numbers_count_each_app_by_itself() -> None:
    first, second, other = run("a", second=1), run("b", second=2), run("c", second=3, app="api")
    numbers = [each for each in decide([second, other, first], (), NODE) if isinstance(each, Number)]
    assert numbers == [Number(first, 1), Number(second, 2), Number(other, 1)]


def test_one_run_of_an_app_at_a_time() -> None:
    first, second = run("a", 1), run("b", 2)
    assert decide([first, second], (), NODE) == [Wait(second, "run 1 of web comes first"), Start(first)]
    working = run("a", 1, "Running", node=NODE)
    assert decide([working, second], {key("a")}, NODE) == [Wait(second, "run 1 of web goes on")]


def test_apps_run_beside_each_other_up_to_the_limit() -> None:
    """Each in a namespace of its own."""
    runs = [run(f"r{at}", at, app=f"app{at}", namespace=f"n{at}") for at in range(1, schedule.LIMIT + 2)]
    actions = decide(runs, (), NODE)
    assert actions[: schedule.LIMIT] == [Start(each) for each in runs[: schedule.LIMIT]]
    assert actions[schedule.LIMIT :] == [Wait(runs[-1], f"{schedule.LIMIT} pipelines run at the same time")]


def test_no_namespace_takes_all_places() -> None:
    """Two apps whose steps never end must not keep the deliveries of all others waiting."""
    working = [run(f"r{at}", 1, "Running", app=f"app{at}", node=NODE) for at in range(schedule.OF_ONE)]
    more, other = run("more", 2, app="more"), run("other", 3, namespace="shop")
    actions = decide([*working, more, other], {key(each.metadata.name or "") for each in working}, NODE)
    why = f"{schedule.OF_ONE} pipelines of namespace default run at the same time"
    assert actions == [Wait(more, why), Start(other)]


def test_a_push_that_waits_gives_way_to_a_newer_one_of_its_branch() -> None:
    old, other, new = (
        run("a", 2, kind="push"),
        run("b", 3, kind="push", ref="refs/heads/next"),
        run("c", 4, kind="webhook"),
    )
    working = run("w", 1, "Running", node=NODE)
    actions = decide([working, old, other, new], {key("w")}, NODE)
    assert actions == [
        End(old, "run 4 is about a newer commit of main"),
        Wait(other, "run 1 of web goes on"),
        Wait(new, "run 1 of web goes on"),
    ]


def test_what_was_started_by_hand_waits_its_turn() -> None:
    by_hand, push = run("a", 2), run("b", 3, kind="push")
    working = run("w", 1, "Running", node=NODE)
    assert not [each for each in decide([working, by_hand, push], {key("w")}, NODE) if isinstance(each, End)]


def test_an_abort_reaches_runs_that_wait_and_that_work() -> None:
    waiting, working = run("a", 2, abort=True), run("w", 1, "Running", node=NODE, abort=True)
    assert decide([waiting, working], {key("w")}, NODE) == [
        Stop(key("w"), "somebody asked for it"),
        End(waiting, "somebody asked for it before it began"),
    ]


def test_a_deleted_run_is_stopped() -> None:
    assert decide([], {key("w")}, NODE) == [Stop(key("w"), "its PipelineRun was deleted")]


def test_a_run_that_nobody_works_on_any_more_ends() -> None:
    lost, elsewhere = run("a", 1, "Running", node=NODE), run("b", 1, "Running", node="there", app="api")
    assert decide([lost, elsewhere], (), NODE) == [
        End(lost, "the node's process ended while it ran; start it again"),
    ]


def test_only_the_last_runs_are_kept() -> None:
    runs = [run(f"r{at}", at, "Succeeded") for at in range(1, schedule.KEPT + 4)]
    assert decide(runs, (), NODE) == [Forget(each) for each in runs[:3]]


def test_more_than_enough_that_wait() -> None:
    runs = [run(f"r{at}", at) for at in range(1, schedule.WAITING + 3)]
    ends = [each for each in decide(runs, {key("w")}, NODE) if isinstance(each, End)]
    assert [each.run for each in ends] == runs[:2]
