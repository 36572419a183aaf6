"""The whole git server on loopback, before a real API server, for stock git."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sampan import pki
from sampan.api.extra.pipelinerun_v1 import PipelineRun
from sampan.api.types import core_v1, rbac_v1
from sampan.api.types.meta_v1 import ObjectMeta
from sampan.api.user import User
from sampan.config import ClusterConfig
from sampan.dashboard.access import make_token
from sampan.delivery.git.counts import Counts
from sampan.delivery.git.room import GitRoom
from sampan.delivery.places import Places
from sampan.http.client import HttpTransport
from sampan.http.tls import client_context
from sampan.runtime.tasks import Group
from sampan.testing.cluster import Cluster

SERVER = User("system:sampan:git", groups=("system:authenticated",))
LARGEST = 2 << 20
PIPELINE = "pipeline {\n  agent any\n  stages {\n    stage('Hi') {\n      steps { echo 'hi' }\n    }\n  }\n}\n"


@dataclass(slots=True)
class Done:
    code: int
    said: str


@dataclass(slots=True)
class Runs:
    """Stands for the runner: tests say what a run's log has, and when it ends."""

    lines: list[str] = field(default_factory=lambda: ["hello from the run"])
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    followed: list[tuple[str, str]] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, namespace: str, name: str) -> AsyncIterator[str]:
        self.followed.append((namespace, name))
        try:
            for line in self.lines:
                yield line
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise


@dataclass(slots=True)
class Forge:
    """The server, its cluster, and git."""

    config: ClusterConfig
    cluster: Cluster
    runs: Runs
    root: Path
    counts: Counts

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.config.git_port}"

    @property
    def ca(self) -> Path:
        return self.config.pki_dir / "ca.crt"

    @property
    def places(self) -> Places:
        return Places(self.config.data_dir)

    def environ(self, token: str = "") -> dict[str, str]:
        """git with nothing of the machine's own configuration; a token is its password."""
        ask = self.root / "ask"
        ask.write_text('#!/bin/sh\necho "$TOKEN"\n')
        ask.chmod(0o755)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSL_CAINFO": str(self.ca),
            "TOKEN": token,
            **({"GIT_ASKPASS": str(ask)} if token else {}),
            **{f"GIT_{who}_{what}": "ann@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    async def git(self, folder: Path, *words: str, token: str = "", check: bool = False) -> Done:
        process = await asyncio.create_subprocess_exec(
            "git",
            *words,
            cwd=folder,
            env=self.environ(token),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        done = Done(process.returncode or 0, out.decode(errors="replace"))
        assert not check or done.code == 0, done.said
        return done

    async def source(self, name: str = "src", **files: str) -> Path:
        """A repository with one commit on main."""
        folder = self.root / name
        folder.mkdir()
        await self.git(folder, "init", "-q", "-b", "main", check=True)
        await self.commit(folder, **(files or {"Jenkinsfile": PIPELINE}))
        return folder

    async def commit(self, folder: Path, **files: str) -> str:
        for path, text in files.items():
            (folder / path).write_text(text)
        await self.git(folder, "add", "-A", check=True)
        await self.git(folder, "commit", "-q", "-m", "change", check=True)
        return (await self.git(folder, "rev-parse", "HEAD", check=True)).said.strip()

    async def token(self, name: str, role: str, namespace: str = "default") -> str:
        """Of a new account with a role in the namespace."""
        client = self.cluster.client
        await client.create(core_v1.ServiceAccount(metadata=ObjectMeta(name=name, namespace=namespace)))
        subject = rbac_v1.Subject(kind="ServiceAccount", name=name, namespace=namespace)
        ref = rbac_v1.RoleRef(apiGroup="rbac.authorization.k8s.io", kind="ClusterRole", name=role)
        binding = rbac_v1.RoleBinding(
            metadata=ObjectMeta(name=name, namespace=namespace), subjects=(subject,), roleRef=ref
        )
        await client.create(binding)

        async def create(path: str, document: dict[str, Any]) -> dict[str, Any]:
            response = await client.raw("POST", path, None, json.dumps(document).encode())
            return dict(json.loads(await response.read()))

        return (await make_token(create, namespace, name, 600))[0]

    async def made(self, namespace: str = "default") -> list[PipelineRun]:
        return list((await self.cluster.client.list(PipelineRun, namespace)).items)

    def transport(self, identity: str = "") -> HttpTransport:
        """A connection without git, which proves one of the cluster's identities."""
        proof: dict[str, Any] = {}
        if identity:
            authority = pki.Authority(self.config.pki_dir)
            certificate, key = authority.ensure(pki.Identity(identity, identity))
            proof = {"cert_file": certificate, "key_file": key}
        return HttpTransport(self.url, tls=client_context(ca_file=self.ca, **proof))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def serving(root: Path, largest_push: int = LARGEST) -> AsyncIterator[Forge]:
    config = ClusterConfig(
        name="gittest", data_root=root / "data", run_root=root, git_port=free_port(), pod_cidr="10.254.0.0/16"
    )
    authority = pki.Authority(config.pki_dir)
    authority.ensure(pki.Identity("git", "system:sampan:git", (), ("127.0.0.1",)))
    async with Cluster(nodes=0, controllers=(), scheduler=False) as cluster:
        runs = Runs()
        room = GitRoom(config, cluster.client_as(SERVER), runs.follow, largest_push=largest_push)
        async with Group("test") as group:
            task = group.start("git", room.run())
            await room.listening.wait()
            yield Forge(config, cluster, runs, root, room.counts)
            task.cancel()


@pytest.fixture
async def forge() -> AsyncIterator[Forge]:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    # Paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="sampan-") as folder:
        async with serving(Path(folder)) as made:
            yield made
