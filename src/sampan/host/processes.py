"""Starting programs and waiting for processes, without a poll and without copying our own big address space.

posix_spawn uses a vfork-like clone: about half a millisecond however large we are, where fork copies page
tables. Ends of processes come through pidfds (pidfd_open(2)), our own children's and others'.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_FIRST_FREE = 64  # sources of descriptors are moved above every target, so that no dup2 hits another's source

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Child:
    """A program that we started; waiting for it reaps it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self.code: int | None = None

    async def wait(self) -> int:
        """The exit code, 128 + signal for a killed process."""
        if self.code is None:
            await readable(self._pidfd)
        if self.code is None:
            # the pidfd was readable, so this does not block
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)  # noqa: ASYNC222
            assert result is not None
            killed = result.si_code in (os.CLD_KILLED, os.CLD_DUMPED)
            self.code = 128 + result.si_status if killed else result.si_status
            os.close(self._pidfd)
        return self.code

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self.code is None:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return


async def readable(descriptor: int) -> None:
    """Wait until a descriptor is readable; for a pidfd, until the process has ended."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        loop.remove_reader(descriptor)
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdio: tuple[int, int, int] | None = None,
    descriptors: Mapping[int, int] | None = None,
) -> Child:
    """Start a program with exactly the descriptors given; `argv[0]` is an absolute path.

    `stdio` are ours to lend, /dev/null when None. `descriptors` maps further numbers in the child to ours.
    """
    wanted = dict(enumerate(stdio)) if stdio else {}
    wanted.update(descriptors or {})
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = []
    if not stdio:
        actions += [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in range(3)]
    moved = {target: fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for target, source in wanted.items()}
    actions += [(os.POSIX_SPAWN_DUP2, source, target) for target, source in moved.items()]
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            {"PATH": PATH} if env is None else dict(env),
            file_actions=actions,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD),
        )
    finally:
        for source in moved.values():
            os.close(source)
    return Child(pid)


@dataclass(frozen=True, slots=True)
class Output:
    code: int
    stdout: bytes
    stderr: bytes


async def run(argv: Sequence[str], *, limit: int = 1 << 20, env: Mapping[str, str] | None = None) -> Output:
    """Run a program to its end and collect at most `limit` bytes of each output. A cancelled call kills it."""
    pipes = [os.pipe(), os.pipe()]
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        child = spawn(argv, env=env, stdio=(null, pipes[0][1], pipes[1][1]))
    except BaseException:
        for reader, _ in pipes:
            os.close(reader)
        raise
    finally:
        os.close(null)
        for _, writer in pipes:
            os.close(writer)
    try:
        stdout, stderr = await asyncio.gather(*(collect(reader, limit) for reader, _ in pipes))
        return Output(await child.wait(), stdout, stderr)
    except BaseException:
        child.kill()
        await child.wait()
        raise


async def run_detached(argv: Sequence[str], errors: str) -> Output:
    """Run a program whose own children live on with its output: that goes to a file, so that nothing waits for them."""
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with open(os.open(errors, flags, 0o600), "r+b") as file:  # noqa: ASYNC230
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            child = spawn(argv, stdio=(null, null, file.fileno()))
        finally:
            os.close(null)
        code = await child.wait()
        file.seek(0)
        return Output(code, b"", file.read(65536))


async def collect(reader: int, limit: int) -> bytes:
    """Read a pipe to its end, keep at most `limit` bytes, and close it."""
    os.set_blocking(reader, False)
    kept = bytearray()
    try:
        while True:
            try:
                chunk = os.read(reader, 65536)
            except BlockingIOError:
                await readable(reader)
                continue
            if not chunk:
                return bytes(kept)
            kept += chunk[: max(0, limit - len(kept))]
    finally:
        os.close(reader)


def read_pid(path: str) -> int:
    """The number in a pid file; 0 when there is none, or when its writer has not come to it yet."""
    try:
        with open(path, encoding="ascii") as file:
            text = file.read().strip()
    except FileNotFoundError:
        return 0
    return int(text) if text.isdigit() else 0


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when there is none. With the pid it names one process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def open_process(pid: int, started: int) -> int | None:
    """A pidfd of the process with this pid and start time; None when it has ended, whoever has its pid now."""
    if not pid or not started:
        return None
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if start_time(pid) != started:
        os.close(descriptor)
        return None
    return descriptor


def alive(pid: int, started: int) -> bool:
    """Whether that process still runs."""
    descriptor = open_process(pid, started)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def signal_process(pid: int, started: int, number: int) -> bool:
    """Signal exactly that process; False when it has ended."""
    descriptor = open_process(pid, started)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


async def ended(pid: int, started: int) -> None:
    """Return when that process has ended."""
    descriptor = open_process(pid, started)
    if descriptor is None:
        return
    try:
        await readable(descriptor)
    finally:
        os.close(descriptor)


async def end(pids: Sequence[int]) -> None:
    """SIGKILL processes that the caller has just seen, and wait until they are gone."""
    for pid, started in [(pid, start_time(pid)) for pid in pids]:
        if signal_process(pid, started, signal.SIGKILL):
            await ended(pid, started)


def kill_tree(pid: int, *, itself: bool = True) -> bool:
    """SIGKILL what a process started, at any depth, and the process; False when there was nothing to kill.

    Each is stopped before its children are listed, so that none escapes by a fork in between.
    """
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        if current != pid or itself:
            found.append(current)
            _send(current, signal.SIGSTOP)
        queue += _children(current)
    for each in found:
        _send(each, signal.SIGKILL)
    return bool(found)


def _children(pid: int) -> list[int]:
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(child) for child in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def mentions(pid: int, id: str) -> bool:
    """Whether a process is of this container: its cgroup or its command line has the ID; pids are used again."""
    for file in ("cgroup", "cmdline"):
        try:
            with open(f"/proc/{pid}/{file}", "rb") as stream:
                if id.encode() in stream.read():
                    return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


def mentioning(id: str) -> list[int]:
    """All processes of a container, its monitor and OCI runtime among them; for when no file names them."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if mentions(pid, id) and start_time(pid)]  # without those that are dead already
