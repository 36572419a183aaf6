"""examples/guestbook: from its source to a published, measured application, and what becomes of it under stress."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from sampan.config import ClusterConfig
from tour import visitor
from tour.telling import EXAMPLES, Say, attempt, eventually, live, sampan, step, stream
from tour.visitor import Crowd, Visitor

GUESTBOOK = EXAMPLES / "guestbook"
APP, DATABASE = "guestbook", "mariadb"
HOST = f"{APP}.localhost"
BASE = "debian:bookworm-slim"
IMAGE = f"sampan.dev/apps/{APP}:latest"
VISITORS, WORK = 6, "/work?ms=60"
LONGEST_LOAD = 90.0  # seconds
PIPELINE = ("run ", "stage ", "agent ", "+ ", "archived", "built ", f"{APP}-")
STEP = re.compile(r"^[1-6] (image|pods|volumes|service|publish|monitor) ")


def show(cluster: ClusterConfig) -> list[str]:
    guest = Visitor(HOST, cluster.http_port, cluster.https_port, sampan("trust", "--print"))
    begin()
    build()
    deploy()
    open_it(guest)
    write(guest)
    kill_database(guest)
    load(cluster)
    push(guest)
    roll_back(guest)
    trace(guest)
    console = sampan("console").splitlines()
    port = "" if cluster.http_port == 80 else f":{cluster.http_port}"
    return [
        f"http://{HOST}{port}/   the guestbook; https:// too, after sampan trust has told this machine whom to believe",
        f"    sampan get apps    sampan why {APP}    sampan logs {APP} -f    sampan releases {APP}",
        f"{console[0]}   the console; a token to sign in: sampan console",
    ]


def begin() -> None:
    """An earlier tour's app goes, so that this one shows the whole way; the database stays, with its entries."""
    if sampan("get", "app", APP, "--ignore-not-found", "-o", "name"):
        with step("take away the guestbook of an earlier tour (its entries stay)"):
            sampan("delete", "app", APP)
            sampan("wait", "--for=delete", "pod", "-l", f"sampan.dev/app={APP}", "--timeout=60s")


def build() -> None:
    with live("the base: a distribution's packages (sampan image base)") as say:
        stream(say, "image", "base", "debian", "--suite", "bookworm")
    with live("middleware on the base, the service on the middleware (sampan image build)") as say:
        stream(say, "image", "build", "-t", IMAGE, str(GUESTBOOK))
        say("")
        for line in sampan("image", "history", IMAGE).splitlines():
            say(line)


def deploy() -> None:
    with live("what traces Python programs without a change to them (sampan instrument)") as say:
        stream(say, "instrument", "python")
    for folder in (GUESTBOOK / "mariadb", GUESTBOOK):
        with live(f"sampan deploy {folder.relative_to(EXAMPLES.parent)}: six steps") as say:
            stream(say, "deploy", str(folder), keep=_told)


def _told(line: str) -> bool:
    return bool(STEP.match(line)) or " is deployed" in line or line.startswith("built")


def open_it(guest: Visitor) -> None:
    with step(f"open http://{HOST} and https://{HOST}") as said:
        plain, safe = guest.ask("/"), guest.ask("/", tls=True)
        if (plain.status, safe.status) != (200, 200):
            sys.exit(f"the page answers {plain.status}, over TLS {safe.status}; see `sampan why {APP}`")
        said.append(f"HTTP  {plain.status}, {len(plain.text)} bytes, answered by {_between(plain.text)}")
        names = ", ".join(name for _, name in guest.certificate()["subjectAltName"])
        said.append(f"HTTPS {safe.status}, a certificate for {names}, signed by {guest.authority}")


def _between(page: str) -> str:
    found = re.search(r"answered by <code>([^<]+)", page)
    return found[1] if found else "somebody"


def write(guest: Visitor) -> None:
    with step("three visitors leave a line") as said:
        before = len(guest.json("/entries.json")["entries"])
        for author, text in (("Ada", "It was nice here."), ("Grace", "<b>bold</b> & 'quoted'"), ("林", "到此一游")):
            answer = guest.ask("/entries", {"author": author, "text": text})
            if answer.status != 303:
                sys.exit(f"the entry of {author} was answered with {answer.status}")
        entries = guest.json("/entries.json")["entries"]
        said += [f"{each['author']}: {each['text']}" for each in entries[:3]]
        said.append(f"{len(entries)} entries, {before} of them from before")


def kill_database(guest: Visitor) -> None:
    with step("kill the database's pod: a new one finds the entries on its volume") as said:
        entries = guest.json("/entries.json")["entries"]
        old = _uid(f"{DATABASE}-0")
        sampan("delete", "pod", f"{DATABASE}-0", "--force", "--grace-period=0")
        killed = time.monotonic()
        eventually(lambda: _uid(f"{DATABASE}-0") not in ("", old), f"a new pod {DATABASE}-0")
        away: list[int] = []

        def back() -> bool:
            answer = guest.ask("/entries.json")
            away.extend([answer.status] if answer.status != 200 else [])
            return answer.status == 200

        eventually(back, "the guestbook with its entries")
        if guest.json("/entries.json")["entries"] != entries:
            sys.exit("the entries are not the same any more")
        said.append(f"all {len(entries)} entries again {time.monotonic() - killed:.1f} s after the kill")
        said.append(f"{len(away)} requests were told meanwhile that the database is away (503)")


def _uid(pod: str) -> str:
    return sampan("get", "pod", pod, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")


def load(cluster: ClusterConfig) -> None:
    async def work() -> str:
        return str(json.loads(await visitor.get(HOST, cluster.http_port, WORK))["pod"])

    crowd = Crowd(work, VISITORS)
    with live(f"load: {VISITORS} visitors ask for work at once, until the autoscaler adds pods") as say:
        crowd.during(functools.partial(_watch, say))
        say(f"{crowd.report()}, by {len(crowd.answers)} pods")
    if crowd.failures:
        sys.exit("requests failed while pods were added")


def _watch(say: Say) -> None:
    """Say how many pods there are whenever that changes, until more than one is ready."""
    began, last = time.monotonic(), ""
    while time.monotonic() - began < LONGEST_LOAD:
        found = json.loads(sampan("get", "hpa,deploy", APP, "-o", "json"))["items"]
        status, ready = found[0]["status"], found[1]["status"].get("readyReplicas", 0)
        used = [each["resource"]["current"].get("averageUtilization") for each in status.get("currentMetrics", [])]
        share = f"CPU {used[0]}% of the request" if used else "not measured yet"
        line = f"{status.get('desiredReplicas') or '?'} pods wanted, {ready} ready; {share}"
        if line != last:
            say(f"{time.monotonic() - began:4.0f} s  {line}")
            last = line
        if ready > 1 and ready >= status.get("desiredReplicas", 0):
            return
        time.sleep(1.0)
    sys.exit(f"the autoscaler added no pod within {LONGEST_LOAD:.0f} s; see `sampan describe hpa {APP}`")


def push(guest: Visitor) -> None:
    """A new version on its way: a repository of the person's own, and one command."""
    with tempfile.TemporaryDirectory(prefix="guestbook-") as folder, live("git push of version 2: the pipeline") as say:
        work = Path(folder) / APP
        shutil.copytree(GUESTBOOK, work, ignore=shutil.ignore_patterns("__pycache__", "mariadb"))
        (work / "version").write_text("2\n")
        git(work, "init", "--quiet", "--initial-branch=main")
        git(work, "add", ".")
        who = ("-c", "user.name=Tour", "-c", "user.email=tour@localhost")
        git(work, *who, "commit", "--quiet", "--message", f"version 2, {time.strftime('%H:%M:%S')}")
        for line in run(["sampan", "remote", APP], work).splitlines():
            say(line)
        started = time.monotonic()
        command = ["git", "push", "--force", "sampan", "main"]
        say(" ".join(command))
        with subprocess.Popen(
            command, cwd=work, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as pushed:
            assert pushed.stdout
            lines = [line.rstrip() for line in _hearing(pushed.stdout, started, say)]
        if pushed.returncode:
            sys.exit("\n".join([*lines, f"the push ended with {pushed.returncode}; see `sampan pipeline {APP} last`"]))
        eventually(lambda: guest.json("/entries.json")["version"] == "2", "version 2 answers")
        for line in sampan("pipeline", APP).splitlines():
            say(line)


def _hearing(lines: Iterable[str], started: float, say: Say) -> Iterator[str]:
    """All lines; those about stages are said with their time. The whole log: sampan pipeline guestbook last."""
    for line in lines:
        told = line.rstrip().removeprefix("remote: ")
        if told.startswith(PIPELINE) or STEP.match(told):
            say(f"{time.monotonic() - started:5.1f} s  {told}")
        yield line


def git(work: Path, *words: str) -> str:
    return run(["git", *words], work)


def run(command: list[str], work: Path) -> str:
    done = subprocess.run(command, cwd=work, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def _environment() -> dict[str, str]:
    """Without what would turn git to another authority than the cluster's, or to another repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def roll_back(guest: Visitor) -> None:
    with live(f"roll back (sampan rollback {APP})") as say:
        stream(say, "rollback", APP, keep=_told)
        eventually(lambda: guest.json("/entries.json")["version"] == "1", "version 1 answers")
        for line in sampan("releases", APP).splitlines():
            say(line)


def trace(guest: Visitor) -> None:
    """Programs tell of their spans about a second later."""
    with step(f"the call chain of one request, from the ingress to SQL (sampan trace {APP})") as said:
        guest.ask("/", tls=True)
        chain: list[str] = []

        def told() -> bool:
            chain[:] = attempt("trace", APP).splitlines()
            return any("SELECT" in line for line in chain) and any(line.startswith("ingress") for line in chain)

        eventually(told, "the request's call chain", pause=0.3)
        said += [*chain, "", *sampan("trace", "--map").splitlines()]
