"""Every namespace has the ConfigMap kube-root-ca.crt, with which pods verify the API server."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from sampan.api.types import core_v1, meta_v1
from sampan.client.cache import Key
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Create, Plan, Update, View
from sampan.runtime.controller import Controller, Watch

NAME = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


def planned(settings: Settings, namespace: core_v1.Namespace, view: View) -> Plan:
    if not settings.root_ca or namespace.status.phase == "Terminating":
        return
    data = {"ca.crt": settings.root_ca}
    name = namespace.metadata.name or ""
    present = view.get(core_v1.ConfigMap, NAME, name)
    if present is None:
        metadata = meta_v1.ObjectMeta(name=NAME, namespace=name, annotations={"kubernetes.io/description": DESCRIPTION})
        yield Create(core_v1.ConfigMap(metadata=metadata, data=data))
    elif present.data != data:
        yield Update(replace(present, data=data))


def _namespace(object: core_v1.ConfigMap, view: View) -> Iterable[Key]:
    return (("", object.metadata.namespace or ""),) if object.metadata.name == NAME else ()


def declare(settings: Settings) -> Controller:
    return Controller(
        name="root-ca-certificate-publisher-controller",
        primary=core_v1.Namespace,
        plan=lambda namespace, view: planned(settings, namespace, view),
        watches=(Watch(core_v1.ConfigMap, _namespace),),
    )
