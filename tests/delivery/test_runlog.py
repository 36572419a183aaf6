"""The log of a run: followed from its first line, masked, bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sampan.delivery import runlog
from sampan.delivery.runlog import RunLog
from sampan.runtime.clock import settle


async def test_followers_get_all_lines_until_the_end(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "logs" / "a.log")
    await log.write("one")

    async def read() -> list[str]:
        return [line async for line in log.follow()]

    async with asyncio.TaskGroup() as group:
        early = group.create_task(read())
        await settle()
        await log.write("two\nthree")
        await settle()
        late = group.create_task(read())
        await settle()
        await log.write("")
        await log.close()
    assert early.result() == late.result() == ["one", "two", "three", ""]
    assert runlog.lines(log.path) == early.result()
    assert log.path.stat().st_mode & 0o777 == 0o600


async def test_secrets_are_masked_the_longest_first(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "a.log")
    for secret in ("pass", "password", "-----BEGIN\nabc\n-----END", " "):
        log.mask(secret)
    await log.write("password pass abc -----END and a space")
    await log.close()
    assert runlog.lines(log.path) == ["**** **** **** **** and a space"]


async def test_a_log_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runlog, "LIMIT", 1 << 20)
    log = RunLog(tmp_path / "a.log")
    for _ in range(20):
        await log.write("x" * 100_000)
    await log.close()
    assert log.path.stat().st_size < (1 << 20) + 100
    assert runlog.lines(log.path)[-1] == "the log ends here: it has 1 MiB"


def test_a_log_that_is_gone_has_no_lines(tmp_path: Path) -> None:
    assert runlog.lines(tmp_path / "none") == []
