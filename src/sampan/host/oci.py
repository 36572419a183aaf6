"""The OCI runtime program: which one works here, and how it is called.

`auto` tries crun, then runc, each by running a trivial container. The verdict is kept on disk with the
program's modification time, so that a later start does not ask again. See the OCI runtime specification,
"Runtime and Lifecycle"; the layout of `exec.fifo` is the same since runc 1.0 and crun 0.1.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from sampan.host import cgroups, processes, state
from sampan.host.containers import RuntimeFailure

Kind = Literal["crun", "runc"]
ORDER: tuple[Kind, ...] = ("crun", "runc")
SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), processes.PATH))


@dataclass(frozen=True, slots=True)
class Program:
    """`path` is what is executed; `root` its own state directory."""

    kind: Kind
    path: str
    root: str

    def exec(self, id: str, directory: str) -> list[str]:
        """Execute `directory`/process.json. With a log file, standard error has an error's plain words."""
        files = ["--process", f"{directory}/process.json", "--pid-file", f"{directory}/pid"]
        return [self.path, "--root", self.root, "--log", f"{directory}/log", "exec", *files, id]

    def fifo(self, id: str) -> str:
        return f"{self.root}/{id}/exec.fifo"

    async def release(self, id: str, pid: int, started: int) -> None:
        """Let a created container run its program: what `start` does, without another process.

        The container's init blocks on a fifo: runc's opens it to write, crun's to read.
        """
        path = self.fifo(id)
        ended = asyncio.ensure_future(processes.ended(pid, started))
        try:
            if self.kind == "runc":
                descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    opened = asyncio.ensure_future(processes.readable(descriptor))
                    await asyncio.wait((opened, ended), return_when=asyncio.FIRST_COMPLETED)
                    opened.cancel()
                finally:
                    os.close(descriptor)
            else:
                _write_fifo(path)
        finally:
            ended.cancel()
        os.unlink(path)


def _write_fifo(path: str) -> None:
    """crun's init holds the reading end open already, so that this does not block."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(descriptor, b"\0")
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a program works here and why not; `stamp` is the modification time and size of what was tried."""

    kind: Kind
    path: str
    works: bool
    reason: str
    stamp: str = ""


async def choose(wanted: str, run_dir: str, cache: str) -> tuple[Verdict, ...]:
    """Verdicts in the order tried; the last is the chosen one. Raises RuntimeFailure when none works.

    `wanted` is auto, crun, runc or the absolute path of one of them.
    """
    verdicts: list[Verdict] = []
    known = {verdict.path: verdict for verdict in _read(cache)}
    for kind, path in _candidates(wanted):
        verdict = known.get(path) if path else Verdict(kind, kind, False, "not installed")
        if verdict is None or (path and verdict.stamp != _stamp(path)):
            verdict = await _try(kind, path, run_dir)
        verdicts.append(verdict)
        if verdict.works:
            break
    state.write_file(cache, msgspec.json.encode(verdicts))
    if not verdicts or not verdicts[-1].works:
        reasons = "; ".join(f"{verdict.path}: {verdict.reason}" for verdict in verdicts)
        raise RuntimeFailure("RuntimeNotReady", f"no OCI runtime works here: {reasons}")
    return tuple(verdicts)


def _candidates(wanted: str) -> list[tuple[Kind, str]]:
    if wanted == "auto":
        return [(kind, shutil.which(kind, path=SEARCH) or "") for kind in ORDER]
    kind: Kind = "crun" if "crun" in os.path.basename(wanted) else "runc"
    return [(kind, shutil.which(wanted, path=SEARCH) or "")]


def _read(cache: str) -> Sequence[Verdict]:
    return state.read(cache, tuple[Verdict, ...]) or ()


def _stamp(path: str) -> str:
    status = os.stat(path)
    return f"{status.st_mtime_ns}/{status.st_size}"


async def _try(kind: Kind, path: str, run_dir: str) -> Verdict:
    """Run a container whose program does not exist: a runtime that works gets as far as looking for it."""
    name = f"trial{os.getpid()}"
    bundle = f"{run_dir}/{name}"
    os.makedirs(f"{bundle}/rootfs", exist_ok=True)
    try:
        state.write_file(f"{bundle}/config.json", msgspec.json.encode(_trivial(name)))
        argv = [path, "--root", f"{bundle}/root", "run", "--bundle", bundle, name]
        output = await processes.run(argv)
        text = (output.stderr or output.stdout).decode(errors="replace").strip()
        missing = "no such file" in text.lower() or "not found" in text.lower()
        works = output.code != 0 and missing and "/absent" in text
        return Verdict(kind, path, works, "works" if works else text[-300:], _stamp(path))
    finally:
        shutil.rmtree(bundle, ignore_errors=True)
        cgroups.remove(cgroups.detect(), name)


def _trivial(name: str) -> dict[str, object]:
    kinds = ("pid", "mount", "ipc", "uts", "network")
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/absent"], "cwd": "/", "noNewPrivileges": True},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"cgroupsPath": f"/{name}", "namespaces": [{"type": kind} for kind in kinds]},
    }
