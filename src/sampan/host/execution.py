"""Execute a command in a running container, with pipes; terminal.py does it with a terminal.

The OCI runtime stays beside the command as its parent and gives us its exit code.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec

from sampan.host import bundle, monitor, oci, processes, state
from sampan.host.containers import ExecResult, RuntimeFailure
from sampan.host.streams import Channel, merge

PREFIX = "exec-"  # of the directories in the bundle that tell of a command under way
REAPING = 1.0  # seconds that the OCI runtime gets to reap a killed command
LIMIT = 16 << 20  # bytes of output that `run` keeps
NOT_STARTED = 126


@dataclass(slots=True)
class Session:
    """One command under way; implements containers.Process. `directory` is deleted at its end."""

    child: processes.Child
    directory: str
    outlets: dict[int, Channel]
    inlet: Channel | None = None
    _waiting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def write_stdin(self, data: bytes) -> None:
        """Raises BrokenPipeError when the command does not read any more."""
        if self.inlet is not None:
            await self.inlet.write(data)

    async def close_stdin(self) -> None:
        inlet, self.inlet = self.inlet, None
        if inlet is not None:
            inlet.close()

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        return merge(self.outlets)

    async def resize(self, width: int, height: int) -> None:
        """Pipes have no size."""

    @property
    def started(self) -> bool:
        """Whether the command itself ever ran; else the code and the error output are the OCI runtime's."""
        return processes.read_pid(f"{self.directory}/pid") > 0

    async def wait(self) -> int:
        """The exit code; 126 for a command that could not be started, whose error output says why."""
        async with self._waiting:
            code = await self.child.wait()
            return code if code == 0 or self.started or not os.path.exists(self.directory) else NOT_STARTED

    async def close(self) -> None:
        """Kill the command with all that it started, if it still runs, and let go of everything."""
        await self._end()
        await self.close_stdin()
        for channel in self.outlets.values():
            channel.close()
        bundle.delete(self.directory)

    async def _end(self) -> None:
        """SIGKILL what the runtime started in the container; it then reaps that and ends, or is killed too."""
        if self.child.code is not None:
            return
        if processes.kill_tree(self.child.pid, itself=False):
            try:
                async with asyncio.timeout(REAPING):
                    await self.wait()
                return
            except TimeoutError:
                pass  # it waits for output that something else holds open, or it was about to start the command
        processes.kill_tree(self.child.pid)
        await self.wait()


def prepare(id: str, directory: str, command: Sequence[str], *, tty: bool) -> str:
    """Write what is to be executed; returns the session's own directory below the container's bundle.

    Raises RuntimeFailure when the container is gone.
    """
    if not command:
        raise RuntimeFailure("ExecFailed", "no command to execute")
    own = f"{directory}/{PREFIX}{os.urandom(6).hex()}"
    try:
        with open(f"{directory}/process.json", "rb") as file:
            process = msgspec.json.decode(file.read(), type=dict)
        os.mkdir(own, 0o700)
    except FileNotFoundError as error:
        raise RuntimeFailure("NotRunning", f"container {id!r} is gone") from error
    process |= {"args": list(command), "terminal": tty}
    if tty and not any(entry.startswith("TERM=") for entry in process["env"]):
        process["env"].append("TERM=xterm")
    state.write_file(f"{own}/process.json", msgspec.json.encode(process))
    return own


def start(program: oci.Program, id: str, directory: str, *, stdin: bool) -> Session:
    """Start what `prepare` wrote, with pipes."""
    argv = program.exec(id, directory)
    out_reader, out_writer = os.pipe()
    err_reader, err_writer = os.pipe()
    if stdin:
        in_reader, in_writer = os.pipe()
    else:
        in_reader, in_writer = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1
    try:
        child = processes.spawn(argv, stdio=(in_reader, out_writer, err_writer))
    except BaseException:
        for descriptor in (out_reader, err_reader, in_writer):
            if descriptor >= 0:
                os.close(descriptor)
        raise
    finally:
        for descriptor in (in_reader, out_writer, err_writer):
            os.close(descriptor)
    outlets = {1: Channel(out_reader), 2: Channel(err_reader)}
    return Session(child, directory, outlets, Channel(in_writer) if stdin else None)


async def collect(session: Session, timeout: float) -> ExecResult:
    """The whole output and the exit code.

    Raises TimeoutError after killing the command, RuntimeFailure ExecFailed when it could not be started.
    """
    kept = {1: bytearray(), 2: bytearray()}
    try:
        async with asyncio.timeout(timeout):
            async for number, chunk in session.output():
                room = LIMIT - len(kept[1]) - len(kept[2])
                kept[number] += chunk[:room]
            code = await session.wait()
            if code == NOT_STARTED and not session.started:
                raise RuntimeFailure("ExecFailed", monitor.words(kept[2].decode(errors="replace"), session.directory))
    finally:
        await session.close()
    return ExecResult(code, bytes(kept[1]), bytes(kept[2]))
