"""How this room's readers file EndpointSlices; indexes of one informer are shared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SERVICE_NAME = "kubernetes.io/service-name"

BY_SERVICE = "service"
BY_ADDRESS = "address"


def service_of(slice: Any) -> Iterable[str]:
    """`namespace/service`."""
    name = slice.metadata.labels.get(SERVICE_NAME)
    return (f"{slice.metadata.namespace}/{name}",) if name else ()


def addresses_of(slice: Any) -> Iterable[str]:
    """The endpoints' addresses."""
    return {address for endpoint in slice.endpoints for address in endpoint.addresses}
