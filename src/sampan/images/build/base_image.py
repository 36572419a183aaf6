"""The image that a stage builds on: found in the store or pulled, with its configuration and history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from sampan.host.containers import ImageFailure
from sampan.images.build import stack
from sampan.images.build.errors import BuildError
from sampan.images.build.state import Layer, State
from sampan.images.documents import Manifest, decode
from sampan.images.store import ImageStore, Record


async def state_of(store: ImageStore, name: str, note: Callable[[str], None], *, pull: bool = False) -> State:
    """Found, pulled, or, where no registry can be reached, made of the distribution's packages.

    Raises BuildError when it cannot be had.
    """
    record = None if pull else _find(store, name)
    if record is None:
        record = await _bring(store, name, note)
    return await store.call(lambda: from_record(store, record, name))


def _find(store: ImageStore, name: str) -> Record | None:
    try:
        return store.find(name)
    except ImageFailure as error:
        raise BuildError(str(error), "names of images are lower case, such as debian:12") from error


async def _bring(store: ImageStore, name: str, note: Callable[[str], None]) -> Record:
    try:
        await store.pull(name)
    except ImageFailure as error:
        from sampan.images.build import base

        wanted = base.called(name)
        if wanted is None or not error.unreachable:
            raise BuildError(
                f"the image {name} is not here: {error}", "bring it with: sampan image load FILE"
            ) from error
        note(f"no registry can be reached for {name}")
        await base.make(store, wanted, note)
    record = store.find(name)
    if record is None:
        raise BuildError(f"the image {name} was removed while it was pulled")
    return record


def from_record(store: ImageStore, record: Record, name: str, *, inherit: bool = True) -> State:
    """Blocking. With `inherit` its layers take the roles that they have for who builds on it."""
    manifest = decode(store.content.read(record.manifest), Manifest, "manifest")
    document = configuration(store, record)
    layers = tuple(
        Layer(diff_id, part.digest, part.size, part.mediaType)
        for diff_id, part in zip(record.layers, manifest.layers, strict=True)
    )
    config = {key: value for key, value in (document.get("config") or {}).items() if value not in (None, [], {}, "")}
    history = tuple(_complete(document.get("history") or (), len(layers)))
    return State(layers, config, stack.inherited(history) if inherit else history, base=name)


def configuration(store: ImageStore, record: Record) -> Mapping[str, Any]:
    found: Mapping[str, Any] = msgspec.json.decode(store.content.read(record.id))
    return found


def _complete(history: Any, layers: int) -> list[Mapping[str, Any]]:
    """A line for each layer at least: images that somebody made by hand have none."""
    found: list[Mapping[str, Any]] = [entry for entry in history if isinstance(entry, dict)]
    missing = layers - sum(not entry.get("empty_layer") for entry in found)
    return [*({"created_by": "", "comment": ""} for _ in range(missing)), *found] if missing > 0 else found
