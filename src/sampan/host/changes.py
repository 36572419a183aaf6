"""Tells readers which containers changed. Bounded by the number of containers: a change noted twice is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Changes:
    def __init__(self) -> None:
        self._readers: set[_Reader] = set()

    def publish(self, id: str) -> None:
        for reader in self._readers:
            reader.pending[id] = None
            reader.wake.set()

    def subscribe(self) -> AsyncIterator[str]:
        """IDs from now on, each once until it is read; subscribed when this returns, not at the first read."""
        reader = _Reader()
        self._readers.add(reader)
        return self._read(reader)

    async def _read(self, reader: _Reader) -> AsyncIterator[str]:
        try:
            while True:
                await reader.wake.wait()
                reader.wake.clear()
                while reader.pending:
                    id = next(iter(reader.pending))
                    del reader.pending[id]
                    yield id
        finally:
            self._readers.discard(reader)


class _Reader:
    __slots__ = ("pending", "wake")

    def __init__(self) -> None:
        self.pending: dict[str, None] = {}
        self.wake = asyncio.Event()
