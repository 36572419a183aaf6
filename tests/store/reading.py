"""What tests do with stores: take from watches with a deadline, wait for something to become true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sampan.store.types import Event, Store, Watch

DEADLINE = 30.0


async def take(watch: Watch, count: int) -> list[Event]:
    """The first `count` events."""
    found: list[Event] = []
    async with asyncio.timeout(DEADLINE):
        async for batch in watch:
            found += batch
            if len(found) >= count:
                break
    watch.close()
    assert len(found) == count
    return found


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await check():
            await asyncio.sleep(0.01)


async def contents(store: Store, prefix: str = "", revision: int = 0) -> dict[str, bytes]:
    return {entry.key: entry.value for entry in (await store.range(prefix, revision=revision)).entries}
