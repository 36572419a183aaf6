"""Who listens at a port of this machine, and which files a process has open."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_LISTENING = "0A"


def listener(port: int) -> str:
    """The program that listens at a TCP port, `NAME (process N)`; "" when there is none or it cannot be told."""
    wanted = set()
    for table in ("tcp", "tcp6"):
        path = Path(f"/proc/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                wanted.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*") if wanted else ():
        with contextlib.suppress(OSError):  # it may end while it is looked at
            if links(process / "fd") & wanted:
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return ""


def links(directory: Path) -> set[str]:
    """What the links in a directory lead to, such as the open files of a process in its `fd`."""
    found = set()
    for each in directory.iterdir():
        with contextlib.suppress(OSError):
            found.add(os.readlink(each))
    return found
