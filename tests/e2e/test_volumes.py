"""A volume that is filled for real: the machine is safe, the message is clear, what served goes on serving."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from sampan.host import loops
from sampan.node.volumes import disk
from tests.e2e.machine import Machine, eventually
from tests.e2e.test_apps import GOOD, HELLO, Typed

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(disk.unavailable()), reason=f"volumes cannot be limited here: {disk.unavailable()}"),
]

SIZE = 12 << 20
FULL = (
    "volume data of app shop is full: 12Mi of 12Mi used; remove files, or make it larger: give it size 24Mi in the app"
)
WRITES = "sh -c 'dd if=/dev/zero of=/data/$HOSTNAME bs=1k count=100 && echo start >> /data/starts && exec /start'"


@pytest.fixture
def typed(machine: Machine, namespace: str) -> Typed:
    return Typed(machine, namespace)


def fill(typed: Typed, pod: str) -> None:
    """Write until the kernel refuses, and on to the last byte."""
    script = "while head -c 65536 /dev/zero; do :; done >> /data/filling; while echo x; do :; done >> /data/filling"
    done = typed.machine.kubectl("-n", typed.namespace, "exec", pod, "--", "sh", "-c", script, check=False)
    assert "No space left on device" in done.stderr


def condition(typed: Typed, app: str, type: str) -> str:
    path = f"jsonpath={{.status.conditions[?(@.type=='{type}')].message}}"
    return typed("get", "app", app, "-o", path)


def test_a_full_volume_is_told_at_its_step_while_the_old_version_serves(typed: Typed) -> None:
    base = ("--name", "shop", "--replicas", "1", "--volume", "/data:12Mi", "--command", WRITES, *GOOD)
    typed("deploy", "--image", f"{HELLO}:v1", *base)
    (pod,) = typed.machine.get("-n", typed.namespace, "pods")["items"]
    name = pod["metadata"]["name"]
    shown = typed.machine.kubectl("-n", typed.namespace, "exec", name, "--", "df", "-k", "/data").stdout
    assert 0.9 * SIZE < int(shown.split()[-5]) * 1024 < 1.1 * SIZE
    fill(typed, name)
    eventually(lambda: FULL in condition(typed, "shop", "VolumesBound"), "the app's step")
    said = typed("why", "shop", code=1)
    assert FULL in said and "and deploy again" in said
    assert "hi, version v1" in typed.answer(app="shop")
    events = typed.machine.kubectl("-n", typed.namespace, "describe", "pod", name).stdout
    assert re.search(r"Warning +VolumeFull .* kubelet +volume data of app shop is full", events)
    assert "VolumeFull" in typed.machine.kubectl("-n", typed.namespace, "describe", "pvc", "shop-data").stdout

    # A new version needs room, and there is none: it fails with the reason, and the old one goes on.
    said = typed("deploy", "--image", f"{HELLO}:v2", *base, code=1)
    assert "No space left on device" in said, said
    assert "hi, version v1" in typed.answer(app="shop")
    assert "still serves" in condition(typed, "shop", "PodsReady")

    # With room it comes up.
    assert re.search("^3 volumes  failed .* is full", typed("rollback", "shop", code=1), re.MULTILINE)
    typed.machine.kubectl("-n", typed.namespace, "exec", name, "--", "rm", "/data/filling")
    eventually(lambda: FULL not in condition(typed, "shop", "VolumesBound"), "the step without the message")
    typed("deploy", "--image", f"{HELLO}:v2", *base)
    assert "hi, version v2" in typed.answer(app="shop")


def test_figures_of_a_volume(typed: Typed) -> None:
    typed("deploy", "--image", f"{HELLO}:v1", "--name", "shop", "--volume", "/data:12Mi", *GOOD)
    node = typed.machine.get("nodes")["items"][0]["metadata"]["name"]
    labels = f'{{namespace="{typed.namespace}",persistentvolumeclaim="shop-data"}}'

    def metrics() -> dict[str, float]:
        text = typed.machine.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics").stdout
        found = re.findall(rf"^kubelet_volume_stats_(\w+){re.escape(labels)} (\d+)", text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    found = eventually(metrics, "the kubelet's figures")
    assert 0.9 * SIZE < found["capacity_bytes"] < 1.1 * SIZE and found["available_bytes"] > 0.9 * SIZE
    summary = json.loads(typed.machine.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary").stdout)
    volumes = [each for pod in summary["pods"] for each in pod.get("volume", ())]
    mine = [each for each in volumes if each["pvcRef"] == {"name": "shop-data", "namespace": typed.namespace}]
    assert mine and all(each["name"] == "data" and each["capacityBytes"] == found["capacity_bytes"] for each in mine)


def test_a_stateful_app_gets_a_larger_volume_and_keeps_its_data(typed: Typed) -> None:
    base = ("--name", "shop", "--type", "stateful", "--command", WRITES, *GOOD)
    typed("deploy", "--image", f"{HELLO}:v1", *base, "--volume", "/data:12Mi")
    typed("deploy", "--image", f"{HELLO}:v2", *base, "--volume", "/data:24Mi")

    def capacity() -> bool:
        claim = typed.machine.get("-n", typed.namespace, "pvc", "data-shop-0")
        return bool(claim["status"]["capacity"]["storage"] == "24Mi")

    def restarted() -> bool:
        """Where the kernel does not enlarge what is mounted, the next pod brings it."""
        if capacity():
            return True
        typed.machine.kubectl("-n", typed.namespace, "delete", "pod", "shop-0")
        return False

    eventually(restarted, "the larger volume")
    typed.machine.kubectl("-n", typed.namespace, "wait", "--for=condition=Ready", "pod/shop-0", "--timeout=60s")
    done = typed.machine.kubectl("-n", typed.namespace, "exec", "shop-0", "--", "cat", "/data/starts")
    assert done.stdout.startswith("start\n")


def test_a_crash_of_the_node_s_process_and_the_end_of_a_volume(typed: Typed) -> None:
    typed("deploy", "--image", f"{HELLO}:v1", "--name", "shop", "--type", "stateful", "--volume", "/data:12Mi", *GOOD)
    exec_ = ("-n", typed.namespace, "exec", "shop-0", "--", "sh", "-c")
    typed.machine.kubectl(*exec_, "echo kept > /data/f")
    claim = typed.machine.get("-n", typed.namespace, "pvc", "data-shop-0")
    directory = typed.machine.data_dir / "volumes" / claim["spec"]["volumeName"]
    node = typed.machine.pids()["node"]
    os.kill(node, signal.SIGKILL)
    eventually(lambda: typed.machine.pids()["node"] not in (node, None), "another node process")
    eventually(lambda: typed.machine.kubectl(*exec_, "cat /data/f", check=False).stdout == "kept\n", "the running pod")
    typed.machine.kubectl("-n", typed.namespace, "delete", "pod", "shop-0")
    wait = ("wait", "--for=condition=Ready", "pod/shop-0", "--timeout=60s")
    eventually(lambda: not typed.machine.kubectl("-n", typed.namespace, *wait, check=False).returncode, "the next pod")
    assert typed.machine.kubectl(*exec_, "cat /data/f").stdout == "kept\n"
    assert loops.device(str(directory / disk.IMAGE))

    typed.machine.kubectl("-n", typed.namespace, "delete", "app", "shop", "--wait")
    typed.machine.kubectl("-n", typed.namespace, "delete", "pvc", "data-shop-0", "--timeout=60s")
    eventually(lambda: not directory.exists(), "the volume's files are gone")
    assert str(directory) not in "".join(path.read_text() for path in backing_files())


def backing_files() -> list[Path]:
    return [path for path in Path("/sys/block").glob("loop*/loop/backing_file") if path.exists()]
