"""The log of a run: a file that is written once and followed by many, bounded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

LIMIT = 16 << 20
"""Bytes of a run's log; what comes after is left out, and the log says so."""
BLOCK = 1 << 16


class RunLog:
    """Lines of one run. `mask` holds texts that nobody may see."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        os.fchmod(self._file.fileno(), 0o600)
        self._size = path.stat().st_size
        self._more = asyncio.Condition()
        self._secrets: list[str] = []
        self.closed = False

    def mask(self, text: str) -> None:
        """From now on `text` is written as ****, and so is each of its lines."""
        new = {part for part in (text, *text.splitlines()) if part.strip()} - set(self._secrets)
        self._secrets = sorted((*self._secrets, *new), key=len, reverse=True)

    def masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "****")
        return text

    async def write(self, line: str) -> None:
        data = self.masked(line).encode("utf-8", "replace") + b"\n"
        if self._size < LIMIT:
            if self._size + len(data) >= LIMIT:
                data = f"the log ends here: it has {LIMIT >> 20} MiB\n".encode()
                self._size = LIMIT
            self._size += len(data)
            self._file.write(data)
            await self._wake()

    def leave(self) -> None:
        """The process ends; the run's end is not known, and nobody is told."""
        self._file.close()

    async def close(self) -> None:
        self.closed = True
        self._file.close()
        await self._wake()

    async def _wake(self) -> None:
        async with self._more:
            self._more.notify_all()

    async def follow(self) -> AsyncGenerator[str, None]:
        """All lines from the first, as they come, until the log is closed."""
        with open(self.path, "rb") as file:  # noqa: ASYNC230 - on the node's own disk, in blocks
            rest = b""
            while True:
                closed = self.closed
                block = file.read(BLOCK)
                if block:
                    *whole, rest = (rest + block).split(b"\n")
                    for line in whole:
                        yield line.decode("utf-8", "replace")
                    continue
                if closed:
                    break
                async with self._more:
                    # Written since: the end of the file was seen before the lock was taken.
                    if not self.closed and file.tell() == os.fstat(file.fileno()).st_size:
                        await self._more.wait()
        if rest:
            yield rest.decode("utf-8", "replace")


def lines(path: Path) -> list[str]:
    """Of a run that has ended; none when its log is gone."""
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
