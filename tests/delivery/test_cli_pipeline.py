"""`sampan pipeline` as it is typed, against an API server; runs are written as the runner writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sampan.testing.thread import ServedCluster
from tests.delivery.conftest import Run

COMMIT = "0123456789abcdef0123456789abcdef01234567"
STAGES = [
    {"name": "Test", "phase": "Failed", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:05Z"},
    {"name": "Build", "phase": "Skipped", "message": "the pipeline ended before"},
]


@pytest.fixture
def ended(sampan: Run, served_cluster: ServedCluster, tmp_path: Path) -> None:
    """Two runs of web: one that is well, and one that failed."""
    for number, phase, message, stages in ((1, "Succeeded", None, []), (2, "Failed", "stage Test: no", STAGES)):
        document: dict[str, Any] = {
            "apiVersion": "sampan.dev/v1",
            "kind": "PipelineRun",
            "metadata": {"name": f"web-{number}"},
            "spec": {
                "app": "web",
                "source": {"ref": "refs/heads/main", "commit": COMMIT},
                "trigger": {"kind": "push", "by": "ann", "message": "a change"},
            },
        }
        file = tmp_path / "run.yaml"
        file.write_text(yaml.safe_dump(document))
        said = sampan("create", "-f", str(file))
        assert said.code == 0, said.all
        status = {
            "phase": phase,
            "number": number,
            "message": message,
            "stages": stages,
            "startedAt": "2026-01-01T00:00:00Z",
            "finishedAt": "2026-01-01T00:00:09Z",
        }
        body = json.dumps({"status": status})
        said = sampan("patch", "run", f"web-{number}", "--subresource", "status", "--type", "merge", "-p", body)
        assert said.code == 0, said.all


def test_a_jenkinsfile_is_checked_without_a_cluster(sampan: Run, tmp_path: Path) -> None:
    file = tmp_path / "Jenkinsfile"
    file.write_text("pipeline { agent any\nstages { stage('A') { steps { sh 'x' } } } }")
    assert sampan("pipeline", "--check", str(file)).out == f"{file} is well: stages A\n"
    file.write_text("pipeline { agent any\nstagess { } }")
    said = sampan("pipeline", "--check", str(file))
    assert said.code == 1
    assert said.err == "error: Jenkinsfile, line 2: stagess is no section of pipeline; did you mean stages?\n"
    assert "no such file" in sampan("pipeline", "--check", str(tmp_path / "none")).err


@pytest.mark.usefixtures("ended")
def test_the_list_and_one_run(sampan: Run) -> None:
    lines = sampan("pipeline", "web").out.splitlines()
    assert lines[0].split() == ["RUN", "BRANCH", "COMMIT", "PHASE", "TOOK", "AGE", "WHY"]
    assert lines[1].split()[:5] == ["2", "main", "01234567", "Failed", "9s"]
    assert lines[1].endswith("stage Test: no")
    assert lines[2].endswith("push by ann: a change")
    said = sampan("pipeline", "web", "last")
    assert said.code == 0
    assert said.out.splitlines() == [
        "run 2 of web: main, push by ann: a change",
        "  Test   Failed        5s",
        "  Build  Skipped           the pipeline ended before",
        "Failed after 9s: stage Test: no",
        "next: mend it and push again, or run it again: sampan pipeline web --start",
    ]
    assert sampan("pipeline", "web", "2", "-f").code == 1
    assert sampan("pipeline", "web", "1", "-f").code == 0


@pytest.mark.usefixtures("ended")
def test_what_is_not_there(sampan: Run) -> None:
    assert sampan("pipeline", "web", "9").err == "error: web has no run 9; there are 1, 2\n"
    assert "has no runs yet" in sampan("pipeline", "other").out
    assert "there are none yet" in sampan("pipeline", "other", "last").err
    assert "run 2 of web has ended: Failed" in sampan("pipeline", "web", "--abort", "2").err
    assert "name one app" in sampan("pipeline").err


@pytest.mark.usefixtures("ended")
def test_starting_by_hand_and_aborting(sampan: Run) -> None:
    said = sampan("pipeline", "web", "--start", "--branch", "next", "-p", "A=1")
    assert said.code == 0, said.all
    assert "a run of web was started: next" in said.err
    listed = yaml.safe_load(sampan("get", "runs", "-o", "yaml").out)["items"]
    made = next(each for each in listed if each["spec"]["trigger"]["kind"] == "manual")
    assert made["spec"]["source"] == {"ref": "refs/heads/next"}
    assert made["spec"]["parameters"] == {"A": "1"}
    assert sampan("pipeline", "web", "--start", "-p", "A").err == "error: -p A: write A=VALUE\n"
    name = made["metadata"]["name"]
    body = json.dumps({"status": {"number": 3}})
    sampan("patch", "run", name, "--subresource", "status", "--type", "merge", "-p", body)
    assert "run 3 of web will end" in sampan("pipeline", "web", "--abort", "3").err
    assert sampan("get", "run", name, "-o", "jsonpath={.spec.abort}").out == "true"


@pytest.mark.usefixtures("ended")
def test_why_tells_of_the_last_run(sampan: Run) -> None:
    said = sampan("why", "web")
    assert said.code == 1
    assert "The last run of its pipeline failed: run 2, main at 01234567." in said.out
    assert "stage Test: no" in said.out
    assert "sampan pipeline web 2" in said.out


def test_a_log_is_asked_for_only_where_it_can_be(sampan: Run, ended: None) -> None:
    path = "/apis/sampan.dev/v1/namespaces/default/pipelineruns"
    said = sampan("get", "--raw", f"{path}/web-1/log")
    assert said.code == 1
    assert "run web-1 has no log yet" in said.err
    assert 'pipelineruns.sampan.dev "none" not found' in sampan("get", "--raw", f"{path}/none/log").err
