"""The scale of workloads: replicas and selector, as autoscaling/v1 Scale."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.api import codec, selectors
from sampan.api.errors import bad_request, invalid, invalid_error
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import autoscaling_v1, meta_v1
from sampan.apiserver import negotiation
from sampan.apiserver.contracts import Attributes
from sampan.apiserver.meta import metadata
from sampan.apiserver.resource import Resources
from sampan.apiserver.routes import Route
from sampan.apiserver.verbs.write import body_of, patch_of, read_document, write_of
from sampan.http.types import Request, Response

KIND = Kind(autoscaling_v1.Scale, "autoscaling", "v1", "scales", stored=False)


class Scales:
    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    def _show(self, kind: Kind, document: Document) -> Document:
        """The Scale of an object."""
        return scale_of(document)

    def _replace(self, route: Route, old: Document, wanted: Document) -> Document:
        """The object as a Scale wants it."""
        return _replace(route, old, wanted)

    async def get(self, request: Request, route: Route, attributes: Attributes) -> Response:
        item = await self._resources.current(route.kind, route.namespace, route.name)
        scale = self._show(route.kind, self._resources.document(route.kind, item))
        return negotiation.answer(request, codec.encode(scale))

    async def update(self, request: Request, route: Route, attributes: Attributes) -> Response:
        write = write_of(request, attributes)
        wanted = read_document(KIND, await body_of(request), request.headers.get("content-type", ""), write)

        def change(old: Document) -> Document:
            return self._replace(route, old, wanted)

        given = bool(metadata(wanted).get("resourceVersion"))
        value = await self._resources.update(
            route.kind, route.namespace, route.name, change, write, part="scale", conditional=given
        )
        return negotiation.answer(request, codec.encode(self._show(route.kind, msgspec.json.decode(value))))

    async def patch(self, request: Request, route: Route, attributes: Attributes) -> Response:
        write = write_of(request, attributes)
        _, apply = patch_of(KIND, request.headers.get("content-type", ""), await body_of(request))

        def change(old: Document) -> Document:
            wanted = apply(self._show(route.kind, old))
            if not isinstance(wanted, dict):
                raise bad_request("the patch does not leave an object behind")
            codec.identify(KIND, wanted)
            codec.decode(KIND, wanted)
            return self._replace(route, old, wanted)

        value = await self._resources.update(route.kind, route.namespace, route.name, change, write, part="scale")
        return negotiation.answer(request, codec.encode(self._show(route.kind, msgspec.json.decode(value))))


def scale_of(document: Document) -> Document:
    """The Scale that a workload's document shows."""
    meta, spec, status = metadata(document), document.get("spec") or {}, document.get("status") or {}
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    scale: dict[str, Any] = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in shown if name in meta},
        "spec": {"replicas": spec["replicas"]} if spec.get("replicas") else {},
        "status": {"replicas": status.get("replicas") or 0},
    }
    if text := _selector(spec.get("selector")):
        scale["status"]["selector"] = text
    return scale


def _selector(selector: Any) -> str:
    if not isinstance(selector, dict):
        return ""
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(selectors.label_selector(msgspec.convert(selector, meta_v1.LabelSelector)))
    return str(selectors.of_map(selector))


def _replace(route: Route, old: Document, wanted: Document) -> Document:
    new = {**old, "spec": {**(old.get("spec") or {}), "replicas": replicas_of(route.name, wanted)}}
    return with_identity(new, wanted)


def replicas_of(name: str, scale: Document) -> int:
    """What a Scale wants. Raises Invalid."""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        text = "must be greater than or equal to 0"
        raise invalid_error("Scale", "autoscaling", name, [invalid("spec.replicas", replicas, text)])
    return int(replicas)


def with_identity(new: Document, scale: Document) -> Document:
    """The object with the version, uid and name that the Scale gives, so that those are checked."""
    new["metadata"] = dict(metadata(new))
    for name in ("resourceVersion", "uid", "name"):
        if metadata(scale).get(name):
            new["metadata"][name] = metadata(scale)[name]
    return new
