"""ResourceQuota: what a new or grown object uses is written into the namespace's quotas before it is stored.

A reservation is a compare-and-swap of the quota's status, so that two writes cannot take the same last place. A write
that fails after its reservation leaves too much noted until the controller counts again (controllers/resourcequota).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sampan.api import codec, quota
from sampan.api.kinds import core
from sampan.api.kinds.kind import Document
from sampan.api.types import core_v1
from sampan.apiserver.admission.base import Plugin, metadata, refuse, text
from sampan.apiserver.contracts import Admission, View
from sampan.apiserver.resource import Resources
from sampan.apiserver.seed import write_as_server

GROWING = frozenset(("pods", "services", "persistentvolumeclaims"))
"""Resources whose use changes when an object does; of all others only the number counts."""
IGNORED = frozenset(("events", "events.events.k8s.io"))


class ResourceQuota(Plugin):
    name = "ResourceQuota"

    def __init__(self, view: View, resources: Callable[[], Resources]) -> None:
        self._view = view
        self._resources = resources

    def validate(self, admission: Admission) -> Awaitable[None] | None:
        namespace, kind = admission.attributes.namespace, admission.kind
        if not namespace or not kind.stored or admission.document is None or not _concerns(admission):
            return None
        quotas = self._view.list(core_v1.ResourceQuota, namespace)
        if not quotas or self._exists(admission):
            return None
        new = codec.decode(kind, admission.document)
        old = codec.decode(kind, admission.old) if admission.old is not None else None
        costly = [each for each in quotas if _cost(admission, each, new, old)]
        if not costly or admission.dry_run:
            return None
        return self._reserve(admission, costly, new, old)

    def _exists(self, admission: Admission) -> bool:
        """A name that is taken: the store will refuse it, so it costs nothing."""
        name = text(metadata(admission.document or {}), "name")
        if admission.operation != "CREATE" or admission.kind.storage is not None:
            return False
        return self._view.get(admission.kind.type, name, admission.attributes.namespace) is not None

    async def _reserve(self, admission: Admission, quotas: Sequence[core_v1.ResourceQuota], new: Any, old: Any) -> None:
        """Charge every quota, each as it is at that moment. Raises Forbidden when another write was faster."""
        kind = core.RESOURCE_QUOTA

        def change(document: Document) -> Document:
            used = _cost(admission, codec.decode(kind, document), new, old)
            return {**document, "status": {**(document.get("status") or {}), "used": used}} if used else document

        for each in sorted(quotas, key=lambda quota: quota.metadata.name or ""):
            namespace, name = each.metadata.namespace or "", each.metadata.name or ""
            write = write_as_server(kind, "update", namespace, name)
            write.attributes = dataclasses.replace(write.attributes, subresource="status")
            await self._resources().update(kind, namespace, name, change, write, part="status")


def _concerns(admission: Admission) -> bool:
    if admission.kind.resource in IGNORED:
        return False
    part = admission.attributes.subresource
    if admission.operation == "CREATE":
        return not part
    return (
        admission.operation == "UPDATE"
        and admission.kind.resource in GROWING
        and part in (("", "resize") if admission.kind.resource == "pods" else ("",))
    )


def _cost(admission: Admission, object: core_v1.ResourceQuota, new: Any, old: Any) -> dict[str, str] | None:
    """What is used afterwards; None when the quota is not concerned. Raises Forbidden."""
    resource = admission.kind.resource
    if quota.covers(object.spec, resource, new):
        asked = quota.usage(resource, new)
        uncounted = sorted(name for name in object.status.hard if name in asked and name not in object.status.used)
        if uncounted:
            raise refuse(
                admission, f"status unknown for quota: {object.metadata.name}, resources: {','.join(uncounted)}"
            )
    charge = quota.charge(object, resource, new, old)
    if charge.problem:
        raise refuse(admission, charge.problem)
    return charge.used
