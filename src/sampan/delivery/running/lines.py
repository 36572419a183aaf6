"""Bytes as they come, as lines."""

from __future__ import annotations

from sampan.delivery.running.contracts import Say

LONGEST = 1 << 20
"""Bytes of a line; a longer one is cut in pieces."""


class Lines:
    """`take` bytes, then the `rest`. Without somebody to tell them to, lines are dropped."""

    def __init__(self, out: Say | None) -> None:
        self._out = out
        self._rest = b""

    async def take(self, data: bytes) -> None:
        if self._out is None:
            return
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            await self._tell(line)
        if len(self._rest) > LONGEST:
            await self.rest()

    async def rest(self) -> None:
        if self._rest:
            line, self._rest = self._rest, b""
            await self._tell(line)

    async def _tell(self, line: bytes) -> None:
        if self._out is not None:
            await self._out(line.decode("utf-8", "replace").rstrip("\r"))
