"""`git http-backend` as a CGI process: bytes stream through it both ways, and it ends when it should.

Both directions go at once and each waits for the other end: what git does not take yet is not read from the peer, what
the peer does not take yet is not read from git. The process has a session of its own, so that its children (pack
indexing, hooks) end with it, no capabilities, bounded memory, and a time in which it has to be done.
Source: RFC 3875 (CGI), git-http-backend(1).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from sampan.delivery.git.paths import Wrong
from sampan.http.errors import BodyTooLarge
from sampan.http.types import CHUNK, Body

log = logging.getLogger(__name__)

HEAD_LIMIT = 16 * 1024
STDERR_LIMIT = 8 * 1024
MEMORY = 4 << 20
"""KiB of address space of each process: packs are mapped into it."""
GRACE = 10.0
"""Seconds in which a push that was taken whole may finish although its pusher is gone, and one that is ended may clean
up: what it has received so far lies on the disk."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`body` in bytes, `time` in seconds from the start."""

    body: int
    time: float


def command(git: str) -> tuple[str, ...]:
    """The backend below its limits: no core files, bounded memory, nothing that root may do more than others."""
    limited = ("/bin/sh", "-c", f'ulimit -c 0; ulimit -v {MEMORY}; exec "$@"', "sh")
    setpriv = shutil.which("setpriv")
    if setpriv is None or os.geteuid() != 0:
        return (*limited, git, "http-backend")
    return (*limited, setpriv, "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", git, "http-backend")


class Backend:
    """One exchange. `start` returns status and headers, `body` the rest; `close` must be called, and may be at any
    time: it ends what still runs."""

    def __init__(self, process: asyncio.subprocess.Process, bounds: Bounds) -> None:
        self._process = process
        self._bounds = bounds
        self._said = b""
        self._failure: BaseException | None = None
        loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = loop.call_later(bounds.time, self._late)
        self._feeding: asyncio.Task[None] | None = None
        self._listening = loop.create_task(self._listen(), name="git/stderr")

    @classmethod
    async def run(cls, git: str, environ: Mapping[str, str], content: bytes | Body, bounds: Bounds) -> Backend:
        process = await asyncio.create_subprocess_exec(
            *command(git),
            env=dict(environ),
            cwd="/",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=CHUNK,
        )
        made = cls(process, bounds)
        made._feeding = asyncio.get_running_loop().create_task(made._feed(content), name="git/stdin")
        return made

    async def head(self) -> tuple[int, list[tuple[str, str]]]:
        """Status and headers. Raises Wrong when git says nothing, and what broke the request's body."""
        assert self._process.stdout is not None
        lines: list[str] = []
        size = 0
        while True:
            line = await self._process.stdout.readline()
            size += len(line)
            if not line.strip() and lines and line.endswith(b"\n"):
                return parse_head(lines)
            if not line.endswith(b"\n") or size > HEAD_LIMIT:
                await self._listening
                if self._failure is not None:
                    raise self._failure
                raise Wrong(500, f"git did not answer: {self._last_words()}")
            lines.append(line.decode("latin-1").strip())

    async def body(self) -> AsyncIterator[bytes]:
        """Raises OSError when git did not come to a good end: half an answer must not look whole."""
        assert self._process.stdout is not None
        while chunk := await self._process.stdout.read(CHUNK):
            yield chunk
        code = await self._process.wait()
        await self._listening
        if self._failure is not None:
            raise self._failure
        if code:
            log.info("git http-backend ended with %s: %s", code, self._last_words())

    def unhurried(self) -> None:
        """From now on it may take its time: the push is in, and its run is followed."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def close(self, *, finish: bool = False) -> None:
        """End the processes; with `finish` they get a moment to come to an end by themselves."""
        assert self._process.stdin is not None
        tasks = [task for task in (self._feeding, self._listening) if task is not None]
        try:
            if self._feeding is not None:
                self._feeding.cancel()
            self._process.stdin.close()
            if finish:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GRACE):
                        await self._drain()
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            self._kill()
            for task in tasks:
                task.cancel()
            await asyncio.gather(self._process.wait(), *tasks, return_exceptions=True)

    async def _drain(self) -> None:
        """Until the last process is gone, for all of them have the output open."""
        assert self._process.stdout is not None
        while await self._process.stdout.read(CHUNK):
            pass
        await self._process.wait()

    def _late(self) -> None:
        self._alarm = None
        self._failure = Wrong(503, f"it took longer than {self._bounds.time:g} s")
        if self._feeding is not None:
            self._feeding.cancel()
        self._end()

    def _end(self) -> None:
        """Nothing more comes: git then removes what it has received of a push, which it does not do on a signal."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(GRACE, self._kill)

    def _kill(self) -> None:
        # The group may outlive its first process: hooks and pack indexing are in it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _feed(self, content: bytes | Body) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            if isinstance(content, bytes):
                stdin.write(content)
                await stdin.drain()
            else:
                size = 0
                async for chunk in content:
                    size += len(chunk)
                    if size > self._bounds.body:
                        raise BodyTooLarge(self._bounds.body)
                    stdin.write(chunk)
                    await stdin.drain()
            stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            # git has read enough; why, it tells in its answer.
            stdin.close()
        except Exception as error:
            # The request is broken: what came of it must not look like a whole one.
            self._failure = error
            self._end()

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while chunk := await self._process.stderr.read(CHUNK):
            self._said = (self._said + chunk)[-STDERR_LIMIT:]

    def _last_words(self) -> str:
        lines = self._said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else "nothing was said"


def parse_head(lines: list[str]) -> tuple[int, list[tuple[str, str]]]:
    """CGI's head: `Status` is the HTTP status, 200 without it."""
    status, headers = 200, []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise Wrong(500, f"git's answer is no HTTP: {line[:80]!r}")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers.append((name, value.strip()))
    return status, headers
