"""Helm itself (its official library, in a package): install with a hook, upgrade, roll back, fail, uninstall."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sampan.api.errors import StatusError
from sampan.api.types import apps_v1, batch_v1, core_v1
from sampan.testing.thread import ServedCluster

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(find_spec("helm_python") is None, reason="Helm's library is not built for this machine")


class Helm:
    """The other process, step by step."""

    def __init__(self, kubeconfig: Path) -> None:
        command = [sys.executable, str(HERE / "helm_life.py"), str(kubeconfig), str(HERE / "chart")]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def next(self, step: str) -> dict[str, Any]:
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        said: dict[str, Any] = json.loads(line)
        assert said["step"] == step
        return said

    def go_on(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def test_the_life_of_a_release(served_cluster: ServedCluster) -> None:
    client = served_cluster.cluster.client

    def get(kind: type[Any], name: str) -> Any:
        return served_cluster.run(client.get(kind, name, "default"))

    helm = Helm(served_cluster.kubeconfig)
    try:
        assert helm.next("install")["releases"] == ["demo"]
        assert get(apps_v1.Deployment, "demo").status.readyReplicas == 2
        assert get(core_v1.ConfigMap, "demo-seen").data == {
            "version": "v1.37.0+sampan", "ingress": "true", "default": "Active",
        }  # fmt: skip
        assert get(batch_v1.Job, "demo-hook").status.succeeded == 1
        assert get(core_v1.Secret, "sh.helm.release.v1.demo.v1").type == "helm.sh/release.v1"
        helm.go_on()
        assert helm.next("upgrade")["revisions"] == 2
        assert get(apps_v1.Deployment, "demo").status.readyReplicas == 3
        helm.go_on()
        helm.next("rollback")
        assert get(apps_v1.Deployment, "demo").spec.replicas == 2
        helm.go_on()
        assert helm.next("broken")["error"]
        assert get(apps_v1.Deployment, "demo").spec.template.spec.containers[0].image == "app:1", "rolled back"
        helm.go_on()
        assert helm.next("uninstall")["releases"] == []
        for kind, name in ((apps_v1.Deployment, "demo"), (core_v1.Service, "demo"), (core_v1.ConfigMap, "demo-seen")):
            with pytest.raises(StatusError, match="not found"):
                get(kind, name)
        helm.go_on()
        assert helm.process.wait(30) == 0
    finally:
        helm.process.kill()
        helm.process.communicate()
