"""Every step and block: against an executor that notes."""

from __future__ import annotations

import pytest

from sampan.delivery.pipeline import BLOCKS, STEPS
from sampan.delivery.running import blocks, steps
from sampan.delivery.running.outcomes import Result
from tests.delivery.running.recording import Played, Recorder, play

GOOD = b'<testsuite><testcase classname="a" name="b"/><testcase name="c"><skipped/></testcase></testsuite>'
BAD = b'<testsuites><testsuite><testcase classname="a" name="b"><failure/></testcase></testsuite></testsuites>'


async def one(lines: str, **more: object) -> Played:
    return await play(f"stage('A') {{ steps {{\n{lines}\n}} }}", **more)  # type: ignore[arg-type]


def with_files(**files: bytes) -> dict[str, object]:
    def prepare(recorder: Recorder) -> None:
        recorder.files = {name.replace("__", "/").replace("_", "."): data for name, data in files.items()}

    return {"prepare": prepare}


def with_secrets(**secrets: dict[str, str]) -> dict[str, object]:
    def prepare(recorder: Recorder) -> None:
        recorder.secrets = secrets

    return {"prepare": prepare}


def test_every_step_that_is_understood_is_done() -> None:
    assert steps.STEPS.keys() == STEPS
    assert blocks.BLOCKS.keys() == BLOCKS


async def test_return_status_does_not_fail() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.codes["a"] = [3]

    played = await one("sh script: 'a', returnStatus: true\nsh 'b'", prepare=prepare)
    assert played.scripts == ["a", "b"]
    assert played.outcome.result == Result.SUCCESS


async def test_return_stdout_keeps_the_output_out_of_the_log() -> None:
    played = await one("sh script: 'a', returnStdout: true, label: 'quiet'")
    assert "+ a" not in played.recorder.lines
    assert "# quiet" in played.recorder.lines


async def test_a_script_of_many_lines_is_named_by_its_first() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.codes["\n# all\nmake all\nmake more\n"] = [1]

    played = await one("sh '''\n# all\nmake all\nmake more\n'''", prepare=prepare)
    assert played.message("A") == "`make all...` ended with exit code 1"


async def test_echo_writes_each_line() -> None:
    played = await one("echo 'one\\ntwo'")
    assert played.recorder.lines[1:3] == ["one", "two"]


async def test_archive() -> None:
    files = with_files(build__a_jar=b"", build__b_jar=b"", build__b_txt=b"")
    played = await one("archiveArtifacts artifacts: 'build/*.jar', excludes: '**/b.*'", **files)
    assert ("archive", "build/a.jar") in played.recorder.calls
    assert "archived 1 file: build/a.jar" in played.recorder.lines


async def test_archive_of_nothing_fails_unless_that_is_wanted() -> None:
    played = await one("archiveArtifacts 'dist/*'")
    assert played.message("A") == "archiveArtifacts: no file is called dist/*; links are not followed"
    played = await one("archiveArtifacts artifacts: 'dist/*', allowEmptyArchive: true")
    assert played.outcome.result == Result.SUCCESS


async def test_junit_sums_up_and_failures_are_unstable() -> None:
    played = await one("junit 'reports/*.xml'", **with_files(reports__a_xml=GOOD, reports__b_xml=BAD))
    assert played.outcome.result == Result.UNSTABLE
    assert played.message("A") == "3 tests, 1 failed, 1 skipped: a.b"


async def test_junit_that_is_well() -> None:
    played = await one("dir('reports') { junit '*.xml' }", **with_files(reports__a_xml=GOOD))
    assert (played.outcome.result, played.message("A")) == (Result.SUCCESS, "2 tests, 1 skipped")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"nothing", "it is no XML"),
        (b"<html/>", "it has no <testsuite>"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><testsuite>&a;</testsuite>', "it declares entities"),
    ],
)
async def test_junit_refuses_what_is_no_report(data: bytes, words: str) -> None:
    played = await one("junit 'a.xml'", **with_files(a_xml=data))
    assert words in played.message("A")


async def test_junit_without_reports() -> None:
    assert "no report is called *.xml" in (await one("junit '*.xml'")).message("A")
    assert (await one("junit testResults: '*.xml', allowEmptyResults: true")).outcome.result == Result.SUCCESS


async def test_checkout_knows_scm_alone() -> None:
    played = await one("checkout scm\ndeleteDir()")
    assert played.recorder.calls == [("checkout", ""), ("clear", "")]
    assert "checkout scm" in (await one("checkout([$class: 'GitSCM'])")).message("A")


async def test_sleep_takes_its_unit() -> None:
    played = await one("sleep time: 2, unit: 'MINUTES'")
    (state,) = played.interpreter.states
    assert (state.finished or 0) - (state.started or 0) == 120


async def test_stash_and_unstash() -> None:
    played = await one("stash name: 's', includes: '**/*.o'\ndir('x') { unstash 's' }", **with_files(a__b_o=b""))
    assert ("unstash", "s", "x", "a/b.o") in played.recorder.calls
    assert "there is no stash t" in (await one("unstash 't'")).message("A")


async def test_dir_nests_and_stays_inside() -> None:
    played = await one("dir('a') { dir('./b/../c') { sh 'x' } }")
    assert ("sh", "x", "a/c") in played.recorder.calls
    for path in ("../..", "/etc"):
        played = await one(f"dir('{path}') {{ sh 'x' }}")
        assert "workspace" in played.message("A")
        assert played.scripts == []


async def test_with_env() -> None:
    played = await one("withEnv(['A=1', 'PATH+TOOLS=/opt/bin']) { sh 'in' }\nsh 'out'")
    assert played.recorder.environments["in"] == {"A": "1", "PATH": "/opt/bin:$PATH"}
    assert played.recorder.environments["out"] == {}
    assert "no name of a variable" in (await one("withEnv(['a;b=1']) { sh 'x' }")).message("A")
    assert "write A=VALUE" in (await one("withEnv(['A']) { sh 'x' }")).message("A")


async def test_credentials_come_from_secrets_and_are_masked() -> None:
    text = """
        pipeline { agent any
          environment { TOKEN = credentials('token')
            LOGIN = credentials('login') }
          stages { stage('A') { steps { sh 'x'
            echo "it is ${TOKEN}, ${LOGIN_PSW} of ${LOGIN_USR}" } } } }"""
    secrets = with_secrets(token={"value": "s3cret"}, login={"username": "ann", "password": "pa55"})
    played = await play(text, **secrets)  # type: ignore[arg-type]
    assert played.recorder.environments["x"] == {
        "TOKEN": "s3cret",
        "LOGIN": "ann:pa55",
        "LOGIN_USR": "ann",
        "LOGIN_PSW": "pa55",
    }
    assert "it is ****, **** of ann" in played.recorder.lines


async def test_with_credentials() -> None:
    secrets = with_secrets(token={"value": "s3cret"}, login={"username": "ann", "password": "pa55"})
    played = await one(
        """withCredentials([string(credentialsId: 'token', variable: 'T'),
             usernamePassword(credentialsId: 'login', usernameVariable: 'U', passwordVariable: 'P'),
             usernameColonPassword(credentialsId: 'login', variable: 'UP'),
             file(credentialsId: 'token', variable: 'F')]) { sh 'x' }
           sh 'y'""",
        **secrets,
    )
    expected = {"T": "s3cret", "U": "ann", "P": "pa55", "UP": "ann:pa55", "F": "/sampan/secret-1"}
    assert played.recorder.environments["x"] == expected
    assert played.recorder.environments["y"] == {}
    assert {"s3cret", "pa55", "ann:pa55"} <= set(played.recorder.masked)


@pytest.mark.parametrize(
    ("binding", "words"),
    [
        ("string(credentialsId: 'nobody', variable: 'T')", "there is no secret nobody"),
        ("string(variable: 'T')", "needs a credentialsId"),
        ("string(credentialsId: 'token')", "needs variable"),
        ("certificate(credentialsId: 'token')", "withCredentials knows"),
        ("string(credentialsId: 'many', variable: 'T')", "secret many has a, b"),
        ("usernameColonPassword(credentialsId: 'token', variable: 'T')", "has no username and password"),
    ],
)
async def test_credentials_that_are_wrong(binding: str, words: str) -> None:
    secrets = with_secrets(token={"value": "x"}, many={"a": "1", "b": "2"})
    played = await one(f"withCredentials([{binding}]) {{ sh 'x' }}", **secrets)
    assert words in played.message("A")
    assert played.scripts == []


async def test_timeout_retry_and_catch_as_blocks() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.waits["slow"] = 100
        recorder.codes["flaky"] = [1, 0]
        recorder.codes["bad"] = [1]

    played = await one(
        """retry(2) { sh 'flaky' }
           catchError(buildResult: 'UNSTABLE', stageResult: 'FAILURE', message: 'it is known') { sh 'bad' }
           timeout(time: 5, unit: 'SECONDS') { sh 'slow' }
           sh 'never'""",
        prepare=prepare,
    )
    assert played.scripts == ["flaky", "flaky", "bad", "slow"]
    assert played.outcome.result == Result.ABORTED
    assert played.outcome.message == "stage A: timeout: the steps in it took longer than 5 s"


async def test_catch_error_goes_on_with_the_results_that_it_names() -> None:
    def prepare(recorder: Recorder) -> None:
        recorder.codes["bad"] = [1]

    text = "stage('A') { steps { catchError(buildResult: 'UNSTABLE', stageResult: 'FAILURE') { sh 'bad' } } }"
    played = await play(text + "\nstage('B') { steps { sh 'b' } }", prepare=prepare)
    assert played.phases == {"A": "Failed", "B": "Succeeded"}
    assert played.outcome.result == Result.UNSTABLE
    played = await one("catchError { sh 'bad' }", prepare=prepare)
    assert (played.outcome.result, played.phases) == (Result.FAILURE, {"A": "Succeeded"})
    assert "LOST is no result" in (await one("catchError(buildResult: 'LOST') { error 'x' }")).message("A")


async def test_deploy_builds_what_nobody_built() -> None:
    played = await one("sampanDeploy()")
    assert played.recorder.calls == [("build", False), ("deploy", "sampan.dev/apps/web:1")]
    assert played.message("A") == "release 4"
