"""What containers see of their pod: arguments, environment, volumes, identity, limits, hosts, names."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.covers import covers
from tests.e2e.cases import CASES, Case
from tests.e2e.machine import KUBECTL, Machine

pytestmark = [pytest.mark.e2e]
NAMESPACE = "cases"
ENDED = ("Succeeded", "Failed")


@pytest.fixture(scope="module")
def pods(machine: Machine) -> Iterator[dict[str, dict[str, Any]]]:
    """Every case's pod, started together, as it was when it had ended (or when the watch gave up)."""
    machine.kubectl("create", "namespace", NAMESPACE)
    objects = {(o["kind"], o["metadata"]["name"]): o for case in CASES for o in case.objects}
    machine.apply(*objects.values(), namespace=NAMESPACE)
    machine.apply(*(case.pod() for case in CASES), namespace=NAMESPACE)
    yield wait_for_ends(machine)
    machine.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")


def wait_for_ends(machine: Machine) -> dict[str, dict[str, Any]]:
    assert KUBECTL
    ended: dict[str, dict[str, Any]] = {}
    command = [KUBECTL, "-n", NAMESPACE, "get", "pods", "-w", "-o", "json", "--output-watch-events=true"]
    command += ["--request-timeout=150s"]
    with subprocess.Popen(command, env=machine.environ, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout
        decoder, text = json.JSONDecoder(), ""
        for line in watch.stdout:
            text += line
            if line.rstrip() != "}" and not line.startswith('{"'):
                continue  # kubectl writes an event on one line or on many
            event, _ = decoder.raw_decode(text)
            text = ""
            pod = event["object"]
            if pod["status"].get("phase") in ENDED:
                ended[pod["metadata"]["name"]] = pod
                if len(ended) == len(CASES):
                    break
        watch.terminate()
    return ended


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=[covers(name) for name in case.covers]) for case in CASES]
)
def test_pod(case: Case, pods: dict[str, dict[str, Any]], machine: Machine) -> None:
    if case.name not in pods:
        story = machine.kubectl("-n", NAMESPACE, "describe", "pod", case.name).stdout
        pytest.fail(f"{case.name} has not ended:\n{story[-3000:]}")
    pod = pods[case.name]
    log = machine.kubectl("-n", NAMESPACE, "logs", case.name, "-c", "c", check=False)
    assert pod["status"]["phase"] == case.phase, f"{pod['status']}\n{log.stdout}{log.stderr}"
    if case.log is not None:
        assert log.stdout == case.log
    if case.check:
        case.check(pod)
