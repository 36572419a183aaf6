"""examples/hello: from nothing to a rolled-out, rolled-back service."""

from __future__ import annotations

import asyncio
import functools
import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable

from sampan.config import ClusterConfig
from tour import visitor
from tour.telling import EXAMPLES, attempt, eventually, sampan, step

HELLO = EXAMPLES / "hello"
PORT = 30080
URL = f"http://127.0.0.1:{PORT}/cgi-bin/hello"
WORKERS = 8


async def ask() -> str:
    return await visitor.get("hello", PORT, "/cgi-bin/hello")


async def version() -> str:
    return (await ask()).split("version ")[1].split(",")[0]


def answers() -> bool:
    """The node's rules follow a pod's readiness a moment later: until then its port refuses."""
    try:
        asyncio.run(ask())
    except ConnectionRefusedError:
        return False
    return True


def pods() -> list[dict[str, object]]:
    items: list[dict[str, object]] = json.loads(sampan("get", "pods", "-l", "app=hello", "-o", "json"))["items"]
    return [p for p in items if "deletionTimestamp" not in p["metadata"]]  # type: ignore[operator]


def name_of(pod: dict[str, object]) -> str:
    return str(pod["metadata"]["name"])  # type: ignore[index]


def roll_out(*command: str, given: str | None = None) -> None:
    """Run a command of Sampan, if any, and wait until the Deployment is as it should be."""
    if command:
        sampan(*command, given=given)
    sampan("rollout", "status", "deployment/hello", "--timeout=120s")


def under_load(work: Callable[[], object]) -> visitor.Crowd:
    load = visitor.Crowd(version, WORKERS)
    load.during(work)
    return load


def report(load: visitor.Crowd) -> str:
    served = ", ".join(f"{count} by {name}" for name, count in sorted(load.answers.items()))
    return f"{load.report()}: {served}"


def manifest(version: str) -> str:
    return (HELLO / "hello.yaml").read_text().replace("sampan.dev/hello:v1", f"sampan.dev/hello:{version}", 1)


def show(cluster: ClusterConfig) -> list[str]:
    with step("make two versions of the image and load them") as said, tempfile.TemporaryDirectory() as folder:
        for each in ("v1", "v2"):
            archive = f"{folder}/{each}.tar"
            subprocess.run([sys.executable, str(HELLO / "make-image"), each, archive], check=True)
            said += sampan("image", "load", archive).split("\n")
    deploy()
    reach_by_name()
    with step("scale to five") as said:
        said.append(sampan("scale", "deployment/hello", "--replicas=5"))
        roll_out()
    kill()
    change()
    return [
        f"{URL}   the hello service",
        "    sampan get pods -o wide    sampan logs -l app=visitor -f    sampan exec -it deploy/hello -- sh",
    ]


def deploy() -> None:
    with step("deploy three replicas, a service, settings, a secret, a visitor") as said:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "hello"},
            "stringData": {"token": secrets.token_urlsafe(16)},
        }
        said += sampan("apply", "-f", "-", given=json.dumps(secret)).split("\n")
        said += sampan("apply", "-f", "-", given=manifest("v1")).split("\n")
        roll_out()
        eventually(answers, f"{URL} answers", deadline=10)
        said.append(f"{URL} answers: {asyncio.run(ask())}")


def reach_by_name() -> None:
    with step("the visitor reaches it by its DNS name") as said:
        sampan("rollout", "status", "deployment/visitor", "--timeout=60s")
        sampan("wait", "--for=condition=Ready", "pod", "-l", "app=visitor", "--timeout=60s")
        name = sampan("get", "pod", "-l", "app=visitor", "-o", "jsonpath={.items[0].metadata.name}")
        with subprocess.Popen(["sampan", "logs", "-f", name], stdout=subprocess.PIPE, text=True) as logs:
            assert logs.stdout
            said.append(next(line.strip() for line in logs.stdout if "version" in line))
            logs.terminate()


def kill() -> None:
    with step("kill a container: it is restarted") as said:
        victim = name_of(pods()[0])
        before = sampan("get", "pod", victim, "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
        attempt("exec", victim, "--", "kill", "1")  # which may be ended with it
        after = str(int(before) + 1)
        sampan("wait", f"--for=jsonpath={{.status.containerStatuses[0].restartCount}}={after}", f"pod/{victim}")
        sampan("wait", "--for=condition=Ready", f"pod/{victim}", "--timeout=60s")
        said.append(f"{victim} runs again, restart count {after}")
    with step("delete a pod: it is replaced") as said:
        old = {name_of(pod) for pod in pods()}
        sampan("delete", "pod", victim)
        roll_out()
        said.append(f"{victim} -> {', '.join({name_of(pod) for pod in pods()} - old)}")


def change() -> None:
    """A new version and back, each without one failed request."""
    new = manifest("v2").replace("replicas: 3", "replicas: 5")
    loads = []
    for title, command, given in (
        ("roll out version 2 under load", ("apply", "-f", "-"), new),
        ("roll it back under load", ("rollout", "undo", "deployment/hello"), None),
    ):
        with step(title) as said:
            load = under_load(functools.partial(roll_out, *command, given=given))
            said.append(report(load))
            loads.append(load)
    print(f"    {asyncio.run(ask())}")
    failed = sum(sum(load.failures.values()) for load in loads)
    if failed:
        sys.exit(f"{failed} requests failed while rolling out")
