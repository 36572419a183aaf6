"""What the executor does besides pods: scripts as agents run them, images and words of a failed rollout."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from sampan.api.extra.pipelinerun_v1 import PipelineRun
from sampan.api.extra.sampan_v1 import App, AppStatus
from sampan.api.types import meta_v1
from sampan.config import ClusterConfig
from sampan.delivery.running import executor
from sampan.delivery.running.contracts import StepFailed
from sampan.delivery.running.lines import LONGEST, Lines


def test_a_script_gets_its_environment_whatever_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "STEPS", str(tmp_path))
    monkeypatch.setattr(executor, "WORKSPACE", str(tmp_path / "work space"))
    nasty = "a 'b' \"c\" $HOME `id` \\\nnext; rm -rf x"
    environment = {"NASTY": nasty, "PATH": "/opt/x y:$PATH"}
    script = 'pwd\nprintf "%s" "$NASTY" > out\ncase "$PATH" in "/opt/x y:/"*) echo found;; esac\nfalse\necho never\n'
    place = tmp_path / "1"
    executor._write_script(place, script, environment, "sub dir")
    assert (place / "run").stat().st_mode & 0o777 == 0o600
    done = subprocess.run(["sh", str(place / "run")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    where = tmp_path / "work space" / "sub dir"
    assert done.stdout.splitlines()[:2] == ["+ pwd", str(where)]
    assert "found" in done.stdout.splitlines()
    assert "never" not in done.stdout.splitlines()
    assert done.stderr == ""
    assert (where / "out").read_text() == nasty


def test_a_script_with_an_interpreter_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "STEPS", str(tmp_path))
    monkeypatch.setattr(executor, "WORKSPACE", str(tmp_path))
    executor._write_script(tmp_path / "1", "#!/usr/bin/env python3\nprint(6 * 7)\n", {}, "")
    done = subprocess.run(["sh", str(tmp_path / "1" / "run")], capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"


def test_why_a_rollout_failed() -> None:
    def condition(type: str, status: str, reason: str, message: str) -> meta_v1.Condition:
        return meta_v1.Condition(type=type, status=status, reason=reason, message=message, lastTransitionTime="")

    conditions = (
        condition("ImageBuilt", "True", "Found", "well"),
        condition("Published", "False", "Waiting", "waits"),
        condition("PodsReady", "False", "ReleaseFailed", "0 of 2 pods ready"),
    )
    said = ["error: something else"]
    assert executor._why(App(status=AppStatus(conditions=conditions)), said) == "0 of 2 pods ready"
    assert executor._why(App(), said) == "something else"
    assert executor._why(None, ["after 600 s it is not done"]) == "after 600 s it is not done"
    assert executor._why(None, []) == "it was not deployed"


async def test_a_description_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    """`sampan deploy` runs as root, and would quote the node's file in the run's log."""
    origin = tmp_path / "origin"
    subprocess.run(["git", "init", "-q", "-b", "main", str(origin)], check=True)
    (origin / "app.yaml").symlink_to("/etc/shadow")
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    for words in (("add", "-A"), (*who, "commit", "-q", "-m", "x")):
        subprocess.run(["git", "-C", str(origin), *words], check=True)
    head = subprocess.run(["git", "-C", str(origin), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    job = executor.Job(
        run=PipelineRun(metadata=meta_v1.ObjectMeta(name="web-1", namespace="default")),
        cluster=ClusterConfig(data_root=tmp_path),
        bare=origin,
        commit=head.stdout.strip(),
        subject="x",
        url="https://forge.example/web.git",
        branch="main",
        root=tmp_path / "run",
        artifacts=tmp_path / "artifacts",
        kubeconfig=tmp_path / "kubeconfig",
    )
    said: list[str] = []

    async def say(line: str) -> None:
        said.append(line)

    nobody = cast(Any, None)
    with pytest.raises(StepFailed, match="app.yaml is a link that leads out"):
        await executor.PodExecutor(job, nobody, nobody, nobody).deploy("web:1", say)
    assert said == []


async def test_lines_of_pieces() -> None:
    told: list[str] = []

    async def out(line: str) -> None:
        told.append(line)

    lines = Lines(out)
    for piece in (b"on", b"e\ntw", b"o\r\n\n", "\u00e9".encode()[:1], "\u00e9".encode()[1:]):
        await lines.take(piece)
    assert told == ["one", "two", ""]
    await lines.rest()
    assert told[-1] == "\u00e9"
    await lines.take(b"x" * (LONGEST + 1))
    assert len(told[-1]) == LONGEST + 1
    nobody = Lines(None)
    await nobody.take(b"dropped\n")
    await nobody.rest()
