"""Where builds work: a directory for each piece of work, and what a build that was killed left in one.

A piece of work holds a lock on its directory; what nobody holds is dead, and goes when the next build starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sampan.host import mounts
from sampan.images.build.errors import BuildError

if TYPE_CHECKING:
    from sampan.host import cgroups, oci
    from sampan.host.spec import Machine

_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Bench:
    """One piece of work: `data` for overlays, `run` for the container's bundle and secrets, `id` its name."""

    id: str
    data: str
    run: str


@dataclass(slots=True)
class Workshop:
    """`data` lies on the disk of the image store, `run` in memory. `name` begins the names of cgroups.

    `oci_cache` is where the verdict about OCI runtimes is kept, shared with the node's.
    """

    name: str
    data: str
    run: str
    wanted: str = "auto"
    oci_cache: str = ""
    _tools: Tools | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def _benches(self) -> str:
        return f"{self.data}/work"

    @contextlib.contextmanager
    def bench(self) -> Iterator[Bench]:
        """A directory of one's own, gone at the end with all mounts below it."""
        made, lock = self._occupied()
        try:
            yield made
        finally:
            _clear(made)
            os.close(lock)

    def _occupied(self) -> tuple[Bench, int]:
        """A new directory and the lock on it; a sweep that came in between took the directory away."""
        while True:
            id = os.urandom(6).hex()
            made = Bench(id, f"{self._benches}/{id}", f"{self.run}/{id}")
            os.makedirs(made.run, mode=0o700)
            os.makedirs(made.data, mode=0o700)
            try:
                lock = _locked(f"{made.data}/{_LOCK}", fcntl.LOCK_EX)
            except FileNotFoundError:
                continue
            if os.fstat(lock).st_nlink:
                return made, lock
            os.close(lock)

    async def tools(self) -> Tools:
        """The OCI runtime and the machine's facts, looked for once. Raises RuntimeFailure when none works."""
        # late: a build that runs nothing needs none of it
        from sampan.host import cgroups, engine, oci

        async with self._asking:
            if self._tools is None:
                os.makedirs(self.run, mode=0o711, exist_ok=True)
                cache = self.oci_cache or f"{self.data}/oci-runtime.json"
                os.makedirs(os.path.dirname(cache), exist_ok=True)
                verdict = (await oci.choose(self.wanted, self.run, cache))[-1]
                found = cgroups.detect()
                program = oci.Program(verdict.kind, verdict.path, f"{self.run}/oci")
                self._tools = Tools(program, found, engine.machine(found.unified))
            return self._tools

    def cgroup(self, id: str) -> str:
        return f"{self.name}-build-{id}"

    def sweep(self) -> int:
        """Remove what builds that were killed left; returns how many. Blocking."""
        from sampan.host import cgroups

        swept = 0
        for id in os.listdir(self._benches) if os.path.isdir(self._benches) else ():
            bench = Bench(id, f"{self._benches}/{id}", f"{self.run}/{id}")
            try:
                lock = _locked(f"{bench.data}/{_LOCK}", fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, FileNotFoundError):
                continue
            try:
                found = cgroups.detect()
                cgroups.kill(found, self.cgroup(id))
                _clear(bench)
                shutil.rmtree(f"{self.run}/oci/{id}", ignore_errors=True)
                cgroups.remove(found, self.cgroup(id))
            finally:
                os.close(lock)
            swept += 1
        return swept

    def forget_mounts(self) -> int:
        """Delete the cache mounts that no build uses; returns bytes freed. Blocking."""
        directory = f"{self.data}/mounts"
        freed = 0
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            if name.endswith(".lock"):
                continue
            try:
                lock = _locked(f"{directory}/{name}.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            for current, _, files in os.walk(f"{directory}/{name}"):
                freed += sum(os.lstat(f"{current}/{file}").st_size for file in files)
            shutil.rmtree(f"{directory}/{name}")
            os.close(lock)
        return freed


@dataclass(frozen=True, slots=True)
class Tools:
    program: oci.Program
    hierarchies: cgroups.Hierarchies
    machine: Machine


def _locked(path: str, how: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _clear(bench: Bench) -> None:
    for path in (bench.run, bench.data):
        mounts.unmount_below(path)
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BuildError(f"cannot remove {path}: {error}", "something still works there") from error
