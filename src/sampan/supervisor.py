"""Starts the cluster's processes by fork, starts what dies again, and tells how they are.

The supervisor imports once and forks: its children share that memory. It does nothing but wait, on
signals and on one pipe per child, and so costs no processor time when idle. Containers are none of its
children: they outlive it.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

BACKOFF_FIRST = 0.1
BACKOFF_LIMIT = 10.0
BACKOFF_LIMIT_READY = 1.0
STABLE_AFTER = 60.0
STOP_DEADLINE = 15.0
LOG_LIMIT = 10 * 1024 * 1024
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Channel:
    """What a role tells its supervisor, and where it waits for the API server's first readiness."""

    report: int
    api_ready: int

    def ready(self) -> None:
        os.write(self.report, b"ready\n")

    def announce_api(self) -> None:
        os.eventfd_write(self.api_ready, 1)

    async def wait_api(self) -> None:
        """Return once the API server of this machine has answered for the first time."""
        import asyncio

        loop = asyncio.get_running_loop()
        answered = asyncio.Event()
        # The event descriptor is never read, so it stays readable for everybody.
        loop.add_reader(self.api_ready, answered.set)
        try:
            await answered.wait()
        finally:
            loop.remove_reader(self.api_ready)


@dataclass(frozen=True, slots=True)
class Role:
    """One process. `main` runs in the child and returns only when told to stop."""

    name: str
    main: Callable[[Channel], None]


@dataclass(slots=True)
class _Child:
    role: Role
    pid: int = 0
    pipe: int = -1
    started: float = 0.0
    ready_after: float = 0.0
    restarts: int = 0
    backoff: float = BACKOFF_FIRST
    due: float = 0.0
    last_exit: str = ""
    rest: bytes = b""
    failures_before_ready: int = 0
    was_ready: bool = field(default=False)


class Supervisor:
    """`listener` is a descriptor for JSON lines about start-up (what `sampan up` reads), -1 for none."""

    def __init__(self, run_dir: Path, log_dir: Path, listener: int = -1) -> None:
        self.run_dir = run_dir
        self.log_dir = log_dir
        self.listener = listener
        self.started = time.time()
        self._children: list[_Child] = []
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._api_ready = os.eventfd(0, os.EFD_CLOEXEC)
        wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_read = wake_read
        self._selector.register(wake_read, selectors.EVENT_READ)
        self._write_status()

    def start(self, role: Role) -> None:
        child = _Child(role)
        self._children.append(child)
        self._spawn(child)

    def serve(self) -> None:
        """Until SIGTERM or SIGINT; then stop the children, the newest first."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._write_status()
        while not self._stopping:
            self._wait(self._next_due())
            self._reap()
            self._respawn()
        self._stop_children()
        (self.run_dir / "status.json").unlink(missing_ok=True)

    def _on_stop(self, *_: Any) -> None:
        self._stopping = True

    def _next_due(self) -> float | None:
        due = [child.due for child in self._children if child.pid == 0]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _wait(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            if key.fd == self._wake_read:
                os.read(self._wake_read, 512)
            else:
                self._hear(key.data)

    def _hear(self, child: _Child) -> None:
        data = os.read(child.pipe, 4096)
        if not data:
            self._selector.unregister(child.pipe)
            os.close(child.pipe)
            child.pipe = -1
            return
        *lines, child.rest = (child.rest + data).split(b"\n")
        if b"ready" in lines and not child.ready_after:
            child.ready_after = time.monotonic() - child.started
            child.was_ready = True
            self._tell(event="ready", role=child.role.name, seconds=round(child.ready_after, 3))
            self._write_status()

    def _tell(self, **message: Any) -> None:
        if self.listener < 0:
            return
        try:
            os.write(self.listener, json.dumps(message).encode() + b"\n")
        except BrokenPipeError:
            # `sampan up` was interrupted; the cluster goes on without a listener.
            os.close(self.listener)
            self.listener = -1

    def _spawn(self, child: _Child) -> None:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        child.started = time.monotonic()
        child.ready_after = 0.0
        child.rest = b""
        child.pid = os.fork()
        if child.pid == 0:
            os.close(reader)
            self._be(child.role, Channel(writer, self._api_ready))
        os.close(writer)
        os.set_blocking(reader, False)
        child.pipe = reader
        self._selector.register(reader, selectors.EVENT_READ, child)

    def _be(self, role: Role, channel: Channel) -> NoReturn:
        """The child's whole life."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            parent = os.getppid()
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)
            if self.listener >= 0:
                os.close(self.listener)
            self._selector.close()
            redirect(self.log_dir / f"{role.name}.log")
            Path("/proc/self/comm").write_text(f"sampan-{role.name}"[:15])
            role.main(channel)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for child in self._children:
            if child.pid == 0:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._bury(child, status)

    def _bury(self, child: _Child, status: int) -> None:
        lived = time.monotonic() - child.started
        code = os.waitstatus_to_exitcode(status)
        child.last_exit = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        # Who became ready did not fail to start: it is needed again soon.
        limit = BACKOFF_LIMIT_READY if child.ready_after else BACKOFF_LIMIT
        child.backoff = BACKOFF_FIRST if lived > STABLE_AFTER else min(child.backoff * 2, limit)
        child.due = time.monotonic() + child.backoff
        child.pid = 0
        child.restarts += 1
        if not child.was_ready:
            child.failures_before_ready += 1
            self._tell(event="died", role=child.role.name, why=child.last_exit, times=child.failures_before_ready)
        self._write_status()

    def _respawn(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.pid == 0 and child.due <= now and not self._stopping:
                if child.pipe >= 0:
                    self._selector.unregister(child.pipe)
                    os.close(child.pipe)
                    child.pipe = -1
                self._spawn(child)
                self._write_status()

    def _stop_children(self) -> None:
        for child in reversed(self._children):
            if child.pid == 0:
                continue
            descriptor = os.pidfd_open(child.pid)
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            with selectors.DefaultSelector() as waiting:
                waiting.register(descriptor, selectors.EVENT_READ)
                if not waiting.select(STOP_DEADLINE):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            os.close(descriptor)

    def _write_status(self) -> None:
        roles = {
            child.role.name: {
                "pid": child.pid,
                "started": time.time() - (time.monotonic() - child.started),
                "ready": child.ready_after > 0,
                "restarts": child.restarts,
                "lastExit": child.last_exit,
            }
            for child in self._children
        }
        path = self.run_dir / "status.json"
        partial = path.with_suffix(".new")
        partial.write_text(json.dumps({"pid": os.getpid(), "started": self.started, "roles": roles}))
        partial.replace(path)


def redirect(path: Path) -> None:
    """Send this process's output to a log file; one older file is kept when it has grown past the limit."""
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def read_status(run_dir: Path) -> dict[str, Any] | None:
    """What a running supervisor wrote, None when none runs."""
    try:
        status: dict[str, Any] = json.loads((run_dir / "status.json").read_text())
    except FileNotFoundError:
        return None
    return status if alive(status["pid"]) else None


def alive(pid: int) -> bool:
    """Whether `pid` is one of our processes: no stranger that got the number after a reboot, none that has ended."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_bytes().partition(b"(")[2].rpartition(b") ")
    except (FileNotFoundError, ProcessLookupError):
        return False
    # Whose parent has not asked for its end yet stays as a zombie.
    return b"sampan" in name and rest[:1] not in b"ZX"


def roles_in(status: dict[str, Any]) -> Sequence[tuple[str, dict[str, Any]]]:
    return tuple(status["roles"].items())
