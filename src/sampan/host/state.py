"""What the runtime remembers on disk, one JSON file for a sandbox and one for a container.

A record is replaced by rename, so a crash leaves the old or the new one. Nothing is synced: after a power loss
the processes are gone as well, and a directory without a record is a leftover that the sweep removes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from sampan.host.containers import Container, Sandbox

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class SandboxRecord:
    """`init_pid` is the shared PID namespace's init, 0 without one; `stopped` once its network was released."""

    sandbox: Sandbox
    stopped: bool = False
    init_pid: int = 0
    init_started: int = 0


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """The monitor is the process that holds the container's output and reports its exit."""

    container: Container
    cgroup: str
    stop_signal: str = ""
    log_path: str = ""
    process_started: int = 0
    monitor_pid: int = 0
    monitor_started: int = 0


def changed(record: ContainerRecord, **fields: object) -> ContainerRecord:
    """The record with fields of its container changed."""
    return replace(record, container=replace(record.container, **fields))  # type: ignore[arg-type]


def write(path: str, record: SandboxRecord | ContainerRecord) -> None:
    write_file(path, msgspec.json.encode(record))


def write_file(path: str, data: bytes, mode: int = 0o600) -> None:
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
    os.replace(temporary, path)


def read(path: str, kind: type[R]) -> R | None:
    """The record; None when it is missing or unreadable, which a crash between two steps can leave."""
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def directories(path: str) -> Iterator[str]:
    """Names of the entries of a directory that may be missing."""
    try:
        yield from sorted(os.listdir(path))
    except FileNotFoundError:
        return
