"""The scale of custom resources: replicas and selector stand where the definition says."""

from __future__ import annotations

from typing import Any

from sampan.api.kinds.kind import Document, Kind
from sampan.api.types.apiextensions_v1 import CustomResourceSubresourceScale
from sampan.apiserver.meta import metadata
from sampan.apiserver.routes import Route
from sampan.apiserver.subresources.scale import Scales, replicas_of, scale_of, with_identity

_SHOWN = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


class CustomScales(Scales):
    def _show(self, kind: Kind, document: Document) -> Document:
        return shown_scale(kind, document)

    def _replace(self, route: Route, old: Document, wanted: Document) -> Document:
        from sampan.api.custom import jsonpath

        names = jsonpath.names(_paths(route.kind).specReplicasPath)
        return with_identity(_put(old, names, replicas_of(route.name, wanted)), wanted)


def shown_scale(kind: Kind, document: Document) -> Document:
    """The Scale of an object of any kind that has one."""
    if kind.custom is None:
        return scale_of(document)
    paths = _paths(kind)
    meta = metadata(document)
    wanted, present = _at(document, paths.specReplicasPath), _at(document, paths.statusReplicasPath)
    selector = _at(document, paths.labelSelectorPath) if paths.labelSelectorPath else None
    status: Document = {"replicas": present if isinstance(present, int) else 0}
    if isinstance(selector, str) and selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in _SHOWN if name in meta},
        "spec": {"replicas": wanted} if isinstance(wanted, int) and wanted else {},
        "status": status,
    }


def _paths(kind: Kind) -> CustomResourceSubresourceScale:
    assert kind.custom is not None, "only custom kinds come here"
    found: CustomResourceSubresourceScale = kind.custom.scale
    return found


def _at(document: Document, path: str) -> Any:
    from sampan.api.custom import jsonpath  # only where there are definitions

    return jsonpath.Path(path).first(document)


def _put(document: Document, names: tuple[str, ...], value: Any) -> Document:
    """A copy with a value at a path; what is missing on the way is made."""
    first, *rest = names
    below = document.get(first)
    inner = _put(below if isinstance(below, dict) else {}, tuple(rest), value) if rest else value
    return {**document, first: inner}
