"""The stock kubectl against our streams: an API of one pod, reached over TLS and through a relay as in a cluster."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from sampan.http import sockets, tls
from sampan.http.client import HttpTransport
from sampan.http.types import Connection, Request, Response
from sampan.pki import Authority
from sampan.streams import relay
from sampan.streams.commands import Options, serve_remote_command
from sampan.streams.forwards import serve_port_forward
from tests.http.conftest import authority, server_files, server_tls, serving
from tests.streams.lab import Program

__all__ = ["authority", "server_files", "server_tls"]

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "web", "namespace": "default", "uid": "1"},
    "spec": {"nodeName": "here", "containers": [{"name": "main", "image": "x", "stdin": True, "tty": False}]},
    "status": {"phase": "Running", "containerStatuses": [{"name": "main", "ready": True, "state": {"running": {}}}]},
}
RESOURCES = {
    "kind": "APIResourceList",
    "groupVersion": "v1",
    "resources": [{"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["get", "list"]}],
}
DOCUMENTS = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": RESOURCES,
    "/api/v1/namespaces/default/pods/web": POD,
}


@dataclass
class Cluster:
    """`program` is what exec and attach meet; `pod_port` is where the pod's port 80 really is."""

    program: Program = field(default_factory=Program)
    pod_port: int = 0
    upgrades: list[str] = field(default_factory=list)
    options: Options | None = None
    onward: HttpTransport | None = None

    async def node(self, request: Request) -> Response:
        self.upgrades.append(
            request.headers.get("sec-websocket-protocol") or request.headers["x-stream-protocol-version"]
        )
        if request.path.endswith("/portforward"):
            return await serve_port_forward(request, self._dial)
        return await serve_remote_command(request, self._start, attach=request.path.endswith("/attach"))

    async def _dial(self, port: int) -> Connection:
        if port != 80:
            raise ConnectionRefusedError("connection refused")
        return await sockets.connect("127.0.0.1", self.pod_port)

    async def _start(self, options: Options) -> Program:
        self.options = options
        return self.program

    async def front(self, request: Request) -> Response:
        document = DOCUMENTS.get(request.path)
        if document is not None:
            return Response(200, msgspec.json.encode(document), (("Content-Type", "application/json"),))
        if "upgrade" in request.headers:
            assert self.onward is not None
            return await relay(request, self.onward.connect)
        return Response(404, b"404 page not found\n")


class Kubectl:
    def __init__(self, kubeconfig: Path, home: Path, protocol: str) -> None:
        websockets = "true" if protocol == "websocket" else "false"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KUBECONFIG": str(kubeconfig),
            "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets,
            "KUBECTL_PORT_FORWARD_WEBSOCKETS": websockets,
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            KUBECTL or "", *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=self._environment
        )

    async def run(self, *arguments: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        process = await self.start(*arguments)
        async with asyncio.timeout(30):
            out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out, err


@pytest.fixture(params=["websocket", "spdy"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def running(
    server_tls: ssl.SSLContext, authority: Authority, directory: Path, protocol: str
) -> AsyncIterator[tuple[Cluster, Kubectl]]:
    cluster = Cluster()
    trust = tls.client_context(ca_file=authority.certificate_path)
    async with serving(cluster.node, tls=server_tls) as (_, node_port):
        cluster.onward = HttpTransport(f"https://127.0.0.1:{node_port}", tls=trust)
        async with serving(cluster.front, tls=server_tls) as (_, port):
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "x",
                "clusters": [
                    {
                        "name": "x",
                        "cluster": {
                            "server": f"https://127.0.0.1:{port}",
                            "certificate-authority": str(authority.certificate_path),
                        },
                    }
                ],
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "users": [{"name": "x", "user": {"token": "secret"}}],
            }
            kubeconfig = directory / "kubeconfig"
            kubeconfig.write_bytes(msgspec.json.encode(config))
            yield cluster, Kubectl(kubeconfig, directory, protocol)
        await cluster.onward.close()


async def test_exec_passes_input_output_and_the_exit_code(
    server_tls: ssl.SSLContext, authority: Authority, tmp_path: Path, protocol: str
) -> None:
    async with running(server_tls, authority, tmp_path, protocol) as (cluster, kubectl):

        async def behave() -> None:
            await cluster.program.stdin_closed.wait()
            for _ in range(40):
                cluster.program.say(1, b"o" * 50_000)
            cluster.program.say(2, b"some trouble\n")
            cluster.program.exit(42)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(behave())
            code, out, err = await kubectl.run("exec", "-i", "web", "--", "cmd", stdin=b"i" * 1_000_000)
    assert (code, cluster.program.stdin) == (42, b"i" * 1_000_000)
    assert out == b"o" * 2_000_000
    assert b"some trouble" in err and b"exit code 42" in err
    assert cluster.upgrades[0].split(", ")[0].startswith("v5.channel.k8s.io")
    assert len(cluster.upgrades) == 1
    assert cluster.program.closed.is_set()


async def test_exec_without_input(
    server_tls: ssl.SSLContext, authority: Authority, tmp_path: Path, protocol: str
) -> None:
    async with running(server_tls, authority, tmp_path, protocol) as (cluster, kubectl):
        cluster.program.say(1, b"done\n")
        cluster.program.exit(0)
        assert await kubectl.run("exec", "web", "--", "cmd") == (0, b"done\n", b"")
    assert cluster.options == Options(stdin=False, stdout=True, stderr=True, tty=False)


async def test_attach(server_tls: ssl.SSLContext, authority: Authority, tmp_path: Path, protocol: str) -> None:
    async with running(server_tls, authority, tmp_path, protocol) as (cluster, kubectl):

        async def behave() -> None:
            while cluster.program.stdin != b"typed\n":
                cluster.program.received.clear()
                await cluster.program.received.wait()
            cluster.program.say(1, b"heard\n")
            cluster.program.exit(3)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(behave())
            code, out, _ = await kubectl.run("attach", "-i", "web", stdin=b"typed\n")
    assert (code, out) == (0, b"heard\n")


async def test_the_process_ends_with_kubectl(
    server_tls: ssl.SSLContext, authority: Authority, tmp_path: Path, protocol: str
) -> None:
    async with running(server_tls, authority, tmp_path, protocol) as (cluster, kubectl):
        cluster.program.say(1, b"ready\n")
        process = await kubectl.start("exec", "web", "--", "sleep", "1000")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        process.kill()
        await process.communicate()
        await cluster.program.closed.wait()


async def test_port_forward(server_tls: ssl.SSLContext, authority: Authority, tmp_path: Path, protocol: str) -> None:
    async def shout(connection: Connection) -> None:
        while data := await connection.read():
            await connection.write(data.upper())

    listener = sockets.Listener(shout)
    async with running(server_tls, authority, tmp_path, protocol) as (cluster, kubectl):
        cluster.pod_port = await listener.listen("127.0.0.1", 0)
        process = await kubectl.start("port-forward", "--address=127.0.0.1", "web", ":80", ":81")
        assert process.stdout is not None and process.stderr is not None
        ports = [int((await process.stdout.readline()).split(b" -> ")[0].rpartition(b":")[2]) for _ in range(2)]

        async def use(letter: bytes) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])

            async def send() -> None:
                writer.write(letter * 500_000)
                writer.write_eof()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send())
                assert await reader.read() == letter.upper() * 500_000
            writer.close()

        async with asyncio.timeout(30):
            await asyncio.gather(*(use(letter) for letter in (b"a", b"b", b"c")))
            reader, writer = await asyncio.open_connection("127.0.0.1", ports[1])
            writer.write(b"x")
            assert await reader.read() == b""
            writer.close()
            while b"error forwarding port 81: connection refused" not in (line := await process.stderr.readline()):
                assert line
        process.kill()
        await process.communicate()
    await listener.close()
    assert cluster.upgrades == ["SPDY/3.1+portforward.k8s.io" if protocol == "websocket" else "portforward.k8s.io"]
