"""Endpoints spread over EndpointSlices with as few writes as possible: what stands stays where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from sampan.api.types import discovery_v1
from sampan.controllers.serving import SERVICE_NAME
from sampan.runtime.actions import Create, Delete, Plan, Update, View

MOST = 100
"""Endpoints that one slice holds."""

BY_SERVICE = "service"

Ports = tuple[discovery_v1.EndpointPort, ...]
Slice = discovery_v1.EndpointSlice
Endpoint = discovery_v1.Endpoint
Groups = Mapping[Ports, Sequence[Endpoint]]
"""Endpoints that offer the same ports belong into the same slices."""


def service_of(slice: Slice) -> Iterable[str]:
    """Index function: `namespace/service`."""
    name = slice.metadata.labels.get(SERVICE_NAME)
    return (f"{slice.metadata.namespace}/{name}",) if name else ()


def existing(namespace: str, service: str, managed_by: tuple[str, str], view: View) -> list[Slice]:
    """The slices of one service that one controller manages, oldest first."""
    label, value = managed_by
    found = view.by(Slice, BY_SERVICE, f"{namespace}/{service}")
    mine = [each for each in found if each.metadata.labels.get(label) == value]
    return sorted(mine, key=lambda each: (each.metadata.creationTimestamp or "", each.metadata.name or ""))


def reconcile(groups: Groups, present: Sequence[Slice], make: Callable[[Ports, tuple[Endpoint, ...]], Slice]) -> Plan:
    """Make `present` (of one address type) hold exactly `groups`. `make` describes a new slice.

    A group without endpoints gets one empty slice.
    """
    changed: list[Slice] = []
    unused = list(present)
    created: list[Slice] = []
    for ports, endpoints in groups.items():
        slices = [each for each in present if each.ports == ports]
        kept, added = _fill(endpoints, slices)
        for slice, content in kept:
            unused.remove(slice)
            changed.append(_updated(slice, ports, content, make))
        for content in added:
            spare = next((each for each in unused if each.ports not in groups), None)
            if spare is None:
                created.append(make(ports, content))
            else:
                unused.remove(spare)
                changed.append(_updated(spare, ports, content, make))
    for slice in changed:
        if slice not in present:
            yield Update(slice)
    for slice in created:
        yield Create(slice)
    for slice in unused:
        yield Delete(slice)


def _fill(
    endpoints: Sequence[Endpoint], slices: Sequence[Slice]
) -> tuple[list[tuple[Slice, tuple[Endpoint, ...]]], list[tuple[Endpoint, ...]]]:
    """Which slice keeps what, and what must go into new ones. A slice that would be empty is not kept."""
    wanted = {_identity(each): each for each in endpoints}
    contents: list[tuple[Slice, list[Endpoint]]] = []
    for slice in slices:
        stay = [wanted.pop(_identity(each)) for each in slice.endpoints if _identity(each) in wanted]
        contents.append((slice, stay))
    rest = list(wanted.values())
    kept: list[tuple[Slice, tuple[Endpoint, ...]]] = []
    # The fullest first, so that few slices change and small ones empty out.
    for slice, content in sorted(contents, key=lambda pair: -len(pair[1])):
        room = MOST - len(content)
        content += rest[:room]
        rest = rest[room:]
        if content or not (endpoints or kept):
            kept.append((slice, tuple(content)))
    if not (endpoints or kept):
        return [], [()]
    return kept, [tuple(rest[at : at + MOST]) for at in range(0, len(rest), MOST)]


def _identity(endpoint: Endpoint) -> Any:
    target = endpoint.targetRef
    return endpoint.addresses, target and (target.kind, target.namespace, target.name, target.uid)


def _updated(
    slice: Slice, ports: Ports, content: tuple[Endpoint, ...], make: Callable[[Ports, tuple[Endpoint, ...]], Slice]
) -> Slice:
    """The slice with its new content; labels and annotations that somebody else added stay."""
    fresh = make(ports, content)
    metadata = replace(
        slice.metadata,
        labels=fresh.metadata.labels,
        annotations={**slice.metadata.annotations, **fresh.metadata.annotations},
        ownerReferences=fresh.metadata.ownerReferences,
    )
    if _unordered(content) == _unordered(slice.endpoints):
        content = slice.endpoints
    return replace(slice, metadata=metadata, ports=ports, endpoints=content)


def _unordered(endpoints: Iterable[Endpoint]) -> dict[Any, Endpoint]:
    return {_identity(each): each for each in endpoints}


def keys_of_slice(managed_by: tuple[str, str]) -> Callable[[Any, View], Iterable[tuple[str, str]]]:
    """A mapper: the service of a slice that this controller manages."""

    def keys(slice: Slice, view: View) -> Iterable[tuple[str, str]]:
        name = slice.metadata.labels.get(SERVICE_NAME)
        mine = slice.metadata.labels.get(managed_by[0]) == managed_by[1]
        return ((slice.metadata.namespace or "", name),) if name and mine else ()

    return keys
