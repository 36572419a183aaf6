"""The Secrets and ConfigMaps that Ingresses name, and no others: one watch for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sampan.api.types import core_v1
from sampan.client.informer import Informer, Informers
from sampan.network.ingress.backends import Key

Reference = tuple[type, Key]


class References:
    def __init__(self, informers: Informers, changed: Callable[[], None]) -> None:
        self._informers = informers
        self._changed = changed
        self._followed: dict[Reference, Informer[Any]] = {}

    async def follow(self, wanted: set[Reference]) -> None:
        """Follow these and no others; returns when all of them have been read."""
        for reference in self._followed.keys() - wanted:
            self._informers.drop(self._followed.pop(reference))
        for reference in wanted - self._followed.keys():
            kind, (namespace, name) = reference
            informer: Informer[Any] = self._informers.get(kind, namespace, fields=f"metadata.name={name}")
            informer.subscribe(lambda *_: self._changed())
            self._followed[reference] = informer
        for reference in wanted:
            await self._followed[reference].synced.wait()

    def secrets(self) -> dict[Key, core_v1.Secret]:
        return self._found(core_v1.Secret)

    def configs(self) -> dict[Key, core_v1.ConfigMap]:
        return self._found(core_v1.ConfigMap)

    def _found(self, type: type) -> dict[Key, Any]:
        return {
            key: each
            for (kind, key), informer in self._followed.items()
            if kind is type and (each := informer.get(key[1], key[0])) is not None
        }
