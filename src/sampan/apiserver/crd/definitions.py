"""Follows CustomResourceDefinitions and makes the server serve what they declare, without a restart.

One pass looks at every definition: its names are accepted or refused, its kinds are compiled, published, and only
then it is called Established. A pass follows every change of a definition, and of objects whose definition is going.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sampan.api import codec, conditions
from sampan.api.custom.object import make_type
from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types.apiextensions_v1 import CustomResourceDefinition, CustomResourceDefinitionStatus
from sampan.apiserver.cacher import Change, ResourceCache, Subscription
from sampan.apiserver.crd import cleanup
from sampan.apiserver.crd.names import judge
from sampan.apiserver.meta import now
from sampan.apiserver.resource import Resources
from sampan.apiserver.seed import write_as_server

log = logging.getLogger(__name__)

DEFINITION = cleanup.DEFINITION
AGAIN = 1.0
"""Seconds until a pass that could not write is repeated."""


class _Served(NamedTuple):
    """What one definition is served as; `key` is everything that it follows from.

    `every` are its kinds in all versions, `kinds` those of the versions that are served.
    """

    key: tuple[Any, ...]
    every: tuple[Kind, ...]
    kinds: tuple[Kind, ...]


class _Bell(Subscription):
    """A subscription that keeps nothing: it only says that something changed."""

    def __init__(self, cache: ResourceCache, ring: Callable[[], None]) -> None:
        super().__init__(cache, ())
        self._ring = ring

    def offer(self, change: Change) -> None:
        self._ring()

    def rouse(self) -> None:
        self._ring()


class Definitions:
    """`start` serves what there is, then `run` follows. `publish` gets all custom kinds whenever they change."""

    def __init__(
        self, resources: Resources, builtin: Sequence[Kind], publish: Callable[[Sequence[Kind]], None]
    ) -> None:
        self._resources = resources
        self._cacher = resources.cacher
        self._publish = publish
        self._builtin = frozenset((kind.group, kind.plural) for kind in builtin)
        self._served: dict[str, _Served] = {}
        self._bells: dict[str, _Bell] = {}
        self._seen: dict[str, tuple[str, str]] = {}
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Serve the definitions of the store. The watch cache is loaded and follows already."""
        self._cacher.of(DEFINITION).join(_Bell(self._cacher.of(DEFINITION), self._changed.set))
        await self._pass()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._pass()
            except StatusError as error:
                log.warning("custom resources: %s; trying again in %g s", error, AGAIN)
                loop.call_later(AGAIN, self._changed.set)

    async def _pass(self) -> None:
        present = {each.metadata.name or "": each for each in self._all()}
        for name in self._served.keys() - present.keys():
            self._withdraw(name)
        for name in self._due(present):
            await self._cacher.catch_up()
            definition = self._cacher.get(CustomResourceDefinition, name)
            if definition is not None:
                try:
                    await self._treat(name, definition)
                except StatusError as error:
                    if error.reason != "NotFound":  # it has gone meanwhile, which is the next pass
                        raise
        self._seen = {name: (each.spec.group, each.metadata.resourceVersion or "") for name, each in present.items()}

    def _due(self, present: Mapping[str, CustomResourceDefinition]) -> list[str]:
        """The definitions to look at, oldest first: of groups where something changed, for names depend on the others.

        What a pass has seen is noted when it has succeeded.
        """
        now = {name: (each.spec.group, each.metadata.resourceVersion or "") for name, each in present.items()}
        changed = {group for _, (group, _) in now.items() ^ self._seen.items()}
        names = [name for name, each in present.items() if each.spec.group in changed or cleanup.pending(each)]
        return sorted(names, key=lambda name: (present[name].metadata.creationTimestamp or "", name))

    def _all(self) -> Sequence[CustomResourceDefinition]:
        return self._cacher.list(CustomResourceDefinition)

    async def _treat(self, name: str, definition: CustomResourceDefinition) -> None:
        status, kinds, problem = self._judge(name, definition)
        if conditions.is_true(status.conditions, "Established") and not problem:
            await self._serve(name, definition, status, kinds)
        elif name in self._served:
            self._withdraw(name)
        if status != definition.status:
            await self._write(name, definition)
        if cleanup.pending(definition):
            await self._clean(name, definition)

    def _judge(
        self, name: str, definition: CustomResourceDefinition
    ) -> tuple[CustomResourceDefinitionStatus, tuple[Kind, ...], str]:
        """The status, the kinds of all versions, and why it cannot be served."""
        problem, kinds = "", tuple[Kind, ...]()
        spec = definition.spec
        if (spec.group, spec.names.plural) in self._builtin:
            problem = f"{spec.names.plural}.{spec.group} is built into this server"
        status = judge(definition, self._all(), (problem,) if problem else (), now())
        before = self._served.get(name)
        if not problem and (before is None or before.key != _key(definition, status)):
            type: Any = before.every[0].type if before is not None else make_type(spec.names.kind)
            from sampan.apiserver.crd.kinds import kinds_of  # 10 ms, which servers without definitions save

            try:
                kinds = kinds_of(definition, status.acceptedNames or spec.names, type)
            except (ValueError, TypeError, AttributeError, KeyError, RecursionError, re.error) as error:
                # Only a definition that was stored without validation comes here.
                problem = f"the schema cannot be used: {error}"
                status = judge(definition, self._all(), (problem,), now())
        elif before is not None:
            kinds = before.every
        return status, kinds, problem

    async def _serve(
        self,
        name: str,
        definition: CustomResourceDefinition,
        status: CustomResourceDefinitionStatus,
        kinds: tuple[Kind, ...],
    ) -> None:
        before = self._served.get(name)
        key = _key(definition, status)
        if before is not None and before.key == key:
            return
        await self._cacher.open(kinds[0])
        versions = {version.name for version in definition.spec.versions if version.served}
        self._served[name] = _Served(key, kinds, tuple(kind for kind in kinds if kind.version in versions))
        self._announce()
        if before is not None and before.key[:2] != key[:2]:
            # Who watches saw objects in the form they had before.
            self._cacher.of(kinds[0]).fail()

    def _withdraw(self, name: str) -> None:
        served = self._served.pop(name)
        self._announce()
        self._cacher.close(served.every[0])
        bell = self._bells.pop(name, None)
        if bell is not None:
            bell.close()

    def _announce(self) -> None:
        self._publish([kind for served in self._served.values() for kind in served.kinds])

    async def _write(self, name: str, definition: CustomResourceDefinition) -> None:
        def change(document: Document) -> Document:
            current = codec.decode(DEFINITION, document)
            status, _, _ = self._judge(name, current)
            return {**document, "status": codec.document(status)}

        write = write_as_server(DEFINITION, "update", name=name)
        await self._resources.update(DEFINITION, "", name, change, write, part="status")

    async def _clean(self, name: str, definition: CustomResourceDefinition) -> None:
        served = self._served.get(name)
        kind = served.every[0] if served is not None else None
        if kind is not None and name not in self._bells:
            cache = self._cacher.of(kind)
            self._bells[name] = _Bell(cache, self._changed.set)
            cache.join(self._bells[name])
        await cleanup.clean(self._resources, definition, kind)


def _key(definition: CustomResourceDefinition, status: CustomResourceDefinitionStatus) -> tuple[Any, ...]:
    ending = bool(definition.metadata.deletionTimestamp)
    stored = definition.status.storedVersions
    return (definition.spec, status.acceptedNames, definition.metadata.generation, stored, ending)
