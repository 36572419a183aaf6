"""The stock kubectl against a real cluster: what a user types, and what comes back."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import socket
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.e2e.machine import KUBECTL, Machine, eventually
from tests.e2e.manifests import deployment, pod, service

pytestmark = [pytest.mark.e2e]


@pytest.fixture
def web(machine: Machine, namespace: str) -> str:
    """A Deployment `web` of two replicas with a Service; the value is its namespace."""
    machine.apply(deployment("web", 2), service("web"), namespace=namespace)
    machine.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    return namespace


@pytest.fixture
def shell(machine: Machine, namespace: str) -> str:
    """A pod `shell` that waits; the value is its namespace."""
    script = "trap 'exit 0' TERM; echo started; while true; do sleep 1 & wait $!; done"
    machine.apply(pod("shell", command=["/bin/sh", "-c", script]), namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/shell", "--timeout=60s")
    return namespace


def test_get_in_every_form(machine: Machine, web: str) -> None:
    wide = machine.kubectl("-n", web, "get", "pods", "-o", "wide").stdout.splitlines()
    assert wide[0].split() == [
        "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED", "NODE", "READINESS", "GATES",
    ]  # fmt: skip
    assert [line.split()[1:4] for line in wide[1:]] == [["1/1", "Running", "0"]] * 2
    assert "kind: Deployment" in machine.kubectl("-n", web, "get", "deployment", "web", "-o", "yaml").stdout
    names = machine.kubectl("-n", web, "get", "pods", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
    by_name = machine.kubectl("-n", web, "get", "pods", "--sort-by=.metadata.name", "-o", "name").stdout.split()
    assert by_name == [f"pod/{name}" for name in sorted(names)]
    deployments = machine.kubectl("-n", web, "get", "deployments").stdout.splitlines()
    assert deployments[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert deployments[1].split()[:4] == ["web", "2/2", "2", "2"]


def test_watch_shows_changes(machine: Machine, web: str) -> None:
    assert KUBECTL
    command = [KUBECTL, "-n", web, "get", "deployment", "web", "-w", "-o", "jsonpath={.status.readyReplicas}{'\\n'}"]
    with subprocess.Popen(command, env=machine.environ, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout
        assert watch.stdout.readline().strip() == "2"
        machine.kubectl("-n", web, "scale", "deployment/web", "--replicas=3")
        assert any(line.strip() == "3" for line in watch.stdout)
        watch.terminate()


def test_apply_diff_and_errors(machine: Machine, web: str) -> None:
    changed = json.dumps(deployment("web", 3))
    diff = machine.kubectl("-n", web, "diff", "-f", "-", given=changed, check=False)
    assert diff.returncode == 1
    assert re.search(r"^-  replicas: 2$", diff.stdout, re.MULTILINE)
    assert re.search(r"^\+  replicas: 3$", diff.stdout, re.MULTILINE)
    assert machine.kubectl("-n", web, "apply", "-f", "-", given=changed).stdout == "deployment.apps/web configured\n"
    assert machine.kubectl("-n", web, "apply", "-f", "-", given=changed).stdout == "deployment.apps/web unchanged\n"
    wrong = json.dumps(deployment("web") | {"spec": {"replicas": "many"}})
    refused = machine.kubectl("-n", web, "apply", "-f", "-", given=wrong, check=False)
    assert refused.returncode != 0
    assert "spec.replicas" in refused.stderr
    missing = machine.kubectl("-n", web, "get", "pod", "nobody", check=False)
    assert missing.stderr == 'Error from server (NotFound): pods "nobody" not found\n'


def test_edit_writes_back(machine: Machine, web: str) -> None:
    environ = {**machine.environ, "EDITOR": "sed -i s/replicas:.2/replicas:\\ 1/"}
    assert KUBECTL
    done = subprocess.run(
        [KUBECTL, "-n", web, "edit", "deployment", "web"], env=environ, capture_output=True, text=True, check=True
    )
    assert "deployment.apps/web edited" in done.stdout
    assert machine.get("-n", web, "deployment", "web")["spec"]["replicas"] == 1


def test_explain_and_api_resources(machine: Machine) -> None:
    text = machine.kubectl("explain", "deployment.spec.strategy").stdout
    assert "rollingUpdate" in text and "FIELD: strategy <DeploymentStrategy>" in text
    resources = machine.kubectl("api-resources", "--no-headers").stdout
    assert re.search(r"^deployments\s+deploy\s+apps/v1\s+true\s+Deployment$", resources, re.MULTILINE)
    assert re.search(r"^nodes\s+no\s+v1\s+false\s+Node$", resources, re.MULTILINE)


def test_describe_tells_the_story(machine: Machine, web: str) -> None:
    text = machine.kubectl("-n", web, "describe", "pods", "-l", "app=web").stdout
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        assert reason in text
    assert "Successfully assigned" in text
    assert "ScalingReplicaSet" in machine.kubectl("-n", web, "describe", "deployment", "web").stdout


def test_logs_follow_and_previous(machine: Machine, namespace: str) -> None:
    script = "trap 'exit 0' TERM; echo first; echo second; sleep 600 & wait $!"
    machine.apply(pod("talker", command=["/bin/sh", "-c", script]), namespace=namespace)
    machine.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/talker", "--timeout=60s")
    eventually(
        lambda: machine.kubectl("-n", namespace, "logs", "talker").stdout == "first\nsecond\n", "the log's two lines"
    )
    assert machine.kubectl("-n", namespace, "logs", "talker", "--tail=1").stdout == "second\n"
    assert re.match(r"20\d\d-.*Z first\n", machine.kubectl("-n", namespace, "logs", "talker", "--timestamps").stdout)
    assert KUBECTL
    command = [KUBECTL, "-n", namespace, "logs", "-f", "talker"]
    with subprocess.Popen(command, env=machine.environ, stdout=subprocess.PIPE, text=True) as follow:
        assert follow.stdout
        assert follow.stdout.readline() == "first\n"
        # The end of process 1 may take the one that asks for it along.
        machine.kubectl("-n", namespace, "exec", "talker", "--", "kill", "1", check=False)
        assert follow.wait(30) == 0
    eventually(
        lambda: (
            machine.kubectl("-n", namespace, "logs", "talker", "--previous", check=False).stdout == "first\nsecond\n"
        ),
        "the previous container's log",
    )


def test_exec_passes_input_output_and_exit_code(machine: Machine, shell: str) -> None:
    told = machine.kubectl("-n", shell, "exec", "-i", "shell", "--", "cat", given="over and back")
    assert told.stdout == "over and back"
    failed = machine.kubectl(
        "-n", shell, "exec", "shell", "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False
    )
    assert (failed.stdout, failed.returncode) == ("out\n", 7)
    assert failed.stderr.startswith("err\n")
    absent = machine.kubectl("-n", shell, "exec", "shell", "--", "no-such-program", check=False)
    assert absent.returncode != 0
    assert "no-such-program" in absent.stderr


def test_exec_with_a_terminal_that_resizes(machine: Machine, shell: str) -> None:
    assert KUBECTL
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [KUBECTL, "-n", shell, "exec", "-it", "shell", "--", "sh"]
    process = subprocess.Popen(
        command, env=machine.environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    screen = b""

    def until(text: bytes) -> None:
        nonlocal screen
        end = time.monotonic() + 30
        while text not in screen:
            assert time.monotonic() < end, f"{text!r} never came: {screen!r}"
            if select.select([ours], [], [], 1)[0]:
                screen += os.read(ours, 4096)

    try:
        until(b"$ ")
        os.write(ours, b"stty size; tty\n")
        until(b"24 80")
        until(b"/dev/pts/")
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        os.kill(process.pid, 28)  # SIGWINCH: kubectl has no controlling terminal here to get it from
        end = time.monotonic() + 30
        while b"50 132" not in screen:
            assert time.monotonic() < end, f"the new size never arrived: {screen!r}"
            os.write(ours, b"stty size\n")
            if select.select([ours], [], [], 1)[0]:
                screen += os.read(ours, 4096)
        os.write(ours, b"exit\n")
        assert process.wait(30) == 0
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()


def test_copy_both_ways(machine: Machine, shell: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(300_000))
    machine.kubectl("-n", shell, "cp", str(source), "shell:/tmp/there")
    machine.kubectl("-n", shell, "cp", "shell:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_port_forward(machine: Machine, web: str) -> None:
    assert KUBECTL
    command = [KUBECTL, "-n", web, "port-forward", "service/web", ":80"]
    with subprocess.Popen(command, env=machine.environ, stdout=subprocess.PIPE, text=True) as forward:
        assert forward.stdout
        line = forward.stdout.readline()
        port = int(re.search(r"127\.0\.0\.1:(\d+)", line)[1])  # type: ignore[index]
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                connection.sendall(b"GET /cgi-bin/hello HTTP/1.0\r\n\r\n")
                answer = b"".join(iter(lambda: connection.recv(4096), b""))
            assert b"hi, version v1" in answer
        forward.terminate()


def test_rollout_history_undo_and_status(machine: Machine, web: str) -> None:
    machine.kubectl("-n", web, "set", "image", "deployment/web", "web=sampan.dev/hello:v2")
    done = machine.kubectl("-n", web, "rollout", "status", "deployment/web", "--timeout=60s").stdout
    assert 'deployment "web" successfully rolled out' in done
    history = machine.kubectl("-n", web, "rollout", "history", "deployment/web").stdout
    assert re.findall(r"^(\d+)\s", history, re.MULTILINE) == ["1", "2"]
    machine.kubectl("-n", web, "rollout", "undo", "deployment/web")
    machine.kubectl("-n", web, "rollout", "status", "deployment/web", "--timeout=60s")
    container = machine.get("-n", web, "deployment", "web")["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "sampan.dev/hello:v1"


def test_scale_and_wait(machine: Machine, web: str) -> None:
    machine.kubectl("-n", web, "scale", "deployment/web", "--replicas=4")
    machine.kubectl("-n", web, "wait", "--for=jsonpath={.status.readyReplicas}=4", "deployment/web", "--timeout=60s")
    machine.kubectl("-n", web, "delete", "pod", "-l", "app=web", "--wait=false")
    machine.kubectl("-n", web, "rollout", "status", "deployment/web", "--timeout=60s")
    assert len(machine.get("-n", web, "pods")["items"]) >= 4


def test_delete_in_the_foreground(machine: Machine, web: str) -> None:
    machine.kubectl("-n", web, "delete", "deployment", "web", "--cascade=foreground", "--timeout=60s")
    assert machine.get("-n", web, "replicasets")["items"] == []
    assert machine.get("-n", web, "pods")["items"] == []


def test_permissions_and_tokens(machine: Machine, namespace: str) -> None:
    assert machine.kubectl("auth", "can-i", "delete", "nodes").stdout == "yes\n"
    machine.kubectl("-n", namespace, "create", "serviceaccount", "reader")
    machine.kubectl("-n", namespace, "create", "role", "reader", "--verb=get,list", "--resource=pods")
    machine.kubectl(
        "-n", namespace, "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader"
    )
    who = f"--as=system:serviceaccount:{namespace}:reader"
    assert machine.kubectl("-n", namespace, "auth", "can-i", "list", "pods", who).stdout == "yes\n"
    refused = machine.kubectl("-n", namespace, "auth", "can-i", "delete", "pods", who, check=False)
    assert (refused.stdout, refused.returncode) == ("no\n", 1)
    token = machine.kubectl("-n", namespace, "create", "token", "reader").stdout.strip()
    ca = machine.data_dir / "pki" / "ca.crt"
    bare = ["--kubeconfig=/dev/null", f"--server={machine.url}", f"--certificate-authority={ca}", f"--token={token}"]
    assert "No resources found" in machine.kubectl(*bare, "-n", namespace, "get", "pods").stderr
    denied = machine.kubectl(*bare, "-n", namespace, "get", "secrets", check=False)
    assert (
        f'secrets is forbidden: User "system:serviceaccount:{namespace}:reader" cannot list resource "secrets" '
        f'in API group "" in the namespace "{namespace}"'
    ) in denied.stderr


def test_cordon_taint_and_drain(machine: Machine, web: str) -> None:
    node = machine.get("nodes")["items"][0]["metadata"]["name"]
    machine.kubectl("taint", "node", node, "test=here:NoSchedule")
    machine.kubectl("taint", "node", node, "test:NoSchedule-")
    machine.kubectl("cordon", node)
    try:
        assert "SchedulingDisabled" in machine.kubectl("get", "node", node).stdout
        selector = "--pod-selector=app=web"
        drained = machine.kubectl("drain", node, selector, "--timeout=60s", "--ignore-daemonsets")
        assert "evicted" in drained.stdout
        waiting = eventually(
            lambda: [
                e["message"] for e in machine.get("-n", web, "events")["items"] if e["reason"] == "FailedScheduling"
            ],
            "an event that explains why the replacements wait",
        )
        assert "0/1 nodes are available: 1 node(s) were unschedulable." in waiting[0]
    finally:
        machine.kubectl("uncordon", node)
    machine.kubectl("-n", web, "rollout", "status", "deployment/web", "--timeout=60s")


def test_raw_metrics(machine: Machine) -> None:
    text = machine.kubectl("get", "--raw", "/metrics").stdout
    assert re.search(r"^apiserver_request_total\{.*\} \d+", text, re.MULTILINE)


def test_debug_sees_the_processes_of_its_target(machine: Machine, shell: str) -> None:
    machine.kubectl(
        *("-n", shell, "debug", "shell", "--image=sampan.dev/hello:v1", "--image-pull-policy=Never"),
        *("--target=c", "-c", "look", "--profile=general", "--", "ps", "-o", "args"),
    )
    seen = eventually(lambda: machine.kubectl("-n", shell, "logs", "shell", "-c", "look", check=False).stdout, "a log")
    assert "trap 'exit 0' TERM" in seen
