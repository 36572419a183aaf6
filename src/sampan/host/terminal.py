"""Execute a command with a terminal: conmon holds the terminal's master, as it does for a container's.

The OCI runtime alone would put a second terminal in between and change its line endings. conmon waits with the start
until we are attached, so that no output is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sampan.host import attachment, bundle, monitor, oci, processes
from sampan.host.containers import RuntimeFailure

KILLED = 137
_PIPES = ("_OCI_SYNCPIPE", "_OCI_STARTPIPE", "_OCI_ATTACHPIPE")


@dataclass(slots=True)
class TerminalSession:
    """One command under way; implements containers.Process. `reports` is conmon's pipe, which brings the exit code."""

    attached: attachment.Attachment
    directory: str
    pid: int
    reports: monitor.Reports
    _code: int | None = None
    _waiting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def write_stdin(self, data: bytes) -> None:
        await self.attached.write_stdin(data)

    async def close_stdin(self) -> None:
        """The terminal's end-of-file character."""
        with contextlib.suppress(BrokenPipeError):
            await self.attached.write_stdin(b"\x04")

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        return self.attached.output()

    async def resize(self, width: int, height: int) -> None:
        with contextlib.suppress(OSError):  # the command has ended, and conmon with it
            await self.attached.resize(width, height)

    async def wait(self) -> int:
        async with self._waiting:
            if self._code is None:
                report = await self.reports.next()
                self._code = KILLED if report is None or report.data < 0 else report.data
            return self._code

    async def close(self) -> None:
        """Kill the command with all that it started, if it still runs, and let go of everything."""
        if self._code is None:
            processes.kill_tree(self.pid)
            await self.wait()
        await self.attached.close()
        self.reports.close()
        bundle.delete(self.directory)


def _arguments(program: oci.Program, conmon: str, id: str, directory: str) -> list[str]:
    return [
        monitor.ENV, "-C", directory, conmon, "--api-version", "1", "--cid", id,
        "--cuuid", os.path.basename(directory), "--name", id,
        "--runtime", program.path, "--runtime-arg", f"--root={program.root}", "--bundle", directory,
        "--container-pidfile", f"{directory}/pid", "--conmon-pidfile", f"{directory}/monitor.pid",
        "--full-attach", "--no-sync-log", "--log-level", "error", "--log-path", "none:",
        "--exec", "--exec-attach", "--exec-process-spec", f"{directory}/process.json",
        "--terminal", "--stdin", "--leave-stdin-open",
    ]  # fmt: skip


async def start(program: oci.Program, conmon: str, id: str, directory: str) -> TerminalSession:
    """Start what `directory`/process.json says in a container. Raises RuntimeFailure ExecFailed."""
    pipes = {name: os.pipe() for name in _PIPES}
    reports, ready = monitor.Reports(pipes["_OCI_SYNCPIPE"][0]), monitor.Reports(pipes["_OCI_ATTACHPIPE"][0])
    go = pipes["_OCI_STARTPIPE"][1]
    theirs = (pipes["_OCI_SYNCPIPE"][1], pipes["_OCI_STARTPIPE"][0], pipes["_OCI_ATTACHPIPE"][1])
    env = {"PATH": processes.PATH, **{name: str(3 + number) for number, name in enumerate(_PIPES)}}
    try:
        try:
            argv = _arguments(program, conmon, id, directory)
            child = processes.spawn(argv, env=env, descriptors={3 + number: fd for number, fd in enumerate(theirs)})
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        os.write(go, b"\n")
        await ready.next()
        await child.wait()
        attached = attachment.open_attachment(directory, _nothing)
        os.write(go, b"\n")
        report = await reports.next()
        if report is None or report.data <= 0:
            await attached.close()
            raise RuntimeFailure("ExecFailed", monitor.words(report.message if report else "", directory))
    except BaseException:
        reports.close()
        raise
    finally:
        os.close(go)
        ready.close()
    return TerminalSession(attached, directory, report.data, reports)


async def _nothing() -> int:
    """The exit code comes by the reports; nobody asks the attachment."""
    return KILLED
