"""`sampan deploy` as a process of its own: builds and rollouts must not hold up the node.

The runner's identity is in a kubeconfig of its own. The process ends with the node's.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sampan.config import ClusterConfig
from sampan.delivery.running.contracts import Say
from sampan.delivery.running.lines import Lines
from sampan.runtime.tasks import all_of

GOODBYE = 10.0
"""Seconds that a command has to end when it is told to."""


def kubeconfig(cluster: ClusterConfig, path: Path) -> None:
    """The identity `delivery`; its certificate is named and not copied, so that a renewed one counts."""
    name, pki = cluster.name, cluster.pki_dir
    user = {"client-certificate": str(pki / "delivery.crt"), "client-key": str(pki / "delivery.key")}
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": cluster.api_url, "certificate-authority": str(pki / "ca.crt")}}
        ],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(document))
    partial.chmod(0o600)
    partial.replace(path)


async def sampan(words: Sequence[str], config: Path, say: Say) -> tuple[int, list[str]]:
    """The exit code, and the lines of standard output. All lines go to `say`.

    The words name what was pushed, and nothing of it is imported: Python does not look for modules where it works
    (-P), and it does not work there.
    """
    printed: list[str] = []

    async def out(line: str) -> None:
        printed.append(line)
        if line.strip():
            await say(line)

    async def err(line: str) -> None:
        if line.strip():
            await say(line)

    tied = shutil.which("setpriv")
    before = (tied, "--pdeathsig", "KILL", "--") if tied else ()
    process = await asyncio.create_subprocess_exec(
        *(*before, sys.executable, "-P", "-m", "sampan.cli.main", *words),
        cwd="/",
        env={**os.environ, "KUBECONFIG": str(config), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        for failure in await all_of("sampan", [_read(process.stdout, out), _read(process.stderr, err)]):
            if isinstance(failure, Exception):
                raise failure
        return await process.wait(), printed
    finally:
        if process.returncode is None:
            await _end(process)


async def _read(stream: asyncio.StreamReader, take: Say) -> None:
    lines = Lines(take)
    while data := await stream.read(1 << 16):
        await lines.take(data)
    await lines.rest()


async def _end(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        async with asyncio.timeout(GOODBYE):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
