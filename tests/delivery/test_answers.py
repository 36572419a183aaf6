"""Logs and artifacts, as the node's server gives them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from sampan.delivery import answers
from sampan.delivery.places import Places
from sampan.http.types import Request, Response


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places(tmp_path)
    made.log("default", "web-1").parent.mkdir(parents=True)
    made.log("default", "web-1").write_text("one\ntwo\n")
    kept = made.artifacts("default", "web-1")
    kept.mkdir(parents=True)
    (kept / "report.txt").write_bytes(b"x" * 300_000)
    (kept / "out").symlink_to("/etc/hostname")
    return made


async def ask(places: Places, target: str, method: str = "GET") -> Response:
    nobody = cast(Any, None)
    rest = target.partition("?")[0].split("/")
    return await answers.answer(nobody, places, Request(method, f"/delivery/{target}", {}, b""), rest)


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("log/default/web-1", 200, b"one\ntwo\n"),
        ("log/default/none", 200, b""),
        ("artifacts/default/web-1", 200, b'[{"path":"report.txt","size":300000}]'),
        ("artifacts/default/web-1?path=report.txt", 200, b"x" * 300_000),
        ("artifacts/default/web-1?path=../web-1", 404, b"../web-1: leads out\n"),
        ("artifacts/default/none", 200, b"[]"),
    ],
)
async def test_what_is_asked_for(places: Places, target: str, status: int, body: bytes) -> None:
    answered = await ask(places, target)
    assert (answered.status, await answered.read()) == (status, body)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("artifacts/default/web-1?path=out", 404),
        ("artifacts/default/web-1?path=/etc/hostname", 404),
        ("log/../web-1", 400),
        ("log/default/..", 400),
        ("other/default/web-1", 404),
        ("log/default", 404),
    ],
)
async def test_what_nobody_gets(places: Places, target: str, status: int) -> None:
    assert (await ask(places, target)).status == status


async def test_an_answer_that_nobody_reads_holds_no_file(places: Places) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for target in ("log/default/web-1", "artifacts/default/web-1?path=report.txt"):
        assert (await ask(places, target, "HEAD")).status == 200
    assert len(os.listdir("/proc/self/fd")) == before
    assert (await ask(places, "log/default/web-1", "POST")).status == 405
