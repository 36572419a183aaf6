"""The nginx of one cluster: written, tested, started, reloaded without losing a request, adopted, stopped.

It is no child of the process that starts it: it goes on when that process ends, and the next one finds it by its pid
file. All its files lie in one directory below the run directory.

A reload is over when no worker of the older configuration takes connections any more. The listening sockets are the
master's and pass from workers to workers, so no connection is refused meanwhile; requests under way are answered by
the workers that have them. What workers that leave would cut are connections that wait for their next request. So
before a reload a file appears that these workers look for: FAREWELL seconds long all their answers say `Connection:
close`, and whoever is busy has opened another connection before the old one ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import select
import shutil
import signal
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sampan.host import ports
from sampan.network.ingress.model import Listen
from sampan.network.ingress.render import farewell
from sampan.runtime.clock import Clock, RealClock

log = logging.getLogger(__name__)

PROGRAM = "nginx"
PACKAGE = "nginx-light"
SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/local/sbin"))

FAREWELL = 0.1
"""Seconds that busy clients have to leave their connections before a reload."""
TAKEOVER = 10.0
"""Seconds that new workers have to take over."""
LOOK = 0.005
"""Seconds between looks whether they have; nginx tells nobody."""
GOODBYE = 5.0
"""Seconds for requests under way when nginx is to stop."""
LOG_LIMIT = 10 << 20

_LINE = re.compile(r"nginx: \[\w+\] (?P<text>.*?)(?: in (?P<file>\S+):(?P<line>\d+))?$", re.MULTILINE)
_WORKER = b"nginx: worker process"
_DRAINING = _WORKER + b" is shutting down"


class Missing(RuntimeError):
    """nginx is not installed."""


class Taken(OSError):
    """Somebody else listens on our ports."""


class Refused(ValueError):
    """nginx does not take a configuration. `line` (from 1) is where it stopped, 0 when it does not say."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.line = line


class Nginx:
    """One instance; its methods are called one after another."""

    def __init__(self, directory: Path, log_path: Path, *, clock: Clock | None = None) -> None:
        self.directory = directory
        self.log_path = log_path
        self._clock = clock or RealClock()

    @property
    def config(self) -> Path:
        return self.directory / "nginx.conf"

    def pid(self) -> int:
        """The master's, 0 when it does not run."""
        try:
            pid = int((self.directory / "nginx.pid").read_text().strip() or 0)
            title = Path(f"/proc/{pid}/cmdline").read_bytes() if pid else b""
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return 0
        return pid if b"nginx: master process" in title and os.fsencode(self.config) in title else 0

    def current(self) -> str:
        """The configuration that was applied last, "" when there is none."""
        try:
            return self.config.read_text()
        except FileNotFoundError:
            return ""

    async def apply(self, text: str, files: Mapping[str, bytes], listen: Listen) -> None:
        """Make `text` the configuration, with `files` beside it; start nginx when it does not run.

        Raises Missing, Taken, Refused; what ran before goes on then.
        """
        if shutil.which(PROGRAM, path=SEARCH) is None:
            raise Missing(f"nginx is not installed; as root: apt-get install {PACKAGE}")
        self._write(files)
        candidate = self.directory / "nginx.conf.new"
        candidate.write_text(text)
        running = self.pid()
        if not running:
            await self._take_back(listen)
        await self._call("-t", candidate)
        before = self.current()
        self._rotate()
        if running:
            with self._farewell(before):
                await self._clock.sleep(FAREWELL)
                candidate.replace(self.config)
                await self._reload(running)
        else:
            candidate.replace(self.config)
            await self._call("", self.config)
            await self._appeared()
        self._tidy(files)

    async def stop(self) -> None:
        """Requests under way have GOODBYE seconds. Idempotent."""
        await asyncio.get_running_loop().run_in_executor(None, self.end, GOODBYE)

    def end(self, grace: float = 0.0) -> None:
        """Blocking."""
        master = self.pid()
        for pid in (*([master] if master else ()), *self.orphans()):
            _end(pid, grace)

    def generations(self) -> int:
        """Workers that still finish what they have from older configurations."""
        return sum(_title(each).startswith(_DRAINING) for each in children(self.pid()))

    def orphans(self) -> list[int]:
        """Workers whose master was killed: they go on, and hold the ports. Their log tells whose they are."""
        ours = set(children(self.pid()))
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            pid = int(process.name)
            if pid not in ours and _title(pid).startswith(_WORKER):
                with contextlib.suppress(OSError):
                    if any(each.startswith(str(self.log_path)) for each in ports.links(process / "fd")):
                        found.append(pid)
        return found

    # --- inside

    async def _take_back(self, listen: Listen) -> None:
        """Make orphans close their listening sockets; they finish what they have. Raises Taken."""
        waiting = await asyncio.get_running_loop().run_in_executor(None, self.orphans)
        for pid in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT)
        deadline = self._clock.monotonic() + (TAKEOVER if waiting else 0.0)
        while True:
            try:
                return check_ports(listen)
            except Taken:
                if self._clock.monotonic() >= deadline:
                    raise
            await self._clock.sleep(LOOK)

    async def _appeared(self) -> None:
        """The program that was called ends before the daemon that it leaves has written who it is. Raises Refused."""
        deadline = self._clock.monotonic() + TAKEOVER
        while not self.pid():
            if self._clock.monotonic() > deadline:
                raise Refused(f"nginx ended as soon as it was started: {self._said(0)}")
            await self._clock.sleep(LOOK)

    def _write(self, files: Mapping[str, bytes]) -> None:
        (self.directory / "temp").mkdir(parents=True, exist_ok=True, mode=0o755)
        place = self.directory / "files"
        place.mkdir(exist_ok=True, mode=0o755)
        for name, data in files.items():
            path = place / name
            if not path.exists():
                # Workers read passwords, the master alone reads keys.
                mode = 0o644 if name.endswith(".htpasswd") else 0o600
                partial = path.with_name(f".{name}")
                descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                partial.replace(path)

    def _tidy(self, files: Mapping[str, bytes]) -> None:
        """What no configuration names any more. Workers that drain have read their certificates."""
        for path in (self.directory / "files").iterdir():
            if path.name not in files:
                path.unlink()

    def _rotate(self) -> None:
        """nginx opens its log anew when it reloads."""
        with contextlib.suppress(FileNotFoundError):
            if self.log_path.stat().st_size > LOG_LIMIT:
                self.log_path.replace(self.log_path.with_suffix(".log.1"))

    async def _call(self, option: str, config: Path) -> None:
        """nginx returns when it has tested, or when its listening sockets are open. Raises Refused."""
        words = [each for each in (option,) if each]
        # Standard error through a file: the daemon keeps it open, and nobody waits for its end then.
        read_end = os.memfd_create("nginx-says", os.MFD_CLOEXEC)
        try:
            process = await asyncio.create_subprocess_exec(
                shutil.which(PROGRAM, path=SEARCH) or PROGRAM,
                *words,
                *("-p", str(self.directory), "-e", str(self.log_path), "-c", str(config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=read_end,
                stderr=read_end,
                start_new_session=True,
            )
            code = await process.wait()
            os.lseek(read_end, 0, os.SEEK_SET)
            said = os.read(read_end, 1 << 16).decode(errors="replace")
        finally:
            os.close(read_end)
        if code:
            raise refusal(said)

    @contextlib.contextmanager
    def _farewell(self, text: str) -> Iterator[None]:
        name = farewell(text)
        if not name:
            yield
            return
        path = self.directory / name
        path.touch()
        try:
            yield
        finally:
            path.unlink()

    async def _reload(self, master: int) -> None:
        before = {pid for pid in children(master) if not _title(pid).startswith(_DRAINING)}
        size = self.log_path.stat().st_size if self.log_path.exists() else 0
        try:
            os.kill(master, signal.SIGHUP)
        except ProcessLookupError:
            raise Refused("nginx ended while it was told of a new configuration") from None
        deadline = self._clock.monotonic() + TAKEOVER
        while True:
            now = children(master)
            if not (before & {pid for pid in now if not _title(pid).startswith(_DRAINING)}) and set(now) - before:
                return
            if self._clock.monotonic() > deadline:
                raise Refused(f"nginx did not take it over within {TAKEOVER:.0f} s: {self._said(size)}")
            await self._clock.sleep(LOOK)

    def _said(self, since: int) -> str:
        with contextlib.suppress(FileNotFoundError), self.log_path.open("rb") as file:
            file.seek(since)
            return file.read(4096).decode(errors="replace").strip()
        return "its log is empty"


def children(pid: int) -> list[int]:
    """Processes whose parent `pid` is."""
    if not pid:
        return []
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _end(pid: int, grace: float) -> None:
    """Ask a process to end, within `grace` seconds for requests, then harder. Blocking."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number, seconds in ((signal.SIGQUIT, grace), (signal.SIGTERM, GOODBYE), (signal.SIGKILL, GOODBYE)):
            if seconds:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, number)
                if select.select([descriptor], [], [], seconds)[0]:
                    return
    finally:
        os.close(descriptor)


def _title(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return _DRAINING


def refusal(said: str) -> Refused:
    """What nginx says about a file that it does not take, without the file's place."""
    for found in _LINE.finditer(said):
        if "emerg" in found[0] or "alert" in found[0]:
            return Refused(found["text"], int(found["line"] or 0))
    return Refused(said.strip() or "nginx failed without a word")


def check_ports(listen: Listen) -> None:
    """Raises Taken: nginx itself would try for seconds."""
    for port in (listen.http, listen.https):
        if port:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((listen.address, port))
                except OSError as error:
                    holder = ports.listener(port)
                    why = os.strerror(error.errno or 0).lower() + (f" by {holder}" if holder else "")
                    raise Taken(f"port {port}: {why}") from error


def account(names: Iterable[str] = ("www-data", "nginx", "nobody")) -> str:
    """User and group of nginx's workers: the first that the machine has."""
    import grp
    import pwd

    for name in names:
        try:
            user = pwd.getpwnam(name)
            return f"{name} {grp.getgrgid(user.pw_gid).gr_name}"
        except KeyError:
            continue
    return "root root"
