"""What the runtime's parts share: names, the machine's facts, the OCI program, the worker threads."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from sampan.host import capabilities, cgroups, oci
from sampan.host.containers import RuntimeFailure
from sampan.host.layout import Layout
from sampan.host.spec import Machine

T = TypeVar("T")

THREADS = 4  # system calls that may block for milliseconds: mounts, namespaces, cgroups, deletes
CREATIONS = 4  # OCI runtimes at work at once; more only share the cores


@dataclass(slots=True)
class Engine:
    """`conmon` and `program` are absolute paths; `verdicts` say what was tried before `program` was chosen."""

    layout: Layout
    machine: Machine
    hierarchies: cgroups.Hierarchies
    program: oci.Program
    conmon: str
    verdicts: tuple[oci.Verdict, ...]
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "host"))
    creations: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CREATIONS))

    async def call(self, action: Callable[[], T]) -> T:
        """Run a blocking action in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, action)

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)


async def open_engine(layout: Layout, wanted: str) -> Engine:
    """Find the programs and the machine's facts. Raises RuntimeFailure RuntimeNotReady with what is missing."""
    for path in layout.everything():
        os.makedirs(path, mode=0o711, exist_ok=True)
    conmon = shutil.which("conmon", path=oci.SEARCH)
    if not conmon:
        raise RuntimeFailure("RuntimeNotReady", "conmon is not installed: apt-get install conmon")
    verdicts = await oci.choose(wanted, layout.run, f"{layout.data}/oci-runtime.json")
    program = oci.Program(verdicts[-1].kind, verdicts[-1].path, layout.oci)
    hierarchies = cgroups.detect()
    return Engine(layout, machine(hierarchies.unified), hierarchies, program, conmon, verdicts)


def machine(unified: bool) -> Machine:
    with open("/proc/self/status", encoding="utf-8") as file:
        ours = capabilities.bounding(file.read())
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        score = int(file.read())
    lowest = -1000 if "SYS_RESOURCE" in ours else score
    return Machine(unified, ours, lowest, platform.machine())
