"""Services to the addresses behind them, for a data plane that asks pods directly. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping

from sampan.api.types import core_v1, discovery_v1, networking_v1
from sampan.network.ingress.model import Options, Upstream
from sampan.network.proxy import endpoints

Key = tuple[str, str]

MOST_STICKY = 64
"""Pods of a service that cookies tell apart; with more, requests are spread."""


class Backends:
    """Remembers each upstream that was asked for, once."""

    def __init__(
        self,
        services: Mapping[Key, core_v1.Service],
        slices: Mapping[Key, Collection[discovery_v1.EndpointSlice]],
        node: str,
    ) -> None:
        self._services = services
        self._slices = slices
        self._node = node
        self.found: dict[str, Upstream] = {}

    def upstream(
        self, namespace: str, backend: networking_v1.IngressBackend, options: Options
    ) -> tuple[str, str, bool]:
        """(name of the upstream, "" and why nobody answers, whether that is the author's to mend)."""
        if backend.service is None:
            kind = backend.resource.kind if backend.resource else ""
            return "", f"a backend of kind {kind} cannot be served, only services can", True
        name = backend.service.name
        service = self._services.get((namespace, name))
        if service is None:
            return "", f"there is no service {namespace}/{name}", True
        port = port_of(service, backend.service.port or networking_v1.ServiceBackendPort())
        if port is None:
            asked = backend.service.port
            shown = (asked.name or asked.number) if asked else ""
            return "", f"service {namespace}/{name} has no port {shown}", True
        made = self._make(service, port, options)
        if not made.servers and not made.external:
            return "", f"service {namespace}/{name} has no ready endpoints", False
        self.found[made.name] = made
        return made.name, "", False

    def _make(self, service: core_v1.Service, port: core_v1.ServicePort, options: Options) -> Upstream:
        namespace, name = service.metadata.namespace or "", service.metadata.name or ""
        label = f"{namespace}-{name}-{port.name or port.port}"
        sticky = options.cookie is not None
        if options.hash_by or sticky:
            label += "-" + ("sticky" if sticky else hashlib.sha256(options.hash_by.encode()).hexdigest()[:8])
        if service.spec.type == "ExternalName":
            target = service.spec.externalName or ""
            usable = bool(re.fullmatch(r"[A-Za-z0-9.-]{1,253}", target))
            return Upstream(label, external=f"{target}:{port.port}" if usable else "")
        slices = sorted(self._slices.get((namespace, name), ()), key=lambda each: each.metadata.name or "")
        found = endpoints.of_port(slices, port.name or "", port.protocol or "TCP", self._node)
        servers = tuple(f"{each.address}:{each.port}" for each in endpoints.usable(found))
        sticky = sticky and 1 < len(servers) <= MOST_STICKY
        return Upstream(label, servers, hash_by="" if sticky else options.hash_by, sticky=sticky)


def port_of(service: core_v1.Service, asked: networking_v1.ServiceBackendPort) -> core_v1.ServicePort | None:
    """The port by its name or number; an ExternalName service need not list its ports."""
    for port in service.spec.ports:
        if (asked.name and port.name == asked.name) or (not asked.name and port.port == asked.number):
            return port
    if service.spec.type == "ExternalName" and asked.number:
        return core_v1.ServicePort(port=asked.number)
    return None
