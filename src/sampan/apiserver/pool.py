"""Connections of the API server to others: a few for each place are kept, those used least are closed first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from sampan.http.client import HttpTransport

K = TypeVar("K")
PLACES = 64


class Pool(Generic[K]):
    """Transports by whatever tells them apart."""

    def __init__(self) -> None:
        self._transports: OrderedDict[K, HttpTransport] = OrderedDict()

    async def get(self, key: K, make: Callable[[], HttpTransport]) -> HttpTransport:
        found = self._transports.get(key)
        if found is None:
            found = self._transports[key] = make()
            if len(self._transports) > PLACES:
                _, oldest = self._transports.popitem(last=False)
                await oldest.close()
        self._transports.move_to_end(key)
        return found

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.close()
        self._transports.clear()
