"""`sampan up` and `sampan down` when they come at a bad time: twice at once, in between, after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.conftest import ended_by_sigterm
from tests.e2e.machine import KUBECTL, SAMPAN, Machine, alone, call, leftovers
from tests.e2e.manifests import deployment

pytestmark = [pytest.mark.e2e]


@pytest.fixture
def place() -> Iterator[Machine]:
    """Where no cluster runs yet, and none is left."""
    if os.geteuid() != 0:
        pytest.skip("a cluster with containers needs root")
    if KUBECTL is None:
        pytest.skip("the stock kubectl is not installed")
    with alone() as place, ended_by_sigterm():
        try:
            place.root.mkdir()
            yield place
        finally:
            place.purge()
        assert leftovers(place) == []


def containers(place: Machine) -> dict[str, str]:
    pods = place.get("pods")["items"]
    return {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["containerID"] for p in pods}


def test_two_at_once_make_one_cluster(place: Machine) -> None:
    with ThreadPoolExecutor(2) as both:
        told = [each.result().stderr for each in [both.submit(place.up), both.submit(place.up)]]
    assert sorted(f"cluster {place.name} runs already" in text for text in told) == [False, True]
    assert place.kubectl("get", "--raw", "/readyz").stdout == "ok"


def test_down_waits_for_an_up_that_is_under_way(place: Machine) -> None:
    place.up()  # the settings are kept: the next needs none
    place.sampan("down", *place.where())
    command = [*SAMPAN, "up", *place.where()]
    with subprocess.Popen(command, env=place.environ, stderr=subprocess.PIPE, text=True) as starting:
        assert starting.stderr
        starting.stderr.readline()  # its processes start
        place.sampan("down", *place.where())
        assert starting.wait(60) == 0
    assert not place.run_dir.exists()
    assert place.sampan("status", *place.where(), check=False).returncode == 1


def test_up_after_a_kill_of_everything_of_ours_adopts_the_containers(place: Machine) -> None:
    place.up()
    place.load_images("v1")
    place.apply(deployment("web", 2))
    place.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    before = containers(place)
    pids = place.pids()
    descriptors = [os.pidfd_open(pid) for pid in pids.values()]
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    for descriptor in descriptors:
        os.close(descriptor)
    place.sampan("up", *place.where())
    place.kubectl("scale", "deployment/web", "--replicas=3")
    place.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    after = containers(place)
    assert {name: after[name] for name in before} == before


def test_pods_start_again_when_the_machine_has_lost_them(place: Machine) -> None:
    place.up()
    place.load_images("v1")
    place.apply(deployment("web", 2))
    place.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    before = containers(place)
    place.sampan("down", *place.where())
    place.up()
    place.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    place.kubectl("wait", "--for=condition=Ready", "pods", "--all", "--timeout=60s")
    after = containers(place)
    assert after.keys() == before.keys(), "the same pods"
    assert not set(after.values()) & set(before.values()), "in new containers"
    restarts = place.get("pods")["items"][0]["status"]["containerStatuses"][0]["restartCount"]
    assert restarts == 1


def test_a_kubeconfig_that_cannot_be_written_is_said_in_words(place: Machine) -> None:
    (place.root / "file").write_text("")
    environ = {**place.environ, "KUBECONFIG": str(place.root / "file" / "config")}
    where = [*place.where(), "--api-port", str(place.port), "--node-port", str(place.node_port)]
    ranges = ["--pod-cidr", place.pod_cidr, "--service-cidr", place.service_cidr]
    done = call([*SAMPAN, "up", *where, *ranges], environ, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].endswith(f"{place.root}/file/config': Not a directory")
    assert "runs already" in place.sampan("up", *place.where()).stderr
    assert json.loads(Path(place.run_dir / "status.json").read_text())["roles"]["apiserver"]["ready"]
