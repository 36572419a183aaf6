"""A real cluster on this machine for end-to-end tests, driven by the stock kubectl where there is one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HELLO = Path(__file__).resolve().parents[2] / "examples" / "hello"
SAMPAN = (sys.executable, "-m", "sampan.cli.main")
KUBECTL = shutil.which("kubectl")
DEADLINE = 60.0
PLACES = Path("/var/tmp")
RUNS = 6
"""How many runs beside each other have ports and ranges of their own, apart from those of a default cluster."""


@dataclass(slots=True)
class Machine:
    """One cluster; `number`, below RUNS, keeps names, ports and ranges of several apart."""

    number: int
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ = {**os.environ, "KUBECONFIG": str(self.root / "kubeconfig")}

    @property
    def name(self) -> str:
        return f"e2e{self.number}"

    @property
    def root(self) -> Path:
        return PLACES / f"sampan-{self.name}"

    @property
    def pod_cidr(self) -> str:
        return f"10.{230 + 2 * self.number}.0.0/16"

    @property
    def service_cidr(self) -> str:
        return f"10.{231 + 2 * self.number}.0.0/16"

    @property
    def port(self) -> int:
        return 17443 + self.number

    @property
    def node_port(self) -> int:
        return 17250 + self.number

    @property
    def registry_port(self) -> int:
        return 17550 + self.number

    @property
    def git_port(self) -> int:
        return 17650 + self.number

    @property
    def http_port(self) -> int:
        """Where Ingresses are served: ports 80 and 443 may be somebody else's."""
        return 17080 + self.number

    @property
    def https_port(self) -> int:
        return 17180 + self.number

    @property
    def ports(self) -> tuple[int, ...]:
        return (self.port, self.node_port, self.registry_port, self.git_port, self.http_port, self.https_port)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> Path:
        return self.root / self.name

    @property
    def run_dir(self) -> Path:
        return self.root / "run" / self.name

    def where(self) -> Sequence[str]:
        return ("--name", self.name, "--data-root", str(self.root), "--run-root", str(self.root / "run"))

    def up(self, *more: str) -> subprocess.CompletedProcess[str]:
        return self.sampan(
            "up",
            *self.where(),
            *("--api-port", str(self.port), "--node-port", str(self.node_port)),
            *("--registry-port", str(self.registry_port), "--git-port", str(self.git_port)),
            *("--http-port", str(self.http_port), "--https-port", str(self.https_port)),
            *("--pod-cidr", self.pod_cidr, "--service-cidr", self.service_cidr),
            *more,
        )

    def purge(self) -> None:
        """End the cluster, whatever state it is in, and forget it."""
        try:
            self.sampan("down", *self.where(), "--purge")
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    def sampan(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return call([*SAMPAN, *arguments], self.environ, check=check)

    def kubectl(
        self, *arguments: str, given: str | None = None, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        assert KUBECTL, "kubectl is not installed"
        return call([KUBECTL, *arguments], self.environ, given=given, check=check, timeout=timeout)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def apply(self, *documents: dict[str, Any], namespace: str = "default") -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        self.kubectl("apply", "-n", namespace, "-f", "-", given=json.dumps(items))

    def load_images(self, *versions: str) -> None:
        for version in versions:
            archive = self.root / f"{version}.tar"
            call([sys.executable, str(HELLO / "make-image"), version, str(archive)], self.environ)
            self.sampan("image", "load", *self.where(), str(archive))
            archive.unlink()

    def pids(self) -> dict[str, int]:
        status = json.loads((self.run_dir / "status.json").read_text())
        return {"supervisor": status["pid"], **{name: role["pid"] for name, role in status["roles"].items()}}


def call(
    command: Sequence[str],
    environ: dict[str, str],
    *,
    given: str | None = None,
    check: bool = True,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, env=environ, input=given, capture_output=True, text=True, timeout=timeout, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)} -> {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def eventually(probe: Callable[[], Any], why: str, deadline: float = DEADLINE) -> Any:
    """The first true value of `probe`; fails with the last value when the deadline passes."""
    until = time.monotonic() + deadline
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < until, f"{why}: still {value!r} after {deadline:.0f} s"
        # An observer from outside has nothing to wait on; the probes are whole commands and pace themselves.


@contextlib.contextmanager
def alone() -> Iterator[Machine]:
    """A machine that no other run has now, without what a killed run has left of it. Not started."""
    for number in range(RUNS):
        # An abstract name lasts as long as this process and leaves no file.
        with socket.socket(socket.AF_UNIX) as mark:
            try:
                mark.bind(f"\0sampan-e2e{number}")
            except OSError:
                continue
            machine = Machine(number)
            machine.purge()
            if any(map(taken, machine.ports)):
                continue
            yield machine
            return
    raise AssertionError(f"all {RUNS} places for end-to-end tests on this machine are taken: names or ports in use")


def taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return True
    return False


def leftovers(machine: Machine) -> list[str]:
    """What is there of a cluster that should be gone."""
    name, found = machine.name, []

    def lines(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    found += [line for line in lines("ip", "-o", "link") if line.split()[1].startswith(name)]
    prefixes = tuple(cidr.removesuffix("0.0/16") for cidr in (machine.pod_cidr, machine.service_cidr))
    found += [
        line for line in lines("ip", "route", "show", "table", "all") if any(f" {p}" in f" {line}" for p in prefixes)
    ]
    found += [line for line in lines("nft", "list", "tables") if line.split()[-1].startswith(name)]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if f"{machine.root}/" in line]
    found += [str(top / name) for top in Path("/sys/fs/cgroup").glob("*") if (top / name).is_dir()]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may end while it is looked at
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            # Workers of nginx say nothing of themselves, but write into a log.
            files = [os.readlink(each) for each in (process / "fd").iterdir()] if "nginx:" in command else []
            if f"{machine.root}/" in " ".join([command, *files]) or f"--name {name} " in command:
                found.append(f"process {process.name}: {command}")
    return found + ([str(machine.root)] if machine.root.exists() else [])
