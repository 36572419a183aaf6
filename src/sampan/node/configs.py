"""ConfigMaps and Secrets that pods of this node use: read when a pod starts, watched while a pod holds them as files.

One watch per object, as the node's authorization allows no more: list and watch of a single name. An object that
nobody holds any more is no longer watched, an immutable one not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.client.client import Client
from sampan.client.informer import Informer, Informers

Config = core_v1.ConfigMap | core_v1.Secret
_TYPES: Mapping[str, type[Any]] = {"ConfigMap": core_v1.ConfigMap, "Secret": core_v1.Secret}
T = TypeVar("T", core_v1.ConfigMap, core_v1.Secret)


class ConfigKey(NamedTuple):
    kind: Literal["ConfigMap", "Secret"]
    namespace: str
    name: str


class PodConfigs:
    """contracts.Configs, and who holds what. `run` never returns; without it nothing is watched."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers = Informers(client)
        self._watched: dict[ConfigKey, Informer[Any]] = {}
        self._holders: dict[ConfigKey, set[str]] = {}
        self._held: dict[str, frozenset[ConfigKey]] = {}
        self._callbacks: list[Callable[[Collection[str]], None]] = []

    async def run(self) -> None:
        await self._informers.run()

    async def config_map(self, namespace: str, name: str) -> core_v1.ConfigMap | None:
        """As the server has it now."""
        return await self._get(core_v1.ConfigMap, namespace, name)

    async def secret(self, namespace: str, name: str) -> core_v1.Secret | None:
        return await self._get(core_v1.Secret, namespace, name)

    async def _get(self, type: type[T], namespace: str, name: str) -> T | None:
        try:
            return await self._client.get(type, name, namespace)
        except StatusError as error:
            if error.code == 404:
                return None
            raise

    # --- who holds what ---

    def subscribe(self, callback: Callable[[Collection[str]], None]) -> None:
        """Call with the UIDs of the pods that hold an object, when it changed, came or went."""
        self._callbacks.append(callback)

    def hold(self, pod_uid: str, keys: Iterable[ConfigKey]) -> None:
        """The pod holds these now and nothing else."""
        before, now = self._held.get(pod_uid, frozenset()), frozenset(keys)
        if now:
            self._held[pod_uid] = now
        else:
            self._held.pop(pod_uid, None)
        for key in now - before:
            self._holders.setdefault(key, set()).add(pod_uid)
            if key not in self._watched:
                self._watch(key)
        for key in before - now:
            holders = self._holders[key]
            holders.discard(pod_uid)
            if not holders:
                del self._holders[key]
                self._unwatch(key)

    def release(self, pod_uid: str) -> None:
        self.hold(pod_uid, ())

    @property
    def watched(self) -> Watched:
        """The same objects as the watches have them, without asking the server for those that are held."""
        return Watched(self)

    def informer(self, key: ConfigKey) -> Informer[Any] | None:
        """The running watch of an object; None when it has not been heard of yet."""
        informer = self._watched.get(key)
        return informer if informer is not None and informer.synced.is_set() else None

    def _watch(self, key: ConfigKey) -> None:
        """What is there at the first list counts as a change too: it may have changed since the pod read it."""
        fields = f"metadata.name={key.name}"
        informer: Informer[Any] = self._informers.get(_TYPES[key.kind], key.namespace, fields=fields)
        self._watched[key] = informer
        informer.subscribe(lambda event, old, new: self._changed(key, new))

    def _unwatch(self, key: ConfigKey) -> None:
        informer = self._watched.pop(key, None)
        if informer is not None:
            self._informers.drop(informer)

    def _changed(self, key: ConfigKey, object: Config | None) -> None:
        if key not in self._watched:
            return
        pods = tuple(self._holders.get(key, ()))
        for callback in self._callbacks:
            callback(pods)
        if object is not None and object.immutable:
            self._unwatch(key)


class Watched:
    """contracts.Configs for refreshing: the news that made somebody ask has come by the watch."""

    def __init__(self, configs: PodConfigs) -> None:
        self._configs = configs

    async def config_map(self, namespace: str, name: str) -> core_v1.ConfigMap | None:
        informer = self._configs.informer(ConfigKey("ConfigMap", namespace, name))
        return informer.get(name, namespace) if informer else await self._configs.config_map(namespace, name)

    async def secret(self, namespace: str, name: str) -> core_v1.Secret | None:
        informer = self._configs.informer(ConfigKey("Secret", namespace, name))
        return informer.get(name, namespace) if informer else await self._configs.secret(namespace, name)
