"""The tour behind scripts/demo: examples/hello from nothing to a rolled-out, rolled-back service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pathlib
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator

HELLO = pathlib.Path(__file__).resolve().parent.parent / "examples" / "hello"
PORT = 30080
URL = f"http://127.0.0.1:{PORT}/cgi-bin/hello"
WORKERS = 8


def sampan(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(["sampan", *arguments], check=False, input=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(
            f"\nsampan {' '.join(arguments)}\n{done.stdout}{done.stderr}\nthe demo stops here; see `sampan status`"
        )
    return done.stdout.strip()


@contextlib.contextmanager
def step(title: str) -> Iterator[list[str]]:
    """Print the step, what it appended, and how long it took."""
    if sys.stdout.isatty():
        print(f"{title} ...\r", end="", flush=True)
    said: list[str] = []
    started = time.monotonic()
    yield said
    print(f"{title:<66} {time.monotonic() - started:6.2f} s", flush=True)
    for line in said:
        print(f"    {line}")


async def ask() -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    try:
        writer.write(b"GET /cgi-bin/hello HTTP/1.0\r\nHost: hello\r\n\r\n")
        answer = (await reader.read()).decode()
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    if " 200 " not in head.split("\r\n")[0]:
        raise ConnectionError(f"answer was {head[:60]!r}")
    return body.strip()


class Load:
    """Requests from several workers, each on a new connection, until stopped."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.stopped = False

    async def worker(self) -> None:
        while not self.stopped:
            try:
                body = await ask()
            except OSError as error:
                self.failures[str(error)] += 1
            else:
                self.answers[body.split("version ")[1].split(",")[0]] += 1

    async def around(self, work: object) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self.worker())
            await asyncio.to_thread(work)  # type: ignore[arg-type]
            self.stopped = True

    def report(self) -> str:
        served = ", ".join(f"{count} by {version}" for version, count in sorted(self.answers.items()))
        failed = sum(self.failures.values())
        why = f" ({'; '.join(self.failures)})" if failed else ""
        return f"{sum(self.answers.values())} requests answered ({served}), {failed} failed{why}"


def pods() -> list[dict[str, object]]:
    items: list[dict[str, object]] = json.loads(sampan("get", "pods", "-l", "app=hello", "-o", "json"))["items"]
    return [p for p in items if "deletionTimestamp" not in p["metadata"]]  # type: ignore[operator]


def name_of(pod: dict[str, object]) -> str:
    return str(pod["metadata"]["name"])  # type: ignore[index]


def roll_out() -> None:
    sampan("rollout", "status", "deployment/hello", "--timeout=120s")


def under_load(work: object) -> Load:
    load = Load()
    asyncio.run(load.around(work))
    return load


def manifest(version: str) -> str:
    return (HELLO / "hello.yaml").read_text().replace("sampan.dev/hello:v1", f"sampan.dev/hello:{version}", 1)


def main() -> None:
    began = time.monotonic()
    with step("start the cluster (sampan up)") as said:
        said += subprocess.run(["sampan", "up"], check=True, capture_output=True, text=True).stderr.strip().split("\n")
    with step("make two versions of the image and load them") as said, tempfile.TemporaryDirectory() as folder:
        for version in ("v1", "v2"):
            archive = f"{folder}/{version}.tar"
            subprocess.run([sys.executable, str(HELLO / "make-image"), version, archive], check=True)
            said += sampan("image", "load", archive).split("\n")
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
        said.append(f"{URL} answers: {asyncio.run(ask())}")
    with step("the visitor reaches it by its DNS name") as said:
        sampan("rollout", "status", "deployment/visitor", "--timeout=60s")
        sampan("wait", "--for=condition=Ready", "pod", "-l", "app=visitor", "--timeout=60s")
        visitor = sampan("get", "pod", "-l", "app=visitor", "-o", "jsonpath={.items[0].metadata.name}")
        with subprocess.Popen(["sampan", "logs", "-f", visitor], stdout=subprocess.PIPE, text=True) as logs:
            assert logs.stdout
            said.append(next(line.strip() for line in logs.stdout if "version" in line))
            logs.terminate()
    with step("scale to five") as said:
        said.append(sampan("scale", "deployment/hello", "--replicas=5"))
        roll_out()
    with step("kill a container: it is restarted") as said:
        victim = name_of(pods()[0])
        before = sampan("get", "pod", victim, "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
        sampan("exec", victim, "--", "kill", "1")
        after = str(int(before) + 1)
        sampan("wait", f"--for=jsonpath={{.status.containerStatuses[0].restartCount}}={after}", f"pod/{victim}")
        sampan("wait", "--for=condition=Ready", f"pod/{victim}", "--timeout=60s")
        said.append(f"{victim} runs again, restart count {after}")
    with step("delete a pod: it is replaced") as said:
        old = {name_of(pod) for pod in pods()}
        sampan("delete", "pod", victim)
        roll_out()
        said.append(f"{victim} -> {', '.join({name_of(pod) for pod in pods()} - old)}")
    with step("roll out version 2 under load") as said:
        load = under_load(
            lambda: (sampan("apply", "-f", "-", given=manifest("v2").replace("replicas: 3", "replicas: 5")), roll_out())
        )
        said.append(load.report())
    with step("roll it back under load") as said:
        back = under_load(lambda: (sampan("rollout", "undo", "deployment/hello"), roll_out()))
        said.append(back.report())
        said.append(asyncio.run(ask()))
    failed = sum(load.failures.values()) + sum(back.failures.values())
    if failed:
        sys.exit(f"{failed} requests failed while rolling out")
    print(f"\nall of it took {time.monotonic() - began:.1f} s. The service stays at {URL}")
    print("try next:  sampan get pods -o wide    sampan logs -l app=visitor -f    sampan status    sampan down")
    print("or with kubectl (context sampan):  kubectl get all    kubectl exec -it deploy/hello -- sh")


if __name__ == "__main__":
    main()
