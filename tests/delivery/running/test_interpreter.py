"""Stages, post, retry, timeout, parallel, abort: against an executor that notes."""

from __future__ import annotations

import pytest

from sampan.delivery.conditions import Facts
from sampan.delivery.running import default
from sampan.delivery.running.outcomes import Result
from tests.delivery.running.recording import Recorder, play


async def test_stages_run_in_turn_with_one_agent() -> None:
    played = await play("stage('A') { steps { sh 'a' } }\nstage('B') { steps { sh 'b' } }")
    assert played.scripts == ["a", "b"]
    assert played.outcome.result == Result.SUCCESS
    assert played.phases == {"A": "Succeeded", "B": "Succeeded"}
    assert len(played.recorder.slots) == 1
    assert [line.rpartition(" in ")[0] for line in played.recorder.lines if "succeeded" in line] == [
        "stage A: succeeded",
        "stage B: succeeded",
    ]


async def test_a_failed_stage_ends_the_pipeline_and_says_where() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.codes["make test"] = [2]

    played = await play("stage('A') { steps { sh 'make test' } }\nstage('B') { steps { sh 'b' } }", prepare=prepare)
    assert played.scripts == ["make test"]
    assert played.phases == {"A": "Failed", "B": "Skipped"}
    assert played.outcome.message == "stage A: `make test` ended with exit code 2"
    assert played.message("B") == "stage A did not succeed"


async def test_a_stage_within_a_stage_is_named_once() -> None:
    played = await play("stage('Out') { stages { stage('In') { steps { error 'no' } } } }")
    assert played.phases == {"Out": "Failed", "In": "Failed"}
    assert played.outcome.message == "stage In: no"


async def test_unstable_goes_on() -> None:
    played = await play("stage('A') { steps { unstable 'shaky' } }\nstage('B') { steps { sh 'b' } }")
    assert played.outcome.result == Result.UNSTABLE
    assert played.phases == {"A": "Unstable", "B": "Succeeded"}
    assert played.outcome.message == "stage A: shaky"


POST = "".join(
    f"{name} {{ echo '{name}' }}\n"
    for name in (
        *("cleanup", "unsuccessful", "unstable", "success", "failure", "aborted", "regression", "fixed", "changed"),
        "always",
    )
)


@pytest.mark.parametrize(
    ("steps", "previous", "expected"),
    [
        ("sh 'a'", None, "always success cleanup"),
        ("sh 'a'", Result.SUCCESS, "always success cleanup"),
        ("sh 'a'", Result.FAILURE, "always changed fixed success cleanup"),
        ("unstable 'x'", Result.SUCCESS, "always changed regression unstable unsuccessful cleanup"),
        ("error 'x'", Result.SUCCESS, "always changed regression failure unsuccessful cleanup"),
        ("error 'x'", Result.FAILURE, "always failure unsuccessful cleanup"),
    ],
)
async def test_post_in_jenkins_order(steps: str, previous: Result | None, expected: str) -> None:
    text = f"pipeline {{ agent any\nstages {{ stage('A') {{ steps {{ {steps} }} }} }}\npost {{ {POST} }} }}"
    played = await play(text, previous=previous)
    said = [line for line in played.recorder.lines if not line.startswith(("stage", "post", "+", "unstable:"))]
    assert " ".join(said) == expected


async def test_post_that_fails_makes_the_stage_fail_and_the_rest_of_post_still_runs() -> None:
    played = await play("""
        stage('A') { steps { sh 'a' }
          post { always { error 'post broke' }  success { sh 'not' }  failure { sh 'failure' }  cleanup { sh 'c' } } }
        stage('B') { steps { sh 'b' } }""")
    assert played.scripts == ["a", "failure", "c"]
    assert played.phases == {"A": "Failed", "B": "Skipped"}
    assert played.outcome.message == "stage A: post always: post broke"


async def test_post_knows_the_result() -> None:
    played = await play(
        "stage('A') { steps { error 'x' }\npost { always { echo \"it is ${currentBuild.currentResult}\" } } }"
    )
    assert "it is FAILURE" in played.recorder.lines


async def test_when_skips_a_stage_with_all_in_it() -> None:
    played = await play("""
        stage('A') { when { branch 'release' }
          stages { stage('B') { steps { sh 'b' } } } }
        stage('C') { when { branch 'main' }
          steps { sh 'c' } }""")
    assert played.phases == {"A": "Skipped", "B": "Skipped", "C": "Succeeded"}
    assert played.outcome.result == Result.SUCCESS


async def test_when_sees_the_environment_of_its_stage() -> None:
    played = await play("""
        stage('A') { environment { MODE = 'fast' }
          when { environment name: 'MODE', value: 'fast' }
          steps { sh 'a' } }""")
    assert played.scripts == ["a"]


async def test_retry_repeats_a_stage() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.codes["a"] = [1, 1, 0]

    text = "stage('A') { options { retry(3) }\nstages { stage('In') { steps { sh 'a' } } } }"
    played = await play(text, prepare=prepare)
    assert played.scripts == ["a", "a", "a"]
    assert played.phases == {"A": "Succeeded", "In": "Succeeded"}
    assert any("attempt 2 of 3 failed" in line for line in played.recorder.lines)


async def test_retry_gives_up() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.codes["a"] = [1]

    text = "pipeline { agent any\noptions { retry(2) }\nstages { stage('A') { steps { sh 'a' } } } }"
    played = await play(text, prepare=prepare)
    assert played.scripts == ["a", "a"]
    assert played.outcome.result == Result.FAILURE


async def test_a_timeout_aborts_the_stage_and_runs_its_post() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.waits["slow"] = 1000

    played = await play(
        """
        stage('A') { options { timeout(time: 2, unit: 'MINUTES') }
          steps { sh 'slow' }
          post { aborted { sh 'clean' } } }
        stage('B') { steps { sh 'b' } }""",
        prepare=prepare,
    )
    assert played.recorder.cancelled == ["slow"]
    assert played.scripts == ["slow", "clean"]
    assert played.outcome.result == Result.ABORTED
    assert played.outcome.message == "stage A: it took longer than 2 min"
    assert played.phases == {"A": "Aborted", "B": "Skipped"}


async def test_a_timeout_of_the_pipeline_runs_the_posts_of_stages_within() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.waits["slow"] = 1000

    text = """
        pipeline { agent any
          options { timeout(time: 30, unit: 'SECONDS') }
          stages { stage('A') { stages { stage('In') { steps { sh 'slow' }
            post { always { sh 'in' } } } } } }
          post { always { sh 'out' } } }"""
    played = await play(text, prepare=prepare)
    assert played.scripts == ["slow", "in", "out"]
    assert played.outcome.result == Result.ABORTED
    assert played.phases == {"A": "Aborted", "In": "Aborted"}


async def test_parallel_stages_run_at_once_and_all_of_them_to_their_end() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.waits |= {"a": 10, "b": 10, "c": 20}
        recorder.codes["a"] = [1]

    text = "stage('All') { parallel { stage('A') { steps { sh 'a' } }\nstage('B') { steps { sh 'b' } }\n"
    played = await play(text + "stage('C') { steps { sh 'c' } } } }", prepare=prepare)
    assert played.phases == {"All": "Failed", "A": "Failed", "B": "Succeeded", "C": "Succeeded"}
    assert played.outcome.message == "stage A: `a` ended with exit code 1"
    assert "[B] + b" in played.recorder.lines


async def test_fail_fast_ends_the_others() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.waits |= {"a": 10, "b": 500}
        recorder.codes["a"] = [1]

    text = """stage('All') { failFast true
        parallel { stage('A') { steps { sh 'a' } }
          stage('B') { steps { sh 'b' }
            post { aborted { sh 'clean b' } } } } }"""
    played = await play(text, prepare=prepare)
    assert played.recorder.cancelled == ["b"]
    assert played.scripts == ["a", "b", "clean b"]
    assert played.phases == {"All": "Failed", "A": "Failed", "B": "Aborted"}
    assert played.message("B") == "stage A failed, and failFast is set"
    assert played.outcome.result == Result.FAILURE


async def test_an_abort_ends_what_runs_and_runs_post() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.waits["slow"] = 1000

    text = """
        pipeline { agent any
          stages { stage('A') { steps { sh 'slow' } }
            stage('B') { steps { sh 'b' } } }
          post { aborted { sh 'aborted' } failure { sh 'failure' } } }"""
    played = await play(text, prepare=prepare, abort_at=5)
    assert played.scripts == ["slow", "aborted"]
    assert played.outcome.result == Result.ABORTED
    assert played.outcome.message == "somebody asked for it"
    assert played.phases == {"A": "Aborted", "B": "Skipped"}


async def test_post_of_an_aborted_run_does_not_last_for_ever() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.waits |= {"slow": 1000, "for ever": 1e9}

    text = "pipeline { agent any\nstages { stage('A') { steps { sh 'slow' } } }\npost { always { sh 'for ever' } } }"
    played = await play(text, prepare=prepare, abort_at=5)
    assert played.recorder.cancelled == ["slow", "for ever"]
    assert any("post always took longer than 5 min" in line for line in played.recorder.lines)


async def test_each_stage_with_an_agent_has_its_own() -> None:
    played = await play("""
        pipeline { agent none
          stages {
            stage('A') { agent { docker 'python:3' }
              steps { sh 'a' } }
            stage('B') { agent any
              steps { sh 'b' } }
            stage('C') { steps { sh 'c' } } } }""")
    assert [slot.agent.image for slot in played.recorder.slots] == ["python:3", ""]
    assert played.outcome.message == "stage C: sh needs an agent: stage 'C' has none; write agent any in it"
    assert [state.pod for state in played.interpreter.states] == ["pod-0", "pod-1", ""]


async def test_an_agent_that_cannot_start_fails_the_stage() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.broken_agent = "the image nowhere:1 cannot be had"

    played = await play("stage('A') { steps { sh 'a' } }", prepare=prepare)
    assert played.outcome.message == "stage A: the image nowhere:1 cannot be had"


async def test_stages_that_follow_run_when_all_is_well() -> None:
    played = await play("stage('A') { steps { sh 'a' } }", after=(default.BUILDING, *default.DEPLOYING))
    assert played.recorder.calls[-2:] == [("build", True), ("deploy", "sampan.dev/apps/web:1")]
    assert (played.outcome.image, played.outcome.release) == ("sampan.dev/apps/web:1", 4)
    assert played.message("Build") == "sampan.dev/apps/web:1"


async def test_nothing_is_deployed_when_tests_are_shaky() -> None:
    played = await play("stage('A') { steps { unstable 'x' } }", after=(default.BUILDING, *default.DEPLOYING))
    assert ("build", True) not in played.recorder.calls
    assert played.message("Deploy") == "the stages before ended unstable"


async def test_a_failed_rollout_fails_the_stage_with_its_words() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.deploy_fails = "0 of 2 pods of the new version ready"

    text = """pipeline { agent any
        stages { stage('Ship') { steps { sampanBuild()
            sampanDeploy() } } }
        post { failure { echo 'told' } } }"""
    played = await play(text, prepare=prepare)
    assert played.outcome.message == "stage Ship: 0 of 2 pods of the new version ready"
    assert "told" in played.recorder.lines


async def test_a_reference_that_leads_nowhere_fails_its_stage() -> None:
    played = await play("stage('A') { steps { echo \"${NOBODY}\" } }")
    assert "NOBODY is neither in environment nor in parameters" in played.outcome.message


async def test_parameters_and_environment_reach_scripts() -> None:
    text = """
        pipeline { agent any
          environment { WHO = 'world'
            GREETING = "hello ${WHO}" }
          stages { stage('A') { environment { WHO = 'you' }
            steps { sh "say ${params.HOW}"
              sh 'env' } } } }"""
    facts = Facts(branch="main", params={"HOW": "loud"}, env={"BUILD_NUMBER": "7"})
    played = await play(text, facts=facts)
    assert played.scripts == ["say loud", "env"]
    assert played.recorder.environments["env"] == {"BUILD_NUMBER": "7", "WHO": "you", "GREETING": "hello world"}


async def test_an_agent_starts_before_the_timeouts_in_its_stage() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.starts = 100

    text = "stage('A') { steps { echo 'first'\ntimeout(time: 5, unit: 'SECONDS') { sh 'a' } } }"
    played = await play(text, prepare=prepare)
    assert played.outcome.result == Result.SUCCESS
    text = "stage('A') { options { timeout(time: 5, unit: 'SECONDS') }\nsteps { sh 'a' } }"
    assert (await play(text, prepare=prepare)).outcome.result == Result.ABORTED


async def test_a_timeout_within_a_retry_is_tried_again() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.waits["slow"] = 100

    text = "stage('A') { steps { retry(3) { timeout(time: 5, unit: 'SECONDS') { sh 'slow' } } } }"
    played = await play(text, prepare=prepare)
    assert played.scripts == ["slow"] * 3
    assert played.outcome.result == Result.ABORTED


async def test_an_abort_reaches_all_parallel_stages_and_their_posts() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.waits |= {"a": 1000, "b": 1000}

    text = "stage('All') { parallel { " + "\n".join(
        f"stage('{name.upper()}') {{ steps {{ sh '{name}' }}\npost {{ always {{ sh 'after {name}' }} }} }}"
        for name in "ab"
    )
    played = await play(text + " }\npost { always { sh 'after all' } } }", prepare=prepare, abort_at=5)
    assert sorted(played.recorder.cancelled) == ["a", "b"]
    assert sorted(played.scripts[2:4]) == ["after a", "after b"]
    assert played.scripts[4:] == ["after all"]
    assert set(played.phases.values()) == {"Aborted"}
