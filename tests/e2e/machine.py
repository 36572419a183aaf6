"""A real cluster on this machine for end-to-end tests, driven by the stock kubectl where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HELLO = Path(__file__).resolve().parents[2] / "examples" / "hello"
SAMPAN = (sys.executable, "-m", "sampan.cli.main")
KUBECTL = shutil.which("kubectl")
DEADLINE = 60.0


@dataclass(slots=True)
class Machine:
    """One cluster; `number` keeps ports and ranges of several apart."""

    root: Path
    name: str
    number: int = 0
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ = {**os.environ, "KUBECONFIG": str(self.root / "kubeconfig")}

    @property
    def port(self) -> int:
        return 17443 + self.number

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

    def up(self) -> subprocess.CompletedProcess[str]:
        return self.sampan(
            "up",
            *self.where(),
            *("--api-port", str(self.port), "--node-port", str(17250 + self.number)),
            *("--pod-cidr", f"10.{230 + 2 * self.number}.0.0/16"),
            *("--service-cidr", f"10.{231 + 2 * self.number}.0.0/16"),
        )

    def down(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.sampan("down", *self.where(), *options)

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


def new_root() -> Path:
    return Path(tempfile.mkdtemp(prefix="sampan-e2e-", dir="/var/tmp"))


def leftovers(name: str) -> list[str]:
    """What a cluster of this name would leave in the kernel."""
    found = []
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    found += [line for line in links.splitlines() if f" {name}0" in line or f"master {name}0" in line]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found += [line for line in tables.splitlines() if line.split()[-1:] == [name] or f" {name}-" in line]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if f"/{name}/" in line]
    for top in Path("/sys/fs/cgroup").glob("*"):
        if (top / name).is_dir():
            found.append(str(top / name))
    return found
