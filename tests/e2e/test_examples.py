"""The examples do what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.machine import HELLO, Machine, eventually

pytestmark = [pytest.mark.e2e]


def documents(path: Path) -> list[dict[str, Any]]:
    found = list(yaml.safe_load_all(path.read_text()))
    for document in found:
        if document["kind"] == "Service":
            for port in document["spec"]["ports"]:
                port.pop("nodePort", None)  # another cluster on this machine may have it
    return found


def test_the_visitor_gets_answers_from_every_pod(machine: Machine, namespace: str) -> None:
    machine.kubectl("-n", namespace, "create", "secret", "generic", "hello", "--from-literal=token=x")
    machine.apply(*documents(HELLO / "hello.yaml"), namespace=namespace)
    machine.kubectl("-n", namespace, "rollout", "status", "deployment/hello", "--timeout=60s")
    pods = machine.kubectl("-n", namespace, "get", "pods", "-l", "app=hello", "-o", "name").stdout.split()
    assert len(pods) == 3

    def heard() -> set[str]:
        log = machine.kubectl("-n", namespace, "logs", "deployment/visitor").stdout
        return {pod for pod in pods if f"hello from Sampan, version v1, pod {pod.removeprefix('pod/')}\n" in log}

    eventually(lambda: heard() == set(pods), "an answer from each pod")
