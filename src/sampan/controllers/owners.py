"""Owners and what they own: finding it, adopting orphans that match, releasing what does not match any more."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Kind
from sampan.api.selectors import Selector
from sampan.api.types import meta_v1
from sampan.client.cache import Key, meta
from sampan.client.client import Client
from sampan.runtime.actions import Action, Call, Patch, View

BY_CONTROLLER = "controller"


def controller_of(object: Any) -> meta_v1.OwnerReference | None:
    for reference in meta(object).ownerReferences:
        if reference.controller:
            return reference
    return None


def controller_uid(object: Any) -> Iterable[str]:
    """Index function: the controller's uid, or `orphan/<namespace>`."""
    reference = controller_of(object)
    return (reference.uid if reference else f"orphan/{meta(object).namespace or ''}",)


def reference(owner: Any, kind: Kind) -> meta_v1.OwnerReference:
    return meta_v1.OwnerReference(
        apiVersion=kind.api_version,
        kind=kind.name,
        name=meta(owner).name or "",
        uid=meta(owner).uid or "",
        controller=True,
        blockOwnerDeletion=True,
    )


def owned(type: type, owner: Any, view: View) -> tuple[Any, ...]:
    return tuple(view.by(type, BY_CONTROLLER, meta(owner).uid or ""))


def keys_of_owner(kind: Kind, selector: Callable[[Any], Selector]) -> Callable[[Any, View], Iterable[Key]]:
    """A mapper: the controller of an object, or for an orphan everybody of `kind` who could adopt it."""

    def keys(object: Any, view: View) -> Iterable[Key]:
        metadata, found = meta(object), controller_of(object)
        namespace = metadata.namespace or ""
        if found is not None:
            group = found.apiVersion.rpartition("/")[0]
            return ((namespace, found.name),) if (found.kind, group) == (kind.name, kind.group) else ()
        return tuple(
            (namespace, meta(owner).name or "")
            for owner in view.within(kind.type, namespace)
            if selects(selector(owner), metadata.labels)
        )

    return keys


def selects(selector: Selector, labels: Any) -> bool:
    """Owners never own what an empty selector would give them: everything."""
    return not selector.empty and selector.matches(labels)


def claim(
    type: type, owner: Any, kind: Kind, selector: Selector, view: View, *, finalizer: str = ""
) -> Generator[Action, Any, list[Any]]:
    """Adopt and release; returns what the owner owns now. `finalizer` comes and goes with the ownership."""
    metadata = meta(owner)
    mine: list[Any] = []
    for object in owned(type, owner, view):
        if selects(selector, meta(object).labels):
            mine.append(object)
        elif metadata.deletionTimestamp is None:
            yield from _unless_gone(Patch(object, _release(metadata.uid or "", finalizer), "strategic"))
    if metadata.deletionTimestamp is not None:
        return mine
    orphans: tuple[Any, ...] = tuple(view.by(type, BY_CONTROLLER, f"orphan/{metadata.namespace or ''}"))
    wanted = [
        orphan
        for orphan in orphans
        if meta(orphan).deletionTimestamp is None and selects(selector, meta(orphan).labels)
    ]
    if wanted and (yield Call(lambda client: _still_there(client, owner))):
        for orphan in wanted:
            adopted = yield from _unless_gone(Patch(orphan, _adopt(owner, kind, finalizer), "strategic"))
            if adopted is not None:
                mine.append(adopted)
    return mine


async def _still_there(client: Client, owner: Any) -> bool:
    """The cache may not know yet that the owner is being deleted; adopting then would kill the orphans."""
    try:
        live = await client.get(type(owner), meta(owner).name or "", meta(owner).namespace or "")
    except StatusError as error:
        if error.code == 404:
            return False
        raise
    return meta(live).uid == meta(owner).uid and meta(live).deletionTimestamp is None


def _unless_gone(patch: Patch) -> Generator[Action, Any, Any]:
    """404: it is gone; 422: it is another one by now, or lost the reference already."""
    try:
        return (yield patch)
    except StatusError as error:
        if error.code in (404, 409, 422):
            return None
        raise


def _release(uid: str, finalizer: str) -> dict[str, Any]:
    dropped = {"$deleteFromPrimitiveList/finalizers": [finalizer]} if finalizer else {}
    return {"metadata": {"ownerReferences": [{"$patch": "delete", "uid": uid}], **dropped}}


def _adopt(owner: Any, kind: Kind, finalizer: str) -> dict[str, Any]:
    made = reference(owner, kind)
    entry = {name: getattr(made, name) for name in made.__struct_fields__}
    return {"metadata": {"ownerReferences": [entry], **({"finalizers": [finalizer]} if finalizer else {})}}
