"""The door for clients of other makes: a real TLS server with a kubeconfig, opened when somebody asks for it."""

from __future__ import annotations

import asyncio
import base64
import shutil
import socket
import tempfile
from pathlib import Path

import yaml

from sampan import pki
from sampan.http.server import Server
from sampan.http.tls import server_context
from sampan.http.types import Handler

GRACE = 0.1
"""Seconds that clients have to finish; those that keep connections for later are cut off."""


class Front:
    """`url` and `kubeconfig` open the door: the socket listens at once, the event loop accepts in its next turn."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._directory: Path | None = None
        self._socket: socket.socket | None = None
        self._server: Server | None = None
        self._opening: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        self._open()
        assert self._socket is not None
        return f"https://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def kubeconfig(self) -> Path:
        self._open()
        assert self._directory is not None
        return self._directory / "kubeconfig"

    async def close(self) -> None:
        if self._opening is not None:
            await self._opening
        if self._server is not None:
            await self._server.close(grace=GRACE)
        if self._directory is not None:
            await asyncio.get_running_loop().run_in_executor(None, shutil.rmtree, self._directory)
        self._directory = self._socket = self._server = self._opening = None

    def _open(self) -> None:
        if self._server is not None:
            return
        self._directory = Path(tempfile.mkdtemp(prefix="sampan-test-"))
        authority = pki.Authority(self._directory)
        hosts = ("localhost", "127.0.0.1", "kubernetes", "kubernetes.default.svc")
        serving = authority.ensure(pki.Identity("apiserver", "kube-apiserver", (), hosts))
        admin = authority.ensure(pki.Identity("admin", "kubernetes-admin", ("system:masters",)))
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._socket.setblocking(False)
        tls = server_context(*serving, authority.certificate_path)
        self._server = Server(self._handler, tls=tls)
        # The one task of this file; `close` waits for it.
        self._opening = asyncio.get_running_loop().create_task(self._server.listen_on(self._socket), name="front")
        self._write_kubeconfig(authority.certificate_path, *admin)

    def _write_kubeconfig(self, ca: Path, certificate: Path, key: Path) -> None:
        assert self._directory is not None and self._socket is not None
        user = {"client-certificate-data": _data(certificate), "client-key-data": _data(key)}
        cluster = {"server": f"https://127.0.0.1:{self._socket.getsockname()[1]}"}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {**cluster, "certificate-authority-data": _data(ca)}}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin", "namespace": "default"}}],
            "current-context": "test",
        }
        pki.write_private(self._directory / "kubeconfig", yaml.safe_dump(content).encode())


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
