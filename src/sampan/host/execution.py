"""Execute a command in a running container, with pipes or a terminal whose master we hold.

The OCI runtime stays beside the command as its parent and gives us its exit code. For a terminal the runtime gets
a terminal of ours as controlling one: it copies between the two and follows each resize.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import termios
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec

from sampan.host import oci, processes, state
from sampan.host.containers import ExecResult, RuntimeFailure
from sampan.host.streams import Channel, merge

PREFIX = "exec-"  # of the files beside the bundle that tell of a command
LIMIT = 16 << 20  # bytes of output that `run` keeps


@dataclass(slots=True)
class Session:
    """One command under way; implements containers.Process. `files` are deleted at its end."""

    child: processes.Child
    pid_file: str
    process_file: str
    outlets: dict[int, Channel]
    inlet: Channel | None = None
    terminal: bool = False
    _done: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def write_stdin(self, data: bytes) -> None:
        """Raises BrokenPipeError when the command does not read any more."""
        if self.inlet is not None:
            await self.inlet.write(data)

    async def close_stdin(self) -> None:
        """End of input: a closed pipe; on a terminal its end-of-file character."""
        inlet, self.inlet = self.inlet, None
        if inlet is None:
            return
        if self.terminal:
            await inlet.write(b"\x04")
        else:
            inlet.close()

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        return merge(self.outlets)

    async def resize(self, width: int, height: int) -> None:
        if self.terminal and not self.outlets[1].closed:
            fcntl.ioctl(self.outlets[1].descriptor, termios.TIOCSWINSZ, struct.pack("4H", height, width, 0, 0))

    async def wait(self) -> int:
        async with self._done:
            return await self.child.wait()

    async def close(self) -> None:
        """Kill the command with all that it started, if it still runs, and let go of everything."""
        self.kill()
        await self.wait()
        for channel in (*self.outlets.values(), *((self.inlet,) if self.inlet else ())):
            channel.close()
        self.inlet = None
        for path in (self.pid_file, self.process_file):
            _unlink(path)

    def kill(self) -> None:
        """SIGKILL the command's processes in the container, then the runtime beside it."""
        if self.child.code is not None:
            return
        pid = processes.read_pid(self.pid_file)
        for process in processes.descendants(pid) if pid else ():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.child.kill()


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def start(program: oci.Program, id: str, bundle: str, command: Sequence[str], *, tty: bool, stdin: bool) -> Session:
    """Start a command in a container. Raises RuntimeFailure when the container is gone."""
    if not command:
        raise RuntimeFailure("ExecFailed", "no command to execute")
    name = os.urandom(6).hex()
    pid_file, process_file = f"{bundle}/{PREFIX}{name}.pid", f"{bundle}/{PREFIX}{name}.json"
    try:
        with open(f"{bundle}/process.json", "rb") as file:
            process = msgspec.json.decode(file.read(), type=dict)
    except FileNotFoundError as error:
        raise RuntimeFailure("NotRunning", f"container {id!r} is gone") from error
    process |= {"args": list(command), "terminal": tty}
    if tty and not any(entry.startswith("TERM=") for entry in process["env"]):
        process["env"].append("TERM=xterm")
    state.write_file(process_file, msgspec.json.encode(process))
    argv = program.exec(id, process=process_file, pid_file=pid_file, tty=tty)
    if tty:
        return _with_terminal(argv, pid_file, process_file)
    return _with_pipes(argv, pid_file, process_file, stdin)


def _with_terminal(argv: list[str], pid_file: str, process_file: str) -> Session:
    master, slave = os.openpty()
    try:
        # Raw from the start: what is typed before the runtime takes over must not be echoed twice.
        attributes = termios.tcgetattr(slave)
        attributes[0], attributes[1], attributes[3] = 0, 0, 0
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        child = processes.spawn(argv, terminal=os.ttyname(slave))
    except BaseException:
        os.close(master)
        raise
    finally:
        os.close(slave)
    channel = Channel(master)
    return Session(child, pid_file, process_file, {1: channel}, inlet=channel, terminal=True)


def _with_pipes(argv: list[str], pid_file: str, process_file: str, stdin: bool) -> Session:
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
    return Session(child, pid_file, process_file, outlets, inlet=Channel(in_writer) if stdin else None)


async def collect(session: Session, timeout: float) -> ExecResult:
    """The whole output and the exit code. Raises TimeoutError after killing the command."""
    kept = {1: bytearray(), 2: bytearray()}
    try:
        async with asyncio.timeout(timeout):
            async for number, chunk in session.output():
                room = LIMIT - len(kept[1]) - len(kept[2])
                kept[number] += chunk[:room]
            code = await session.wait()
    finally:
        await session.close()
    return ExecResult(code, bytes(kept[1]), bytes(kept[2]))
