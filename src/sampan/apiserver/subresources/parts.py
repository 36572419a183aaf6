"""Subresources that change one part of an object by rules of their own.

A Merge takes the object as it is and what was sent, and returns the object with that part changed.
"""

from __future__ import annotations

from sampan.api.kinds.kind import Document
from sampan.apiserver.contracts import Attributes
from sampan.apiserver.meta import metadata
from sampan.apiserver.routes import Route
from sampan.apiserver.verbs.write import Merge, Writer
from sampan.http.types import Request, Response


def finalize(old: Document, new: Document) -> Document:
    """namespaces/finalize: the finalizers of the spec."""
    return {**old, "spec": {**(old.get("spec") or {}), "finalizers": (new.get("spec") or {}).get("finalizers") or []}}


def approve(old: Document, new: Document) -> Document:
    """certificatesigningrequests/approval: the conditions."""
    status = {**(old.get("status") or {}), "conditions": (new.get("status") or {}).get("conditions") or []}
    return {**old, "status": status}


def ephemeral(old: Document, new: Document) -> Document:
    """pods/ephemeralcontainers: containers are added, never changed."""
    added = (new.get("spec") or {}).get("ephemeralContainers") or []
    return {**old, "spec": {**(old.get("spec") or {}), "ephemeralContainers": added}}


def resize(old: Document, new: Document) -> Document:
    """pods/resize: resources of containers by name."""
    wanted = {c.get("name"): c for c in (new.get("spec") or {}).get("containers") or ()}
    containers = []
    for container in (old.get("spec") or {}).get("containers") or ():
        sent = wanted.get(container.get("name"), container)
        kept = {k: v for k, v in container.items() if k not in ("resources", "resizePolicy")}
        containers.append({**kept, **{k: sent[k] for k in ("resources", "resizePolicy") if k in sent}})
    return {**old, "spec": {**(old.get("spec") or {}), "containers": containers}}


PARTS: dict[tuple[str, str], Merge] = {
    ("namespaces", "finalize"): finalize,
    ("certificatesigningrequests.certificates.k8s.io", "approval"): approve,
    ("pods", "ephemeralcontainers"): ephemeral,
    ("pods", "resize"): resize,
}


async def serve(writer: Writer, request: Request, route: Route, attributes: Attributes, merge: Merge) -> Response:
    """PUT or PATCH of such a part."""

    def only(old: Document, new: Document) -> Document:
        merged = merge(old, new)
        return {**merged, "metadata": {**metadata(old), **_precondition(new)}}

    if request.method == "PUT":
        return await writer.update(request, route, attributes, route.part, only)
    return await writer.patch(request, route, attributes, route.part, only)


def _precondition(new: Document) -> Document:
    version = metadata(new).get("resourceVersion")
    return {"resourceVersion": version} if version else {}
