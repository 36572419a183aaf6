"""Visitors that ask without a pause, each on a connection of its own, and count what went wrong.

What they forgive is what HTTP tells every client to: a connection that had answered before and ends without a byte of
the next answer asks for another connection (RFC 9112, 9.3.1), which they count.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Tally:
    answers: Counter[str] = field(default_factory=Counter)
    """Answers by status, and failures by their names."""
    bodies: Counter[bytes] = field(default_factory=Counter)
    reopened: int = 0
    """Requests that were sent again because their connection had ended."""

    @property
    def failed(self) -> dict[str, int]:
        return {what: count for what, count in self.answers.items() if what != "200"}

    @property
    def good(self) -> int:
        return self.answers["200"]


class Visitor:
    def __init__(self, tally: Tally, host: str, port: int, path: str, *, keep: bool, body: bytes = b"") -> None:
        self._tally = tally
        self._address = ("127.0.0.1", port)
        method = "POST" if body else "GET"
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
        lines += [] if keep else ["Connection: close"]
        self._request = "\r\n".join([*lines, "", ""]).encode() + body
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        try:
            while True:
                await self._visit()
        finally:
            self._close()

    async def _visit(self) -> None:
        used = self._streams is not None
        try:
            status, body = await self._ask()
        except (OSError, EOFError) as error:
            self._close()
            if used and not (isinstance(error, asyncio.IncompleteReadError) and error.partial):
                self._tally.reopened += 1
                return
            self._tally.answers[type(error).__name__] += 1
            # What fails at once must not keep the loop from everybody else.
            await asyncio.sleep(0.001)
            return
        self._tally.answers[status] += 1
        self._tally.bodies[body] += 1

    async def _ask(self) -> tuple[str, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        if "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
        elif fields.get("transfer-encoding") == "chunked":
            body = b""
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        else:
            body = await reader.read()
        if fields.get("connection") == "close":
            self._close()
        return head.split()[1], body

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@asynccontextmanager
async def visitors(
    host: str, port: int, path: str = "/", *, keeping: int = 4, closing: int = 4, body: bytes = b""
) -> AsyncIterator[Tally]:
    """`keeping` visitors use their connection again and again, `closing` ones never."""
    tally = Tally()
    made = [Visitor(tally, host, port, path, keep=at < keeping, body=body) for at in range(keeping + closing)]
    tasks = [asyncio.create_task(each.run()) for each in made]
    try:
        yield tally
    finally:
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    for error in done:
        if not isinstance(error, asyncio.CancelledError):
            raise error  # type: ignore[misc]
