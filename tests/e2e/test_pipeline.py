"""Pipelines with real containers: from a commit to a release, and everything that may go wrong on the way."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.e2e.machine import Machine, eventually
from tests.e2e.projects import Project

pytestmark = [pytest.mark.e2e]

HELLO = "sampan.dev/hello:v1"
WHOLE = """\
pipeline {
  agent any
  options { timeout(time: 5, unit: 'MINUTES') }
  parameters { string(name: 'WHO', defaultValue: 'world') }
  environment {
    TOKEN = credentials('api-token')
    LOGIN = credentials('login')
    GREETING = "hello ${params.WHO}"
  }
  stages {
    stage('Prepare') {
      steps {
        sh 'echo "$GREETING, run $BUILD_NUMBER of $JOB_NAME on $BRANCH_NAME"; echo "the token is $TOKEN"'
        sh '''#!/bin/sh
          test "$LOGIN_USR:$LOGIN_PSW" = "$LOGIN" && echo "the login of $LOGIN_USR is whole"
        '''
        stash name: 'page', includes: '*.html'
      }
    }
    stage('Check') {
      parallel {
        stage('Unit') {
          steps {
            sh '''mkdir -p reports
              echo '<testsuite><testcase classname="a" name="b"/><testcase name="c"/></testsuite>' > reports/unit.xml'''
            junit 'reports/*.xml'
          }
        }
        stage('Elsewhere') {
          agent { docker 'sampan.dev/hello:v1' }
          steps {
            dir('elsewhere') { unstash 'page'
              sh 'cat index.html; pwd' }
            withCredentials([file(credentialsId: 'api-token', variable: 'FILE')]) { sh 'wc -c < "$FILE"' }
          }
        }
        stage('Not here') {
          when { branch 'release' }
          steps { error 'never' }
        }
      }
    }
    stage('Package') {
      steps {
        retry(2) { sh 'test -e once || { touch once; exit 7; }' }
        sh 'mkdir -p dist; cp index.html dist/page.html; ln -s /etc/passwd dist/leak.html; ln -s /etc dist/etc'
        archiveArtifacts 'dist/**'
      }
      post { success { echo 'packaged' } }
    }
  }
  post { always { echo "it ends as ${currentBuild.currentResult}" }
         failure { echo 'never' } }
}
"""


@pytest.fixture
def project(machine: Machine, namespace: str, tmp_path: Path) -> Project:
    return Project(machine, namespace, tmp_path / "source")


def test_without_a_jenkinsfile_a_commit_is_built_and_deployed(project: Project) -> None:
    said = project.run("the first page")
    assert "no Jenkinsfile: there are no tests" in said
    assert project.stages() == {"Test": "Skipped", "Build": "Succeeded", "Deploy": "Succeeded"}
    assert project.page() == "one\n"
    assert re.search(r"^Succeeded after ", said, re.MULTILINE)
    status = project.last()["status"]
    assert (status["number"], status["release"]) == (1, 1)
    assert status["image"].startswith("sampan.dev/apps/site:")
    app = project.machine.get("app", "site", "-n", project.namespace)
    assert app["spec"]["source"]["git"]["ref"] == "main"
    project.write("index.html", "two\n")
    project.run("the second page")
    assert project.page() == "two\n"
    assert "the second page" in project.sampan("releases", "site")
    assert [line.split()[:2] for line in project().splitlines()[1:]] == [["2", "main"], ["1", "main"]]
    assert project.agents() == []
    assert project.left() == []


def test_another_branch_is_built_and_not_deployed(project: Project) -> None:
    said = project.run("an idea", branch="idea")
    assert "nothing is deployed: refs/heads/idea is not" in said
    assert project.stages() == {"Test": "Skipped", "Build": "Succeeded"}


def test_a_whole_jenkinsfile(project: Project, tmp_path: Path) -> None:
    secret = ("create", "secret", "generic", "-n", project.namespace)
    project.machine.kubectl(*secret, "api-token", "--from-literal=value=s3cr3t-42")
    project.machine.kubectl(*secret, "login", "--from-literal=username=ann", "--from-literal=password=pa55w0rd")
    project.write("Jenkinsfile", WHOLE)
    said = project.run("all of it", "-p", "WHO=you")
    assert "hello you, run 1 of site on main" in said
    assert "the token is ****" in said
    assert "the login of ann is whole" in said
    assert "s3cr3t-42" not in said
    assert "pa55w0rd" not in said
    assert "[Elsewhere] one" in said
    assert "[Elsewhere] /workspace/elsewhere" in said
    assert "[Elsewhere] 9" in said
    assert "attempt 1 of 2 failed" in said
    assert "archived 1 file: dist/page.html" in said
    assert "packaged" in said
    assert "it ends as SUCCESS" in said
    assert project.stages() == {
        **dict.fromkeys(("Prepare", "Check", "Unit", "Elsewhere", "Package", "Build", "Deploy"), "Succeeded"),
        "Not here": "Skipped",
    }
    unit = next(stage for stage in project.last()["status"]["stages"] if stage["name"] == "Unit")
    assert unit["message"] == "2 tests"
    project("--artifacts", "1", "--to", str(tmp_path / "kept"))
    assert [path.name for path in sorted((tmp_path / "kept").rglob("*"))] == ["dist", "page.html"]
    assert (tmp_path / "kept" / "dist" / "page.html").read_text() == "one\n"
    assert project.page() == "one\n"
    assert project.agents() == []


def test_a_failing_stage_deploys_nothing_and_why_says_so(project: Project) -> None:
    project.run("well")
    project.write("index.html", "broken\n")
    project.write("Jenkinsfile", "pipeline { agent any\nstages { stage('Test') { steps { sh 'echo no; exit 3' } } } }")
    said = project.run("broken", code=1)
    assert "Failed after" in said
    assert "stage Test: `echo no; exit 3` ended with exit code 3" in said
    assert project.stages() == {"Test": "Failed", "Build": "Skipped", "Deploy": "Skipped"}
    assert project.page() == "one\n"
    said = project.sampan("why", "site")
    assert "The last run of its pipeline failed: run 2" in said
    assert "sampan pipeline site 2" in said


def test_a_broken_jenkinsfile_names_its_line(project: Project) -> None:
    project.write("Jenkinsfile", "pipeline { agent any\n  stagess { } }")
    said = project.run("typed in a hurry", code=1)
    assert "Jenkinsfile, line 2: stagess is no section of pipeline; did you mean stages?" in said


def test_a_rollout_that_fails_keeps_the_version_before(project: Project) -> None:
    project.run("well")
    project.write("Dockerfile", (project.folder / "Dockerfile").read_text().replace('"httpd", "-f"', '"false", "-f"'))
    said = project.run("it crashes", code=1)
    assert project.stages() == {"Test": "Skipped", "Build": "Succeeded", "Deploy": "Failed"}
    assert re.search(r"stage Deploy: .* exit code 1, .*the version before still serves with 1 pod", said)
    assert project.page() == "one\n"
    project.git("revert", "--no-edit", "HEAD")
    project.run("mended")
    assert project.page() == "one\n"


def test_an_image_that_does_not_build_names_its_step(project: Project) -> None:
    project.write("Dockerfile", (project.folder / "Dockerfile").read_text().replace("index.html", "missing.html"))
    said = project.run("forgot a file", code=1)
    assert "missing.html is not in the build context" in said
    assert "stage Build: the image was not built" in said
    assert "The last run of its pipeline failed" in project.sampan("why", "site", code=1)


def test_an_abort_ends_the_agents_and_runs_post(project: Project) -> None:
    project.write(
        "Jenkinsfile",
        "pipeline { agent any\nstages { stage('Long') { steps { sh 'echo it sleeps; sleep 600' } } }\n"
        "post { aborted { sh 'echo tidied up' } } }",
    )
    project.push("long")
    with project.start("--start", "-f") as following:
        assert following.stdout is not None
        for line in following.stdout:
            if line.strip() == "it sleeps":
                break
        assert len(project.agents()) == 1
        project("--abort", "1")
        said = following.stdout.read()
    assert following.returncode == 1
    assert "tidied up" in said
    assert "Aborted after" in said
    assert "somebody asked for it" in said
    assert project.agents() == []
    assert project.left() == []


def test_a_deleted_run_takes_its_agents_along(project: Project) -> None:
    project.write("Jenkinsfile", "pipeline { agent any\nstages { stage('Long') { steps { sh 'sleep 600' } } } }")
    project.push("long")
    project("--start")
    eventually(project.agents, "an agent")
    name = project.last()["metadata"]["name"]
    project.machine.kubectl("-n", project.namespace, "delete", "run", name, "--timeout=60s")
    eventually(lambda: not project.agents(), "the end of the agent")
    eventually(lambda: not project.left(), "the end of the workspace")


def test_a_node_that_is_killed_leaves_no_run_behind(project: Project) -> None:
    project.write("Jenkinsfile", "pipeline { agent any\nstages { stage('Long') { steps { sh 'sleep 600' } } } }")
    project.push("long")
    project("--start")
    eventually(project.agents, "an agent")
    os.kill(project.machine.pids()["node"], signal.SIGKILL)
    eventually(lambda: project.last()["status"]["phase"] == "Aborted", "the end of the run")
    assert "the node's process ended while it ran" in project.last()["status"]["message"]
    eventually(lambda: not project.agents(), "the end of the agent")
    project.git("rm", "-q", "Jenkinsfile")
    eventually(lambda: "True" in _ready(project.machine), "a node that is ready again")
    project.run("again")
    assert project.page() == "one\n"


def _ready(machine: Machine) -> str:
    path = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
    return machine.kubectl("get", "nodes", "-o", path).stdout


@pytest.mark.parametrize("name", ["app.yaml", "requirements.txt"])
def test_a_repository_with_a_link_to_the_node_is_not_built(project: Project, name: str) -> None:
    (project.folder / name).symlink_to("/etc/shadow")
    said = project.run("a trap", code=1)
    assert f"{name} is a link that leads out of the repository" in said
    assert "root:" not in said


def test_an_agent_without_a_shell_is_explained(project: Project) -> None:
    project.write("Dockerfile", "FROM scratch\nCOPY index.html /\n")
    project.write("Jenkinsfile", "pipeline { agent any\nstages { stage('A') { steps { sh 'true' } } } }")
    said = project.run("nothing in it", code=1)
    assert "has no sh, which steps are run with" in said
    assert project.agents() == []


def test_an_agent_of_an_image_that_is_nowhere(project: Project) -> None:
    text = "pipeline { agent { docker 'nowhere.invalid/x:1' }\nstages { stage('A') { steps { sh 'true' } } } }"
    project.write("Jenkinsfile", text)
    said = project.run("no such image", code=1)
    assert "the image nowhere.invalid/x:1 cannot be had" in said


def test_pod_security_that_forbids_agents_is_explained(project: Project) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    project.machine.kubectl("label", "namespace", project.namespace, label)
    project.write("Jenkinsfile", "pipeline { agent any\nstages { stage('A') { steps { sh 'true' } } } }")
    said = project.run("too strict", code=1)
    assert f"pod security of namespace {project.namespace} forbids agents" in said


def test_credentials_that_are_missing_tell_how_to_make_them(project: Project) -> None:
    text = (
        "pipeline { agent any\nenvironment { A = credentials('nobody') }\nstages { stage('A') { steps { sh 'x' } } } }"
    )
    project.write("Jenkinsfile", text)
    said = project.run("no secret", code=1)
    assert f"sampan create secret generic nobody -n {project.namespace}" in said


def test_a_viewer_reads_runs_and_logs_and_starts_nothing(project: Project) -> None:
    project.run("well")
    name = project.last()["metadata"]["name"]
    kubectl, where = project.machine.kubectl, ("-n", project.namespace)
    kubectl(*where, "create", "rolebinding", "viewers", "--clusterrole=view", "--user=bob")
    path = f"/apis/sampan.dev/v1/namespaces/{project.namespace}/pipelineruns/{name}/log"
    assert "stage Build: succeeded" in kubectl("get", "--raw", path, "--as=bob").stdout
    assert kubectl("auth", "can-i", "create", "runs", *where, "--as=bob", check=False).stdout.strip() == "no"
    refused = kubectl("get", "--raw", path, "--as=eve", check=False)
    assert "forbidden" in refused.stderr.lower()
