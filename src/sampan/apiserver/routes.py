"""From a request's path to what it addresses: a kind's collection, an object, a subresource, or nothing of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from sampan.api.kinds.kind import Kind, Subresource

REMEMBERED = 8192


class Route(NamedTuple):
    """What a resource path addresses. `rest` is what follows a `proxy` subresource, with its first slash.

    `subresource` is None for a subresource that the kind does not have; its name is in `part`.
    """

    kind: Kind
    namespace: str
    name: str
    part: str
    subresource: Subresource | None
    rest: str
    watch: bool = False


class Router:
    """Looks paths up among the served kinds; the answers to the paths asked for most are remembered."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._seen: dict[str, Route | None] = {}
        self.replace(kinds)

    def replace(self, kinds: Sequence[Kind]) -> None:
        """Serve these kinds from now on."""
        self.kinds = tuple(kinds)
        self._by_version: dict[tuple[str, str], dict[str, Kind]] = {}
        for kind in kinds:
            self._by_version.setdefault((kind.group, kind.version), {})[kind.plural] = kind
        self._seen.clear()

    def serves(self, group: str, version: str) -> bool:
        return (group, version) in self._by_version

    def find(self, raw_path: str) -> Route | None:
        """The route of a resource path; None for any other path."""
        try:
            return self._seen[raw_path]
        except KeyError:
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            route = self._seen[raw_path] = self._parse(raw_path)
            return route

    def _parse(self, raw_path: str) -> Route | None:
        parts = raw_path.strip("/").split("/")
        if parts[0] == "api" and len(parts) > 2:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[0] == "apis" and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            return None
        kinds = self._by_version.get((group, version))
        if kinds is None:
            return None
        watch = rest[0] == "watch"
        if watch:
            rest = rest[1:]
            if not rest:
                return None
        return _resource(kinds, rest, watch)


def _resource(kinds: Mapping[str, Kind], parts: Sequence[str], watch: bool) -> Route | None:
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and (parts[2] in kinds and kinds[parts[2]].namespaced):
        namespace, parts = unquote(parts[1]), parts[2:]
    kind = kinds.get(parts[0])
    if kind is None:
        return None
    if len(parts) > 1 and kind.namespaced and not namespace:
        return None
    name = unquote(parts[1]) if len(parts) > 1 else ""
    part = parts[2] if len(parts) > 2 else ""
    subresource = next((sub for sub in kind.subresources if sub.name == part), None) if part else None
    rest = ""
    if len(parts) > 3:
        if part != "proxy":
            return None
        rest = "/" + "/".join(parts[3:])
    if kind.plural == "namespaces" and name and not namespace:
        namespace = name  # as upstream's request information: a namespace is in itself
    return Route(kind, namespace, name, part, subresource, rest, watch)


def verb_of(method: str, route: Route, watching: bool) -> str:
    """RBAC's verb of a resource request; "" for methods that no resource has."""
    if method in ("GET", "HEAD"):
        if watching and not route.part:
            return "watch"
        return "get" if route.name else "list"
    if method == "DELETE":
        return "delete" if route.name else "deletecollection"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, "")
