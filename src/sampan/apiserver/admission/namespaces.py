"""NamespaceLifecycle: objects live in namespaces that exist, and no new ones come to a namespace that ends."""

from __future__ import annotations

import msgspec

from sampan.api.errors import forbidden_error, not_found_error
from sampan.api.types import core_v1, meta_v1
from sampan.apiserver.admission.base import Plugin, refuse
from sampan.apiserver.contracts import Admission, View

IMMORTAL = ("default", "kube-system", "kube-public")


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"

    def __init__(self, view: View) -> None:
        self._view = view

    def admit(self, admission: Admission) -> None:
        attributes, kind = admission.attributes, admission.kind
        if kind.plural == "namespaces" and not kind.group:
            if admission.operation == "DELETE" and attributes.name in IMMORTAL:
                raise forbidden_error("namespaces", "", attributes.name, "this namespace may not be deleted")
            return
        namespace = attributes.namespace
        if not namespace or admission.operation in ("DELETE", "CONNECT"):
            return
        if kind.plural == "localsubjectaccessreviews" and kind.group == "authorization.k8s.io":
            return
        found = self._view.get(core_v1.Namespace, namespace)
        if found is None:
            raise not_found_error("namespaces", "", namespace)
        if admission.operation == "CREATE" and found.status.phase == "Terminating":
            error = refuse(
                admission, f"unable to create new content in namespace {namespace} because it is being terminated"
            )
            cause = meta_v1.StatusCause(
                reason="NamespaceTerminating",
                message=f"namespace {namespace} is being terminated",
                field_="metadata.namespace",
            )
            details = msgspec.structs.replace(error.status.details or meta_v1.StatusDetails(), causes=(cause,))
            error.status = msgspec.structs.replace(error.status, details=details)
            raise error
