"""Writes as admission sees them, and one way to run plugins over them."""

from __future__ import annotations

from typing import Any

from sampan.api import codec
from sampan.api.errors import StatusError
from sampan.api.user import User
from sampan.apiserver import admission
from sampan.apiserver.admission.base import Plugin
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.contracts import Admission, Attributes
from tests.apiserver_security.memory import Memory, kind, make, who

JANE = who("jane", "system:authenticated")


def cluster(*more: dict[str, Any]) -> Memory:
    return Memory(make("Namespace", "shop"), make("ServiceAccount", "default", "shop"), *more)


def plugin(name: str, view: Memory) -> Plugin:
    return next(p for p in admission.plugins(view, Authorization(view)) if p.name == name)


def ask(
    document: dict[str, Any] | None,
    operation: str = "CREATE",
    *,
    old: dict[str, Any] | None = None,
    user: User = JANE,
    sub: str = "",
    of: str = "",
) -> Admission:
    """A write of a document, or of the object `old` for DELETE; `of` is the resource's kind if not the body's."""
    subject = document or old or {}
    declared = kind(of or subject["kind"])
    meta = (old or subject)["metadata"]
    namespace = meta.get("namespace", "") if declared.namespaced else ""
    name = "" if operation == "CREATE" and not sub else meta.get("name", "")
    attributes = Attributes(
        user, operation.lower(), "", True, declared.group, declared.version, declared.plural, sub, namespace, name
    )
    return Admission(attributes, declared, operation, document, old)


def run(plugins: Plugin | list[Plugin], asked: Admission) -> str:
    """Both steps; the refusal's message, or "" when the write may pass."""
    chosen = [plugins] if isinstance(plugins, Plugin) else plugins
    try:
        for each in chosen:
            assert each.admit(asked) is None
        if asked.document is not None and not asked.attributes.subresource:
            codec.decode(asked.kind, asked.document)
        for each in chosen:
            assert each.validate(asked) is None
    except StatusError as error:
        return str(error)
    return ""


def pod(name: str = "web", *, meta: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    body = {"containers": [{"name": "c", "image": "x"}], **spec}
    return make("Pod", name, "shop", meta=meta, spec=body)


def claim(storage: str = "1Gi", name: str = "data", **rest: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}, **rest}
    return make("PersistentVolumeClaim", name, "shop", spec=spec)
