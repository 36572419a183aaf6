"""Tells who follows a container that it has ended: one reader of the runtime's changes for all followers."""

from __future__ import annotations

import asyncio

from sampan.host.containers import ContainerRuntime


class Exits:
    """`run` never returns. Bounded by the number of followers."""

    def __init__(self, runtime: ContainerRuntime) -> None:
        self._runtime = runtime
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def run(self) -> None:
        changes = self._runtime.changes()
        for id in tuple(self._waiting):
            await self._look(id)
        async for id in changes:
            if id in self._waiting:
                await self._look(id)

    async def watch(self, id: str) -> asyncio.Event:
        """An event that is set once the container has ended; at once when it has. Give it back to `release`."""
        event = asyncio.Event()
        self._waiting.setdefault(id, set()).add(event)
        await self._look(id)
        return event

    def release(self, id: str, event: asyncio.Event) -> None:
        events = self._waiting.get(id)
        if events is not None:
            events.discard(event)
            if not events:
                del self._waiting[id]

    async def _look(self, id: str) -> None:
        container = await self._runtime.container(id)
        if container is None or container.state == "exited":
            for event in self._waiting.get(id, ()):
                event.set()
