"""What a layer is for: the base, the middleware on it, or the service itself. Pure.

Each line of an image's history says it in its comment. What somebody built on becomes base, or middleware when it
was built here with a base of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sampan.images.build.instructions import Copy, Instruction, Run

BASE, MIDDLEWARE, SERVICE = "base", "middleware", "service"
ROLES = (BASE, MIDDLEWARE, SERVICE)

_INSTALLS = re.compile(
    r"\b(?:apt-get|apt|apk|dnf|microdnf|yum|zypper|pacman|pip[0-9.]*|uv|poetry|pipenv|pdm|conda|npm|pnpm|yarn|gem|"
    r"bundle|cargo|mvn|gradle|composer)\b[^&|;]*?\b(?:install|add|ci|sync|i|-S\w*|fetch|go-offline)\b"
    r"|\bgo\s+mod\s+download\b|\bdpkg\s+-i\b|\b(?:useradd|adduser|groupadd)\b"
)


def inherited(history: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The history of an image that is built on."""
    found = []
    known = any(entry.get("comment") in ROLES for entry in history)
    for entry in history:
        role = entry.get("comment")
        now = role if role == BASE else MIDDLEWARE if known and role in ROLES else BASE
        found.append({**entry, "comment": now})
    return tuple(found)


def roles(instructions: Sequence[Instruction], *, scratch: bool) -> list[str]:
    """One role for each instruction of a stage.

    The service begins with the first COPY or ADD behind which nothing is installed any more. An archive that a
    stage from nothing begins with is a base.
    """
    installs = [at for at, step in enumerate(instructions) if isinstance(step, Run) and _installs(step)]
    last = installs[-1] if installs else -1
    copies = [at for at, step in enumerate(instructions) if isinstance(step, Copy) and at > last]
    first = copies[0] if copies else len(instructions)
    found = [MIDDLEWARE if at < first else SERVICE for at in range(len(instructions))]
    if scratch and instructions and isinstance(instructions[0], Copy) and instructions[0].add:
        found[0] = BASE
    return found


def _installs(step: Run) -> bool:
    text = " ".join((*step.command.words, *(each.content for each in step.heredocs)))
    return _INSTALLS.search(text) is not None
