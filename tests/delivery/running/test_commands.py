"""The commands that the runner starts on the node, as root, beside what somebody has pushed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.delivery.running import commands


async def test_what_was_pushed_is_no_part_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = f"open({str(tmp_path / 'taken')!r}, 'w').close()\n"
    pushed = tmp_path / "pushed"
    for module in ("sampan/__init__.py", "json.py", "argparse.py", "sitecustomize.py", "usercustomize.py"):
        (pushed / module).parent.mkdir(parents=True, exist_ok=True)
        (pushed / module).write_text(evil)
    monkeypatch.chdir(pushed)
    said: list[str] = []

    async def say(line: str) -> None:
        said.append(line)

    code, printed = await commands.sampan(("deploy", str(pushed), "--help"), tmp_path / "kubeconfig", say)
    assert not (tmp_path / "taken").exists()
    assert code == 0, said
    assert any("sampan deploy" in line for line in printed)
