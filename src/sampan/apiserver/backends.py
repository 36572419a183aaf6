"""From a Service to one of its endpoints, without the service proxy: the server need not be on a node."""

from __future__ import annotations

from sampan.api.errors import not_found_error, service_unavailable
from sampan.api.types import core_v1, discovery_v1
from sampan.apiserver.contracts import View

SERVICE_NAME = "kubernetes.io/service-name"


def address_of(view: View, namespace: str, name: str, port: str, *, shown: str = "") -> tuple[str, int]:
    """Address and port of a ready endpoint behind a service's port, given by number or name.

    Raises NotFound, ServiceUnavailable, whose texts call the service `shown`.
    """
    service = view.get(core_v1.Service, name, namespace)
    if service is None:
        raise not_found_error("services", "", name)
    wanted = port
    if port.isdigit():
        match = next((p for p in service.spec.ports if p.port == int(port)), None)
        if match is None:
            raise service_unavailable(f'no service port {port} found for service "{name}"')
        wanted = match.name or ""
    elif not port and len(service.spec.ports) == 1:
        wanted = service.spec.ports[0].name or ""
    for piece in view.list(discovery_v1.EndpointSlice, namespace):
        if piece.metadata.labels.get(SERVICE_NAME) != name:
            continue
        number = next((p.port for p in piece.ports if (p.name or "") == wanted), None)
        if number is None:
            continue
        for endpoint in piece.endpoints:
            if endpoint.conditions is None or endpoint.conditions.ready is not False:
                return endpoint.addresses[0], number
    raise service_unavailable(f'no endpoints available for service "{shown or name}"')
