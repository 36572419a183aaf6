"""Services and EndpointSlices as the API server would serve them, and informers that a test fills by hand."""

from __future__ import annotations

import itertools
from typing import Any

from msgspec.structs import replace

from sampan.api import kinds
from sampan.api.types import core_v1, discovery_v1, meta_v1
from sampan.client.client import Client
from sampan.client.informer import Informers
from sampan.http.types import Connection, Request, Response

_REVISIONS = itertools.count(1)


def metadata(name: str, namespace: str = "default", **more: Any) -> meta_v1.ObjectMeta:
    return meta_v1.ObjectMeta(
        name=name, namespace=namespace, uid=f"{namespace}/{name}", resourceVersion=str(next(_REVISIONS)), **more
    )


def port(number: int = 80, **more: Any) -> core_v1.ServicePort:
    return core_v1.ServicePort(**{"port": number, "protocol": "TCP", **more})


def service(
    name: str,
    *ports: core_v1.ServicePort,
    namespace: str = "default",
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> core_v1.Service:
    """One port 80 of TCP at 10.96.0.50 unless told otherwise."""
    address = spec.pop("clusterIP", "10.96.0.50")
    ingress = tuple(core_v1.LoadBalancerIngress(ip=ip, ipMode="VIP") for ip in spec.pop("ingress", ()))
    wanted = {
        "type": "ClusterIP",
        "clusterIP": address,
        "clusterIPs": (address,) if address else (),
        "internalTrafficPolicy": "Cluster",
        "sessionAffinity": "None",
        "ports": ports or (port(),),
        **spec,
    }
    return core_v1.Service(
        metadata=metadata(name, namespace, labels=labels or {}),
        spec=core_v1.ServiceSpec(**wanted),
        status=core_v1.ServiceStatus(loadBalancer=core_v1.LoadBalancerStatus(ingress=ingress)),
    )


def endpoint(
    address: str, *, ready: bool = True, serving: bool | None = None, terminating: bool = False, **more: Any
) -> discovery_v1.Endpoint:
    conditions = discovery_v1.EndpointConditions(
        ready=ready, serving=ready if serving is None else serving, terminating=terminating
    )
    node = "here" if address.startswith("10.244.0.") else "there"
    return discovery_v1.Endpoint(**{"addresses": (address,), "conditions": conditions, "nodeName": node, **more})


def slice(
    service: str,
    *endpoints: discovery_v1.Endpoint | str,
    namespace: str = "default",
    ports: tuple[tuple[str, int, str], ...] = (("", 8080, "TCP"),),
    suffix: str = "a",
) -> discovery_v1.EndpointSlice:
    return discovery_v1.EndpointSlice(
        metadata=metadata(f"{service}-{suffix}", namespace, labels={"kubernetes.io/service-name": service}),
        addressType="IPv4",
        endpoints=tuple(endpoint(each) if isinstance(each, str) else each for each in endpoints),
        ports=tuple(
            discovery_v1.EndpointPort(name=name, port=number, protocol=protocol) for name, number, protocol in ports
        ),
    )


class Cluster:
    """Informers without a server."""

    def __init__(self) -> None:
        self.informers = Informers(Client(_Nowhere(), kinds.ALL))

    def put(self, *objects: Any) -> None:
        for given in objects:
            fresh = replace(given.metadata, resourceVersion=str(next(_REVISIONS)))
            self.informers.get(type(given)).apply("MODIFIED", replace(given, metadata=fresh))

    def delete(self, *objects: Any) -> None:
        for given in objects:
            fresh = replace(given.metadata, resourceVersion=str(next(_REVISIONS)))
            self.informers.get(type(given)).apply("DELETED", replace(given, metadata=fresh))

    def synced(self, *types: type) -> None:
        for each in types:
            self.informers.get(each).synced.set()


class _Nowhere:
    async def send(self, request: Request) -> Response:
        raise ConnectionRefusedError

    async def connect(self, request: Request) -> tuple[Response, Connection]:
        raise ConnectionRefusedError

    async def close(self) -> None:
        return
