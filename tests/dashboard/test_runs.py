"""Runs of a pipeline in the console: their stages in a row, each run's page, in both languages."""

from __future__ import annotations

from typing import Any

from tests.dashboard.chromium import Browser
from tests.dashboard.conftest import Console, sign_in

RUNS = "/apis/sampan.dev/v1/namespaces/default/pipelineruns"
APPS = "/apis/sampan.dev/v1/namespaces/default/apps"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
STAGES = "[...document.querySelectorAll('.stages li')].map((each) => `${each.className}:${each.innerText}`).join('|')"


async def made(console: Console, name: str, **status: Any) -> None:
    run = {
        "apiVersion": "sampan.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"name": name},
        "spec": {
            "app": "web",
            "source": {"ref": "refs/heads/main", "commit": COMMIT},
            "trigger": {"kind": "push", "by": "ann", "message": "<i>faster</i>"},
        },
    }
    there = await console.create(RUNS, run)
    await console.put(f"{RUNS}/{name}/status", {**there, "status": {"phase": "Pending", **status}})


def stage(name: str, phase: str, **more: str) -> dict[str, str]:
    return {"name": name, "phase": phase, **more}


async def test_an_apps_runs_with_their_stages(console: Console, chrome: Browser) -> None:
    app = {"apiVersion": "sampan.dev/v1", "kind": "App", "metadata": {"name": "web"}}
    await console.create(APPS, {**app, "spec": {"source": {"image": "example.test/web:1"}, "port": 80}})
    page = await chrome.page()
    await sign_in(page, console.url, console.token)
    await page.run("location.hash = '#/app/default/web'")
    await page.wait_text("sampan remote web", "main")
    times = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:05Z"}
    stages = [
        stage("Test", "Succeeded", **times),
        stage("Build", "Failed", message="no disk"),
        stage("Deploy", "Skipped"),
    ]
    await made(console, "web-1", phase="Failed", number=1, stages=stages, message="Build: no disk")
    await made(console, "web-2", phase="Running", number=2, stages=[stage("Test", "Running")])
    await page.wait("document.querySelectorAll('.run').length === 2")
    assert await page.run("document.querySelector('.run .name').textContent") == "#2", "the newest is first"
    assert await page.run("document.querySelectorAll('.run')[1].querySelector('.why').textContent") == "Build: no disk"
    said = await page.run(STAGES)
    assert [each.split(":")[0] for each in said.split("|")] == ["wait", "good", "bad", ""]
    assert "1m5s" in said
    assert "<i>faster</i>" in await page.run("document.querySelector('.run').innerText")

    await page.run("document.querySelectorAll('.run .name')[1].click()")
    await page.wait("document.querySelector('h1').textContent === 'web #1'")
    await page.wait_text("main 01234567", "main")
    assert "no disk" in await page.run("document.querySelector('.stages .bad').title")
    await page.press("Escape")
    await page.wait("location.hash === '#/app/default/web'")


async def test_a_run_that_goes_on(console: Console, chrome: Browser) -> None:
    await made(
        console, "web-3", phase="Running", number=3, stages=[stage("Test", "Running"), stage("Build", "Pending")]
    )
    page = await chrome.page()
    await sign_in(page, console.url, console.token)
    await page.run("location.hash = '#/run/default/web-3'")
    await page.wait_text("It goes on", "main")
    await page.click("#language")
    await page.wait_text("正在进行", "main")
    await page.wait_text("运行中", ".stages")
