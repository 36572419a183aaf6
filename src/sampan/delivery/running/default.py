"""The pipeline of a repository without a Jenkinsfile, and what follows one that does not deploy. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sampan.delivery.pipeline import Agent, Pipeline, Stage, Step
from sampan.delivery.running.interpreter import flat, uses

TEST, BUILD, DEPLOY = "Test", "Build", "Deploy"
READ = ("package.json",)
"""Files whose text decides."""
PYTHON = """\
if python3 -c 'import pytest' 2>/dev/null; then exec python3 -m pytest -q; fi
exec python3 -m unittest discover -v {where}"""
NO_TEST = "no test specified"
"""What npm writes into a package.json that has none."""
MAIN = ("main", "master")


def tests(files: Collection[str], texts: Mapping[str, str]) -> tuple[str, str]:
    """The command that runs the tests, and why it is that one; without a command why there is none."""
    script = _npm(texts.get("package.json", ""))
    if script:
        return "npm test", f"package.json has a test: {script}"
    python = sorted(path for path in files if _is_python_test(path))
    if python:
        where = "-s tests -t ." if all(path.startswith("tests/") for path in python) else ""
        packaged = "tests/__init__.py" in files
        return PYTHON.format(where=where if packaged else where.removesuffix(" -t .")), f"{python[0]} is a test"
    return "", "there are no tests: neither test_*.py nor a test in package.json"


def _npm(text: str) -> str:
    try:
        document: Any = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return ""
    scripts = document.get("scripts") if isinstance(document, dict) else None
    script = scripts.get("test") if isinstance(scripts, dict) else None
    return script if isinstance(script, str) and script.strip() and NO_TEST not in script else ""


def _is_python_test(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


class Made(NamedTuple):
    pipeline: Pipeline
    left_out: Mapping[str, str]
    """Stages that do not run, and why."""
    said: str


def pipeline(files: Collection[str], texts: Mapping[str, str]) -> Made:
    """Test and build; deploying is for those branches that are deployed."""
    command, why = tests(files, texts)
    stage = Stage(TEST, 0, steps=(Step("sh", 0, {"script": command}),))
    left_out = {} if command else {TEST: why}
    return Made(Pipeline(Agent(), (stage, BUILDING)), left_out, f"no Jenkinsfile: {why}")


BUILDING = Stage(BUILD, 0, steps=(Step("sampanBuild", 0, {"clean": True}),))
"""Of the commit as it is, whatever tests have left in the workspace."""
DEPLOYING = (Stage(DEPLOY, 0, steps=(Step("sampanDeploy", 0),)),)


def following(given: Pipeline, ref: str, wanted: Sequence[str]) -> tuple[tuple[Stage, ...], str]:
    """The stages after those of a Jenkinsfile, and why there are none. `wanted` are the refs that are deployed."""
    stages = flat(given.stages)
    if any(uses(stage.steps, "sampanDeploy") for stage in stages):
        return (), "the Jenkinsfile deploys by itself"
    if ref not in wanted:
        return (), f"nothing is deployed: {ref} is not {' or '.join(wanted)}"
    taken = {stage.name for stage in stages}
    return tuple(_named(stage, taken) for stage in (BUILDING, *DEPLOYING)), ""


def _named(stage: Stage, taken: Collection[str]) -> Stage:
    """A Jenkinsfile may have a stage Build of its own."""
    name = stage.name if stage.name not in taken else {BUILD: "Build image", DEPLOY: "Deploy app"}[stage.name]
    while name in taken:
        name += " (Sampan)"
    return replace(stage, name=name)
