"""The pipeline of a repository without a Jenkinsfile, and what follows one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
        (["index.js"], {"package.json": "[" * 100_000}, "", "there are no tests"),
    ],
)
def test_which_tests_there_are(files: list[str], texts: dict[str, str], command: str, why: str) -> None:
    found, said = default.tests(files, texts)
    assert command in found
    assert bool(found) == bool(command)
    assert why in said


TEST = "import unittest\n\n\nclass One(unittest.TestCase):\n    def test_it(self):\n        assert {holds}\n"


@pytest.mark.parametrize("with_pytest", [True, False])
@pytest.mark.parametrize("place", ["test_one.py", "tests/test_one.py", "tests/__init__.py tests/test_one.py"])
@pytest.mark.parametrize("holds", [True, False])
def test_the_command_runs_them(tmp_path: Path, with_pytest: bool, place: str, holds: bool) -> None:
    names = place.split()
    work = tmp_path / "work"
    for name in names:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(TEST.format(holds=holds) if name.endswith("_one.py") else "")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    if not with_pytest:
        (hidden / "pytest.py").write_text("raise ImportError\n")
    command, _ = default.tests(names, {})
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONPATH": str(hidden)}
    words = ["sh", "-xe", "-c", command]
    done = subprocess.run(words, cwd=work, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == holds, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert (("1 passed" if holds else "1 failed") if with_pytest else "Ran 1 test") in said


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
