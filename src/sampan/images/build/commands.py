"""What a RUN executes: words, a script, an environment."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sampan.images.build import certificates
from sampan.images.build.instructions import Run
from sampan.images.build.job import Bind
from sampan.images.build.metadata import PROXIES
from sampan.images.build.request import Request
from sampan.images.build.state import State
from sampan.images.build.workshop import Bench

T = TypeVar("T")

SCRIPT = "/dev/script"
_ALONE = re.compile(r"\d*<<-?\S+\Z")
_HINTS = {
    126: " (the program cannot be executed)",
    127: " (a program was not found)",
    137: " (killed, perhaps for want of memory)",
}


@dataclass(frozen=True, slots=True)
class Words:
    """`script` is the content of a file that is executed, "" without one."""

    words: tuple[str, ...]
    script: str = ""


def command(step: Run, state: State) -> Words:
    """A here-document alone is the shell's input, or a program of its own when it begins with #!."""
    if not step.command.shell:
        return Words(step.command.words)
    line = step.command.words[0]
    if step.heredocs and _ALONE.match(line):
        content = step.heredocs[0].content
        if content.startswith("#!"):
            return Words((SCRIPT,), content)
        return Words((*state.shell, content))
    documents = "".join(f"\n{each.content}{each.name}" for each in step.heredocs)
    return Words((*state.shell, line + documents))


def script(bench: Bench, content: str) -> Bind:
    path = f"{bench.run}/script"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755), "w", encoding="utf-8") as file:
        file.write(content)
        os.fchmod(file.fileno(), 0o755)
    return Bind(path, SCRIPT, readonly=True)


def environment(state: State, request: Request) -> dict[str, str]:
    """ARGs and the image's own; proxies and certificates of who builds; the time for programs to write into files."""
    lent = {name: value for name, value in request.environment.items() if name in PROXIES}
    lent |= {name: value for name, value in request.arguments.items() if name in PROXIES}
    if request.certificates:
        lent |= dict.fromkeys(certificates.VARIABLES, certificates.TARGET)
    return {"SOURCE_DATE_EPOCH": str(request.epoch), **lent, **state.values}


def counted(env: Mapping[str, str], state: State) -> list[list[str]]:
    """What of the environment makes a different layer: the machine's does not, unless an ARG or ENV names it."""
    own, machines = state.values, {*PROXIES, *certificates.VARIABLES}
    return sorted([name, value] for name, value in env.items() if name not in machines or name in own)


def hint(code: int) -> str:
    return _HINTS.get(code, "")


async def in_thread(action: Callable[[], T]) -> T:
    """Blocking work that may wait for other builds: not in the store's own threads."""
    return await asyncio.get_running_loop().run_in_executor(None, action)
