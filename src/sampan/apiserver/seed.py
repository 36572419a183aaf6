"""What the server itself writes at start: default objects, and the service `kubernetes` by which pods find it."""

from __future__ import annotations

import asyncio
from typing import Any

from sampan.api.errors import StatusError
from sampan.api.kinds import core, discovery
from sampan.api.kinds.kind import Document, Kind
from sampan.api.user import User
from sampan.apiserver.bootstrap.documents import Change, changes
from sampan.apiserver.contracts import Attributes
from sampan.apiserver.meta import metadata
from sampan.apiserver.resource import Resources, Write

_SELF = User("system:apiserver", groups=("system:masters",))
_NAME = "kubernetes"
_LABELS = {"component": "apiserver", "provider": "kubernetes"}


def write_as_server(kind: Kind, verb: str, namespace: str = "", name: str = "") -> Write:
    """The options of a write by the server itself."""
    attributes = Attributes(
        _SELF, verb, "", True, kind.group, kind.version, kind.plural, namespace=namespace, name=name
    )
    return Write(attributes, field_validation="Ignore")


async def install(resources: Resources) -> None:
    """Make what every cluster has and this one lacks: namespaces first, the rest at once."""
    wanted = changes(resources.cacher)
    first = [change for change in wanted if change.kind is core.NAMESPACE]
    rest = [change for change in wanted if change.kind is not core.NAMESPACE]
    for step in (first, rest):
        await asyncio.gather(*(_write(resources, change) for change in step))


async def _write(resources: Resources, change: Change) -> None:
    kind, document = change.kind, change.document
    meta = metadata(document)
    namespace, name = str(meta.get("namespace") or ""), str(meta["name"])
    write = write_as_server(kind, change.action, namespace, name)
    if change.action == "create":
        await resources.create(kind, namespace, document, write)
    else:
        await resources.update(
            kind, namespace, name, lambda old: {**document, "metadata": {**document["metadata"]}}, write
        )


async def publish(resources: Resources, service_ip: str, advertise: tuple[str, int]) -> None:
    """Make the service and its endpoints, or bring them up to date."""
    address, port = advertise
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    service: Document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _NAME, "namespace": "default", "labels": dict(_LABELS)},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": service_ip,
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
    }
    endpoints: Document = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": _NAME,
            "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": [{"ip": address}], "ports": ports}],
    }
    piece: Document = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": _NAME, "namespace": "default", "labels": {"kubernetes.io/service-name": _NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": ports,
    }
    await _ensure(resources, core.SERVICE, service, ("spec",))
    await _ensure(resources, core.ENDPOINTS, endpoints, ("subsets",))
    await _ensure(resources, discovery.ENDPOINT_SLICE, piece, ("endpoints", "ports"))


async def publish_dns(resources: Resources, dns_ip: str) -> None:
    """The service `kube-dns`: it holds the address at which every node's own DNS server answers its pods."""
    service: Document = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {
                "k8s-app": "kube-dns",
                "kubernetes.io/cluster-service": "true",
                "kubernetes.io/name": "CoreDNS",
            },
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": dns_ip,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            ],
        },
    }
    await _ensure(resources, core.SERVICE, service, ("spec",))


async def _ensure(resources: Resources, kind: Kind, document: Document, parts: tuple[str, ...]) -> None:
    meta = metadata(document)
    namespace, name = meta["namespace"], meta["name"]

    def change(old: Document) -> Document:
        return {**old, **{part: _merged(old.get(part), document[part]) for part in parts}}

    try:
        await resources.update(kind, namespace, name, change, write_as_server(kind, "update", namespace, name))
    except StatusError as error:
        if error.reason != "NotFound":
            raise
        await resources.create(kind, namespace, document, write_as_server(kind, "create", namespace, name))


def _merged(old: Any, new: Any) -> Any:
    return {**old, **new} if isinstance(old, dict) and isinstance(new, dict) else new
