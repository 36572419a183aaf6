"""A definition that goes takes its objects with it: they are deleted first, and it waits for their finalizers."""

from __future__ import annotations

import asyncio

from sampan.api import codec
from sampan.api.errors import StatusError
from sampan.api.kinds import apiextensions
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import meta_v1
from sampan.api.types.apiextensions_v1 import CustomResourceDefinition
from sampan.apiserver.crd.names import terminating
from sampan.apiserver.deletion import CLEANUP
from sampan.apiserver.meta import metadata, now
from sampan.apiserver.resource import Resources
from sampan.apiserver.seed import write_as_server

AT_ONCE = 16
DEFINITION = apiextensions.CUSTOM_RESOURCE_DEFINITION


def pending(definition: CustomResourceDefinition) -> bool:
    """Whether a definition waits for its objects to go."""
    meta = definition.metadata
    return meta.deletionTimestamp is not None and CLEANUP in meta.finalizers


async def clean(resources: Resources, definition: CustomResourceDefinition, kind: Kind | None) -> bool:
    """Delete the objects, and let the definition go when none is left. True when there are some that wait.

    `kind` is one of the kinds it is served by, None when its names were never accepted: it has no objects.
    """
    if kind is not None:
        await resources.cacher.catch_up()
        await _delete_objects(resources, kind)
        await resources.cacher.catch_up()
        if resources.cacher.of(kind).items:
            await _tell(resources, definition)
            return True
    name = definition.metadata.name or ""

    def release(document: Document) -> Document:
        meta = metadata(document)
        meta["finalizers"] = [each for each in meta.get("finalizers") or () if each != CLEANUP]
        return document

    await resources.update(DEFINITION, "", name, release, write_as_server(DEFINITION, "update", name=name))
    return False


async def _delete_objects(resources: Resources, kind: Kind) -> None:
    gate = asyncio.Semaphore(AT_ONCE)
    options = meta_v1.DeleteOptions()

    async def delete(meta: codec.Meta) -> None:
        async with gate:
            write = write_as_server(kind, "delete", meta.namespace, meta.name)
            try:
                await resources.delete(kind, meta.namespace, meta.name, options, write)
            except StatusError as error:
                if error.reason != "NotFound":
                    raise

    items = [item.meta for item in resources.cacher.of(kind).items.values()]
    await asyncio.gather(*(delete(meta) for meta in items if not meta.deletionTimestamp))


async def _tell(resources: Resources, definition: CustomResourceDefinition) -> None:
    conditions = terminating(definition.status, True, "CustomResource deletion is in progress", now())
    if conditions == definition.status.conditions:
        return
    name = definition.metadata.name or ""

    def change(document: Document) -> Document:
        current = codec.decode(DEFINITION, document)
        made = terminating(current.status, True, "CustomResource deletion is in progress", now())
        status = {**(document.get("status") or {}), "conditions": [codec.document(each) for each in made]}
        return {**document, "status": status}

    write = write_as_server(DEFINITION, "update", name=name)
    await resources.update(DEFINITION, "", name, change, write, part="status")
