"""A cluster of its own for measuring: started, used and purged by the benchmark process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sampan.api import kinds
from sampan.api.types import core_v1, meta_v1, rbac_v1
from sampan.client.client import Client
from sampan.http.client import HttpTransport

NAME = "bench"
PORT = 16443
HELLO = Path(__file__).resolve().parent.parent / "examples" / "hello" / "make-image"
IMAGE = "sampan.dev/hello:bench"
SAMPAN = (sys.executable, "-m", "sampan.cli.main")


async def call(*command: str) -> str:
    """Run a program to its end; the loop's own subprocesses would wait for children that keep the pipe open."""
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


@dataclass(slots=True)
class Lab:
    """A running cluster. `started` is when `sampan up` was called, by time.perf_counter."""

    root: Path
    name: str = NAME
    number: int = 0
    started: float = 0.0
    ready: float = 0.0
    token: str = ""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        return PORT + self.number

    @property
    def http_port(self) -> int:
        """Where Ingresses are served."""
        return 16080 + self.number

    @property
    def registry_port(self) -> int:
        return 16500 + self.number

    @property
    def pki(self) -> Path:
        return self.root / self.name / "pki"

    def settings(self) -> Sequence[str]:
        """Ports and ranges that no other cluster of this machine has."""
        return (
            *("--api-port", str(self.port), "--node-port", str(16250 + self.number)),
            *("--pod-cidr", f"10.{240 + 2 * self.number}.0.0/16"),
            *("--service-cidr", f"10.{241 + 2 * self.number}.0.0/16"),
            *("--registry-port", str(self.registry_port), "--git-port", str(16600 + self.number)),
            *("--http-port", str(self.http_port), "--https-port", str(self.http_port + 100)),
            "--no-kubeconfig",
        )

    def where(self) -> Sequence[str]:
        return ("--name", self.name, "--data-root", str(self.root), "--run-root", str(self.root / "run"))

    def identity(self) -> Sequence[str]:
        """Flags of `sampan` commands that speak to the API server, in the administrator's name."""
        pki = self.pki
        return (
            *("--server", self.url, "--certificate-authority", str(pki / "ca.crt")),
            *("--client-certificate", str(pki / "admin.crt"), "--client-key", str(pki / "admin.key")),
        )

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        context.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        return context

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        transport = HttpTransport(self.url, tls=self.tls())
        try:
            yield Client(transport, kinds.ALL)
        finally:
            await transport.close()

    async def up(self) -> None:
        self.started = time.perf_counter()
        await call(*SAMPAN, "up", *self.where(), *self.settings())
        self.ready = time.perf_counter()

    async def down(self, *options: str) -> None:
        await call(*SAMPAN, "down", *self.where(), *options)

    async def load_image(self) -> None:
        archive = self.root / "hello.tar"
        await call(sys.executable, str(HELLO), "bench", str(archive))
        await call(*SAMPAN, "image", "load", *self.where(), str(archive))
        archive.unlink()

    async def make_token(self) -> None:
        """A token of a cluster admin, for load generators that cannot show a certificate."""
        async with self.client() as client:
            account = core_v1.ServiceAccount(metadata=_meta("bench", "default"))
            await client.create(account)
            await client.create(
                rbac_v1.ClusterRoleBinding(
                    metadata=_meta("bench"),
                    roleRef=rbac_v1.RoleRef(
                        apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name="cluster-admin"
                    ),
                    subjects=(rbac_v1.Subject(kind="ServiceAccount", name="bench", namespace="default"),),
                )
            )
            path = "/api/v1/namespaces/default/serviceaccounts/bench/token"
            answer = await client.raw("POST", path, None, json.dumps(_token_request()).encode())
            self.token = json.loads(await answer.read())["status"]["token"]

    def pids(self) -> dict[str, int]:
        status = json.loads((self.root / "run" / self.name / "status.json").read_text())
        return {"supervisor": status["pid"], **{name: role["pid"] for name, role in status["roles"].items()}}


def _meta(name: str, namespace: str | None = None) -> meta_v1.ObjectMeta:
    return meta_v1.ObjectMeta(name=name, namespace=namespace)


def _token_request() -> dict[str, object]:
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}


@contextlib.asynccontextmanager
async def lab(*, image: bool = False) -> AsyncIterator[Lab]:
    if os.geteuid() != 0:
        raise RuntimeError("a cluster needs root")
    # The state goes to a real disk: durable writes are part of the figures.
    number = int(os.environ.get("SAMPAN_BENCH", "0"))  # several runs beside each other need different ones
    place = Lab(Path(tempfile.mkdtemp(prefix="sampan-bench-", dir="/var/tmp")), f"{NAME}{number or ''}", number)
    try:
        await place.up()
        await place.make_token()
        if image:
            await place.load_image()
        yield place
    finally:
        await place.down("--purge")
        shutil.rmtree(place.root)


def pss(pid: int) -> int:
    """Proportional set size in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1]) * 1024  # type: ignore[index]


def ticks(pid: int) -> int:
    """Processor time used so far, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


async def wrk(place: Lab, path: str, *, connections: int, seconds: int = 5, script: str = "") -> float:
    """Requests a second as wrk counts them; raises when an answer was not 2xx."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", f"Authorization: Bearer {place.token}"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        if script:
            lua.write(script)
            lua.flush()
            command += ["-s", lua.name]
        out = await call(*command, f"{place.url}{path}")
    if "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(out)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])  # type: ignore[index]


def post(path: str, body: dict[str, object]) -> str:
    """A wrk script that creates objects of unique names; `NAME` in the body becomes the name."""
    text = json.dumps(body, separators=(",", ":"))
    return f"""
local count = 0
local run = tostring(os.time()) .. tostring({{}}):match("0x(%x+)")
function request()
  count = count + 1
  local body = string.gsub([==[{text}]==], "NAME", "n-" .. run .. "-" .. count)
  local headers = {{["Content-Type"]="application/json", ["Authorization"]=wrk.headers["Authorization"]}}
  return wrk.format("POST", "{path}", headers, body)
end
"""
