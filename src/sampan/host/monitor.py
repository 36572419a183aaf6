"""conmon: the small process beside each container that holds its output, terminal, exit code and attach socket.

It outlives us, so a container and its log do too. We start it and read from a pipe whether the OCI runtime made
the container; it then writes the log, and at the end the exit code to a file named by the container.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import msgspec

from sampan.host import processes
from sampan.host.containers import RuntimeFailure
from sampan.host.oci import Program
from sampan.host.streams import Channel

_RESIZE = 1
_REOPEN_LOG = 2


@dataclass(frozen=True, slots=True)
class Started:
    """Both processes, each with its start time."""

    pid: int
    started: int
    monitor_pid: int
    monitor_started: int


class Report(msgspec.Struct):
    """What conmon writes to the pipe: the process's pid (later an exit code), or a negative number and why."""

    data: int = -1
    message: str = ""


class Reports:
    """Reads conmon's reports from the end of a pipe that we own; the writer keeps its end open for long."""

    def __init__(self, reader: int) -> None:
        self._channel = Channel(reader)
        self._buffer = b""

    async def next(self) -> Report | None:
        """One report; None when conmon has ended without one."""
        while b"\n" not in self._buffer:
            chunk = await self._channel.read()
            if not chunk:
                return Report(message=self._buffer.decode(errors="replace")) if self._buffer else None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            return msgspec.json.decode(line, type=Report)
        except msgspec.DecodeError:
            return Report(message=line.decode(errors="replace"))

    def close(self) -> None:
        self._channel.close()


ENV = "/usr/bin/env"


@dataclass(frozen=True, slots=True)
class Launch:
    """What a monitor is told. `log_path` "" keeps no log."""

    id: str
    bundle: str
    exits: str
    log_path: str
    tty: bool
    stdin: bool
    stdin_once: bool


def arguments(conmon: str, program: Program, launch: Launch) -> list[str]:
    argv = [
        # It notes that memory ran out in a file `oom` where it was started.
        ENV, "-C", launch.bundle, conmon, "--api-version", "1", "--cid", launch.id, "--cuuid", launch.id,
        "--name", launch.id,
        "--runtime", program.path, "--runtime-arg", f"--root={program.root}", "--bundle", launch.bundle,
        "--container-pidfile", f"{launch.bundle}/pid", "--conmon-pidfile", f"{launch.bundle}/monitor.pid",
        "--exit-dir", launch.exits, "--full-attach", "--no-sync-log", "--log-level", "error",
        "--log-path", f"k8s-file:{launch.log_path}" if launch.log_path else "none:",
    ]  # fmt: skip
    if launch.tty:
        argv.append("--terminal")
    if launch.stdin:
        argv.append("--stdin")
        if not launch.stdin_once:
            argv.append("--leave-stdin-open")
    return argv


async def start(conmon: str, program: Program, launch: Launch) -> Started:
    """Start the monitor, which makes the container; it then waits to be released.

    Raises RuntimeFailure RunContainerError with the OCI runtime's words.
    """
    reader, writer = os.pipe()
    reports = Reports(reader)
    try:
        try:
            env = {"PATH": processes.PATH, "_OCI_SYNCPIPE": "3"}
            child = processes.spawn(arguments(conmon, program, launch), env=env, descriptors={3: writer})
        finally:
            os.close(writer)
        report = await reports.next()
        await child.wait()
    finally:
        reports.close()
    if report is None or report.data <= 0:
        raise RuntimeFailure("RunContainerError", words(report.message if report else "", launch.bundle))
    monitor = processes.read_pid(f"{launch.bundle}/monitor.pid")
    return Started(report.data, processes.start_time(report.data), monitor, processes.start_time(monitor))


def words(message: str, bundle: str) -> str:
    """The OCI runtime's last error without its logger's dress."""
    text = message.strip()
    for raw in reversed(text.splitlines()):
        if 'level=error msg="' in raw:
            quoted = raw.partition("msg=")[2]
            try:
                text = msgspec.json.decode(quoted.encode(), type=str)
            except msgspec.DecodeError:
                text = quoted.strip('"')
            break
    return text.replace(f"{bundle}/", "") or "the OCI runtime gave no reason"


def exit_code(exits: str, id: str) -> tuple[int, float] | None:
    """(code, Unix time) that the monitor wrote; None when it was killed before it could."""
    path = f"{exits}/{id}"
    try:
        with open(path, encoding="ascii") as file:
            text = file.read().strip()
            finished = os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    return (int(text), finished) if text.lstrip("-").isdigit() else None


def resize(bundle: str, width: int, height: int) -> None:
    _control(bundle, f"{_RESIZE} {height} {width}\n")


def reopen_log(bundle: str) -> None:
    _control(bundle, f"{_REOPEN_LOG} 0 0\n")


def _control(bundle: str, command: str) -> None:
    """Write to the monitor's control fifo; it reads as long as it lives, so this does not block."""
    descriptor = os.open(f"{bundle}/ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(descriptor, command.encode())
    finally:
        os.close(descriptor)
