"""A new namespace's first pod may come before its default account: wait a moment for the controller that makes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sampan.api.kinds import core
from sampan.apiserver.cacher import Cacher

PATIENCE = 1.5
"""Seconds, as long as upstream tries."""

Appears = Callable[[str], Awaitable[None]]
"""Returns when the namespace has a default account, or when it took too long."""


class DefaultAccounts:
    """An `Appears` over the watch cache."""

    def __init__(self, cacher: Cacher) -> None:
        self._cacher = cacher

    async def __call__(self, namespace: str) -> None:
        cache = self._cacher.of(core.SERVICE_ACCOUNT)
        subscription = cache.subscribe()
        try:
            async with asyncio.timeout(PATIENCE):
                while f"{namespace}/default" not in cache.items and not subscription.failed:
                    await subscription.wait()
                    subscription.changes.clear()
        except TimeoutError:
            return  # the caller looks itself, and says what is missing
        finally:
            subscription.close()
