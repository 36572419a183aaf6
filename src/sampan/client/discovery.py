"""What the server serves: every resource, also those of CustomResourceDefinitions and aggregated servers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sampan.api.kinds.kind import Kind
from sampan.client.client import Client
from sampan.client.metadata import PartialObjectMetadata

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class _Resource(msgspec.Struct):
    resource: str
    responseKind: _ResponseKind | None = None
    scope: str = "Namespaced"
    verbs: tuple[str, ...] = ()


class _ResponseKind(msgspec.Struct):
    kind: str = ""


class _Version(msgspec.Struct):
    version: str
    resources: tuple[_Resource, ...] = ()
    freshness: str = "Current"


class _Metadata(msgspec.Struct):
    name: str = ""


class _Group(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)
    versions: tuple[_Version, ...] = ()


class _Groups(msgspec.Struct):
    items: tuple[_Group, ...] = ()


class Discovered(NamedTuple):
    """Each resource once, in the version that its group prefers; `stale` names groups that could not be asked."""

    kinds: Sequence[Kind]
    stale: Sequence[str]


_GROUPS = msgspec.json.Decoder(_Groups)


async def discover(client: Client) -> Discovered:
    """Two requests: the aggregated discovery (KEP-3352) of /api and /apis. The Kinds' type is PartialObjectMetadata."""
    found: dict[tuple[str, str], Kind] = {}
    stale: list[str] = []
    for path in ("/api", "/apis"):
        response = await client.raw("GET", path, headers={"accept": ACCEPT})
        for group in _GROUPS.decode(await response.read()).items:
            for version in group.versions:
                if version.freshness != "Current":
                    stale.append(f"{group.metadata.name}/{version.version}")
                for resource in version.resources:
                    key = (group.metadata.name, resource.resource)
                    if resource.responseKind is not None:
                        found.setdefault(key, _kind(group.metadata.name, version.version, resource))
    return Discovered(tuple(found.values()), tuple(stale))


def _kind(group: str, version: str, resource: _Resource) -> Kind:
    return Kind(
        PartialObjectMetadata,
        group,
        version,
        resource.resource,
        namespaced=resource.scope == "Namespaced",
        verbs=resource.verbs,
        name=resource.responseKind.kind if resource.responseKind else "",
    )
