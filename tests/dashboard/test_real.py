"""The console of a whole cluster: what containers and pipelines write, a shell in one, figures, `sampan console`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard import chromium
from tests.dashboard.chromium import Browser, Page
from tests.dashboard.conftest import sign_in
from tests.e2e.machine import KUBECTL, Machine, alone, eventually
from tests.e2e.projects import Project

pytestmark = pytest.mark.e2e

LOUD = "echo one; echo two; n=0; while sleep 0.3; do n=$((n+1)); echo tick $n; done"
SPEC = {"containers": [{"name": "main", "image": "sampan.dev/hello:v1", "command": ["sh", "-c", LOUD]}]}
CRASH = "echo last words; sleep 1; exit 3"
SHELL = "[...document.querySelectorAll('.terminal .rows > div')].map((each) => each.textContent).join('\\n')"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("a cluster with containers needs root")
    if chromium.PROGRAM is None:
        pytest.skip("chromium is not installed; as root: apt-get install chromium")
    with alone() as place:
        try:
            place.root.mkdir()
            place.up()
            place.load_images("v1")
            crash = {"containers": [{**SPEC["containers"][0], "command": ["sh", "-c", CRASH]}]}
            for name, spec in (("loud", SPEC), ("crash", crash)):
                manifest = place.root / f"{name}.json"
                document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
                manifest.write_text(json.dumps(document))
                place.sampan("apply", "-f", str(manifest))
            place.sampan("wait", "pod/loud", "--for=condition=Ready", "--timeout=60s")
            yield place
        finally:
            place.purge()


async def opened(machine: Machine, chrome: Browser) -> Page:
    address, token = machine.sampan("console").stdout.split()
    assert address == f"{machine.url}/console/"
    page = await chrome.page()
    await sign_in(page, address, token)
    return page


async def test_logs_come_live_and_can_be_searched(machine: Machine, chrome: Browser) -> None:
    page = await opened(machine, chrome)
    await page.run("location.hash = '#/object/pods/default/loud'")
    await page.wait("document.querySelector('[data-tab=logs]')")
    await page.press("l")
    await page.wait_text("two", ".log")
    count = int(await page.run("document.querySelectorAll('.log > div').length"))
    await page.wait(f"document.querySelectorAll('.log > div').length > {count + 2}", "new lines")
    await page.press("/")
    await page.insert("tw")
    await page.wait("document.querySelectorAll('.log > div').length === 1")


async def test_what_a_run_that_crashed_has_written(machine: Machine, chrome: Browser) -> None:
    def crashed() -> bool:
        pod = json.loads(machine.sampan("get", "pod", "crash", "-o", "json").stdout)
        return any(each["restartCount"] for each in pod["status"].get("containerStatuses", ()))

    eventually(crashed, "the pod has started again")
    page = await opened(machine, chrome)
    await page.run("location.hash = '#/object/pods/default/crash'")
    await page.wait_text("exit code 3", "main")
    await page.run("location.hash = '#/object/pods/default/crash/logs/main'")
    await page.wait("document.querySelector('main select')?.value === 'main'")
    await page.run("document.querySelectorAll('.tools input[type=checkbox]')[1].click()")
    await page.wait_text("last words", ".log")


async def test_a_shell_answers_and_fits_its_window(machine: Machine, chrome: Browser) -> None:
    page = await opened(machine, chrome)
    await page.run("location.hash = '#/object/pods/default/loud/shell'")
    await page.wait_text("Connected", "main")
    await page.wait("document.activeElement?.classList.contains('keys')")
    await page.type("echo $((6*7)) is the answer")
    await page.press("Enter")
    await page.wait(f"({SHELL}).includes('42 is the answer')")
    await page.insert("stty size; echo 你好\n")
    await page.wait(f"({SHELL}).split('你好').length > 2")
    rows = int(await page.run(f"Number(/\\n(\\d+) \\d+/.exec({SHELL})[1])"))
    await page.resize(1280, 600)
    await page.type("stty size")
    await page.press("Enter")
    await page.wait(f"[...({SHELL}).matchAll(/\\n(\\d+) \\d+/g)].at(-1)[1] < {rows}", "the shell knows its new size")
    # A child that speaks is in the foreground: Control-C goes to it, and not to a shell that is about to start it.
    await page.insert("sh -c 'echo sta''rted; exec sleep 1000'\n")
    await page.wait(f"({SHELL}).includes('started')")
    await page.press("c", 2)
    await page.type("echo again")
    await page.press("Enter")
    await page.wait(f"/\\nagain/.test({SHELL})", "Control-C has ended the command")
    await page.press("F6")
    await page.wait("!document.activeElement.classList.contains('keys')")
    await page.run("document.querySelector('.keys').focus()")
    await page.type("exit")
    await page.press("Enter")
    await page.wait_text("has ended", "main")


async def test_usage_is_drawn(machine: Machine, chrome: Browser) -> None:
    page = await opened(machine, chrome)
    await page.wait("document.querySelectorAll('.chart polyline').length === 2")
    assert re.search(r"\d [MG]iB", await page.run("document.querySelector('.charts').innerText"))


async def test_an_account_of_ones_own(machine: Machine, chrome: Browser) -> None:
    machine.sampan("create", "serviceaccount", "guest")
    answer = machine.sampan("console", "--service-account", "guest", "--duration", "10m")
    assert "token of default/guest" in answer.stderr
    address, token = answer.stdout.split()
    page = await chrome.page()
    page.expected.append("status of 403")
    await sign_in(page, address, token)
    await page.wait_text("cannot list resource", "main")
    refused = machine.sampan("console", "--service-account", "nobody", check=False)
    assert refused.returncode == 1 and "not found" in refused.stderr
    short = machine.sampan("console", "--duration", "1m", check=False)
    assert short.returncode == 1 and "10m is the least" in short.stderr


WAITS = """\
pipeline {
  agent { docker 'sampan.dev/hello:v1' }
  stages {
    stage('Look') { steps { sh 'echo before; until [ -e go ]; do sleep 0.2; done; echo behind' } }
  }
}
"""


async def test_a_run_tells_its_log_as_it_is_written(machine: Machine, chrome: Browser, tmp_path: Path) -> None:
    if KUBECTL is None:
        pytest.skip("the stock kubectl is not installed")
    project = Project(machine, "default", tmp_path / "site")
    project.write("Jenkinsfile", WAITS)
    project.push("a look", branch="try")
    project("--start", "--branch", "try")
    page = await opened(machine, chrome)
    await page.run(f"location.hash = '#/run/default/{project.last()['metadata']['name']}'")
    await page.wait_text("before", ".log")
    await page.wait_text("Look", ".stages .wait")
    assert "\nbehind" not in await page.run("document.querySelector('.log').innerText")
    (agent,) = project.agents()
    machine.sampan("exec", agent.removeprefix("pod/"), "--", "touch", "/workspace/go")
    await page.wait("/^behind$/m.test(document.querySelector('.log').innerText)")
    await page.wait_text("Look", ".stages .good")
    await page.wait_text("Succeeded", ".facts .good")
