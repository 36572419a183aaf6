"""exec, cp, port-forward, logs and attach with real containers."""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import SAMPAN, Machine, alone, call, leftovers

pytestmark = [pytest.mark.e2e, pytest.mark.kernel]

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: sampan.dev/hello:v1
    imagePullPolicy: Never
    ports: [{containerPort: 8080, name: http}]
  - name: talker
    image: sampan.dev/hello:v1
    imagePullPolicy: Never
    command: [sh, -c, "echo first line; echo second line; trap 'exit 0' TERM; while :; do sleep 1; done"]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    if os.geteuid() != 0:
        pytest.skip("a cluster with containers needs root")
    with alone() as place:
        try:
            place.root.mkdir()
            place.up()
            place.load_images("v1")
            (place.root / "web.yaml").write_text(POD)
            place.sampan("apply", "-f", str(place.root / "web.yaml"))
            place.sampan("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
            yield place
        finally:
            place.purge()
        assert leftovers(place) == []


def test_a_command_and_its_exit_code(machine: Machine) -> None:
    done = machine.sampan("exec", "web", "-c", "app", "--", "sh", "-c", "echo out; echo err >&2; exit 3", check=False)
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert done.stderr == "err\ncommand terminated with exit code 3\n"


def test_standard_input_reaches_the_command(machine: Machine) -> None:
    done = subprocess.run(
        [*SAMPAN, "exec", "-i", "web", "-c", "app", "--", "cat"],
        input="hello\n" * 20_000,
        env=machine.environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "hello\n" * 20_000


def test_the_first_container_is_taken_and_said(machine: Machine) -> None:
    done = machine.sampan("exec", "service/web", "--", "true")
    assert done.stderr == 'Defaulted container "app" out of: app, talker\n'


def test_logs_of_one_and_of_all_containers(machine: Machine) -> None:
    assert machine.sampan("logs", "web", "talker").stdout == "first line\nsecond line\n"
    assert machine.sampan("logs", "web", "-c", "talker", "--tail=1").stdout == "second line\n"
    shown = machine.sampan("logs", "-l", "app=web", "--all-containers", "--prefix").stdout
    assert "[pod/web/talker] second line\n" in shown


def test_files_go_there_and_back(machine: Machine, tmp_path: Path) -> None:
    source = tmp_path / "tree"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "file").write_bytes(bytes(range(256)) * 4000)
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)
    machine.sampan("cp", str(source), "web:/tmp/there", "-c", "app")
    machine.sampan("cp", "web:/tmp/there", str(tmp_path / "back"), "-c", "app")
    assert (tmp_path / "back" / "deep" / "file").read_bytes() == (source / "deep" / "file").read_bytes()
    assert (tmp_path / "back" / "run").stat().st_mode & 0o777 == 0o755


def test_what_is_not_there_cannot_be_copied(machine: Machine, tmp_path: Path) -> None:
    done = machine.sampan("cp", "web:/no/such/file", str(tmp_path / "x"), "-c", "app", check=False)
    assert done.returncode != 0
    assert "command terminated with exit code" in done.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("what", "port"), [("pod/web", "8080"), ("pod/web", "http"), ("service/web", "80")])
def test_a_local_port_leads_to_the_pod(machine: Machine, what: str, port: str) -> None:
    command = [*SAMPAN, "port-forward", what, f":{port}", "--address", "127.0.0.1"]
    with subprocess.Popen(command, env=machine.environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            local = said.removeprefix("Forwarding from 127.0.0.1:").partition(" ")[0]
            assert said.endswith("-> 8080\n")
            with urllib.request.urlopen(f"http://127.0.0.1:{local}/", timeout=20) as answer:
                assert answer.status == 200
        finally:
            process.terminate()


def test_a_port_that_is_taken_is_refused(machine: Machine) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = machine.sampan("port-forward", "pod/web", f"{port}:8080", "--address", "127.0.0.1", check=False)
    assert done.returncode == 1
    assert f"error: unable to listen on port {port}" in done.stderr


def test_an_editor_changes_an_object(machine: Machine) -> None:
    machine.sampan("create", "configmap", "edited", "--from-literal=colour=red")
    environ = {**machine.environ, "KUBE_EDITOR": "sed -i s/red/green/"}
    done = call([*SAMPAN, "edit", "configmap/edited"], environ)
    assert done.stdout == "configmap/edited edited\n"
    assert machine.sampan("get", "cm", "edited", "-o", "jsonpath={.data.colour}").stdout == "green"


def test_a_pod_of_one_command(machine: Machine) -> None:
    image = ("--image=sampan.dev/hello:v1", "--image-pull-policy=Never", "--restart=Never", "--rm", "-i", "-q")
    done = machine.sampan(
        "run", "once", *image, "--command", "--", "sh", "-c", "sleep 1; echo done; exit 4", check=False
    )
    assert (done.returncode, done.stdout) == (4, 'done\npod "once" deleted from default namespace\n')


def test_deleting_waits_until_it_is_gone(machine: Machine) -> None:
    done = machine.sampan("delete", "pod", "web", "--now")
    assert done.stdout == 'pod "web" deleted from default namespace\n'
    assert (
        machine.sampan("get", "pod", "web", check=False).stderr
        == 'Error from server (NotFound): pods "web" not found\n'
    )
