"""The pipeline of a repository without a Jenkinsfile, and what follows one."""

from __future__ import annotations

import json

import pytest

from sampan.delivery import pipeline
from sampan.delivery.running import default

MAIN = ("refs/heads/main",)


def package(script: object) -> dict[str, str]:
    return {"package.json": json.dumps({"scripts": {"test": script}})}


@pytest.mark.parametrize(
    ("files", "texts", "command", "why"),
    [
        (["app.py"], {}, "", "there are no tests"),
        (["app.py", "test_app.py"], {}, "pytest", "test_app.py is a test"),
        (["app.py", "tests/test_a.py"], {}, "discover -v -s tests", "tests/test_a.py is a test"),
        (["tests/__init__.py", "tests/test_a.py"], {}, "discover -v -s tests -t .", "tests/test_a.py is a test"),
        (["app_test.py"], {}, "unittest discover", "app_test.py is a test"),
        (["index.js"], package("jest"), "npm test", "package.json has a test: jest"),
        (["index.js"], package('echo "Error: no test specified" && exit 1'), "", "there are no tests"),
        (["index.js"], package(7), "", "there are no tests"),
        (["index.js"], {"package.json": "{"}, "", "there are no tests"),
        (["index.js"], {"package.json": "[]"}, "", "there are no tests"),
    ],
)
def test_which_tests_there_are(files: list[str], texts: dict[str, str], command: str, why: str) -> None:
    found, said = default.tests(files, texts)
    assert command in found
    assert bool(found) == bool(command)
    assert why in said


def test_without_tests_the_stage_is_left_out_and_says_why() -> None:
    made = default.pipeline([], {})
    assert [stage.name for stage in made.pipeline.stages] == ["Test", "Build"]
    assert list(made.left_out) == ["Test"]
    assert made.left_out["Test"].startswith("there are no tests")


def read(stages: str) -> pipeline.Pipeline:
    return pipeline.read(f"pipeline {{ agent any\nstages {{ {stages} }} }}")


def test_what_follows_a_jenkinsfile() -> None:
    plain = read("stage('A') { steps { sh 'a' } }")
    stages, why = default.following(plain, "refs/heads/main", MAIN)
    assert ([stage.name for stage in stages], why) == (["Build", "Deploy"], "")
    assert default.following(plain, "refs/heads/x", MAIN) == (
        (),
        "nothing is deployed: refs/heads/x is not refs/heads/main",
    )
    own = read("stage('A') { steps { retry(2) { sampanDeploy() } } }")
    assert default.following(own, "refs/heads/main", MAIN) == ((), "the Jenkinsfile deploys by itself")


def test_names_of_stages_stay_different() -> None:
    stages, _ = default.following(read("stage('Build') { steps { sh 'a' } }"), "refs/heads/main", MAIN)
    assert [stage.name for stage in stages] == ["Build image", "Deploy"]
