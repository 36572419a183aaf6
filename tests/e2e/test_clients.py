"""The PyPI clients against a real cluster: what needs a real container, exec above all."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import Machine
from tests.e2e.manifests import pod

# Some of them leave sockets for the garbage collector, which warns.
pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]
WAITS = ["/bin/sh", "-c", "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done"]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a client leaves is found here, and not in a test that has nothing to do with it."""
    yield
    gc.collect()


@pytest.fixture
def shell(machine: Machine, namespace: str) -> str:
    machine.apply(pod("shell", command=WAITS), namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/shell", "--timeout=60s")
    return namespace


def test_kubernetes_client_execs(machine: Machine, shell: str, tmp_path: Path) -> None:
    import kubernetes
    from kubernetes.stream import stream

    settings = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(
        machine.environ["KUBECONFIG"], client_configuration=settings, temp_file_path=str(tmp_path)
    )
    api = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(settings))
    out = stream(
        api.connect_get_namespaced_pod_exec,
        "shell",
        shell,
        command=["sh", "-c", "echo out; echo err >&2; exit 3"],
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
        _preload_content=False,
    )
    out.run_forever(timeout=30)
    assert (out.read_stdout(), out.read_stderr(), out.returncode) == ("out\n", "err\n", 3)


def test_kr8s_execs(machine: Machine, shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # it writes its keys into files that it forgets
    import kr8s
    from kr8s.objects import Pod

    api = kr8s.api(kubeconfig=machine.environ["KUBECONFIG"])
    done = Pod.get("shell", namespace=shell, api=api).exec(["echo", "here"])
    assert done.stdout == b"here\n"
