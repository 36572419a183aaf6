"""What the server serves, and which of it a word such as `po`, `deploy.apps` or `all` means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from sampan.cli.context import CommandError

if TYPE_CHECKING:
    from sampan.cli.kubectl.session import Session

ACCEPT = ",".join(
    (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        "application/json",
    )
)


class Resource(NamedTuple):
    """One kind in one version as discovery tells."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """`deployments.apps`"""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def display(self) -> str:
        """`deployment.apps`: how a single object is named in messages."""
        kind = self.singular or self.kind.lower()
        return f"{kind}.{self.group}" if self.group else kind

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        from urllib.parse import quote

        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if namespace and self.namespaced:
            parts.append(f"namespaces/{quote(namespace, safe='')}")
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


class Resources:
    """All that was discovered: the preferred version of each first."""

    def __init__(self, found: Iterable[Resource]) -> None:
        self.all = tuple(found)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self.all)

    @property
    def preferred(self) -> list[Resource]:
        """Each once, in the first version that its group lists."""
        seen: dict[tuple[str, str], Resource] = {}
        for each in self.all:
            seen.setdefault((each.group, each.plural), each)
        return list(seen.values())

    def find(self, word: str) -> Resource:
        """By plural, singular, kind or short name, maybe with `.group` or `.version.group`. Raises CommandError."""
        found = self._find(word)
        if found is None:
            raise CommandError(f'error: the server doesn\'t have a resource type "{word}"')
        return found

    def _find(self, word: str) -> Resource | None:
        name, _, rest = word.lower().partition(".")
        candidates = [r for r in self.all if name in (r.plural, r.singular, r.kind.lower())]
        candidates += [r for r in self.all if name in r.short and r not in candidates]
        if not rest:
            return candidates[0] if candidates else None
        for each in candidates:
            if rest in (
                each.group,
                f"{each.version}.{each.group}".rstrip("."),
                each.version if not each.group else None,
            ):
                return each
        # A unique beginning of the group will do, as in `deploy.ext`.
        return next((r for r in candidates if r.group.startswith(rest)), None)

    def expand(self, words: str) -> list[Resource]:
        """`pods,svc`, or a category such as `all`."""
        found: list[Resource] = []
        for word in words.split(","):
            members = [r for r in self.preferred if word in r.categories and "list" in r.verbs]
            for each in members or [self.find(word)]:
                if each not in found:
                    found.append(each)
        return found

    def of(self, document: dict[str, Any], source: str = "") -> Resource:
        """The resource of an object by its apiVersion and kind. Raises CommandError."""
        version, kind = document.get("apiVersion") or "", document.get("kind") or ""
        for each in self.all:
            if each.api_version == version and each.kind == kind:
                return each
        name = (document.get("metadata") or {}).get("name", "")
        namespace = (document.get("metadata") or {}).get("namespace", "")
        raise CommandError(
            f'error: resource mapping not found for name: "{name}" namespace: "{namespace}" from "{source}": '
            f'no matches for kind "{kind}" in version "{version}"\nensure CRDs are installed first'
        )


async def discover(session: Session) -> Resources:
    """Two requests for servers with aggregated discovery, one per group and version for others."""
    found: list[Resource] = []
    for path in ("/api", "/apis"):
        answer = await session.read(path, headers={"accept": ACCEPT})
        if "items" in answer:
            for group in answer["items"]:
                for version in group.get("versions") or ():
                    found += _aggregated((group.get("metadata") or {}).get("name") or "", version)
        elif answer.get("kind") == "APIVersions":
            for version in answer["versions"]:
                found += await _plain(session, "", version)
        else:
            for group in answer.get("groups") or ():
                for version in group["versions"]:
                    found += await _plain(session, group["name"], version["version"])
    return Resources(found)


def _aggregated(group: str, version: dict[str, Any]) -> list[Resource]:
    return [
        Resource(
            group,
            version["version"],
            each["resource"],
            each.get("singularResource") or "",
            (each.get("responseKind") or {}).get("kind") or "",
            each.get("scope") == "Namespaced",
            tuple(each.get("verbs") or ()),
            tuple(each.get("shortNames") or ()),
            tuple(each.get("categories") or ()),
            tuple(sub["subresource"] for sub in each.get("subresources") or ()),
        )
        for each in version.get("resources") or ()
        if each.get("responseKind")
    ]


async def _plain(session: Session, group: str, version: str) -> list[Resource]:
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    listed = (await session.read(path)).get("resources") or ()
    return [
        Resource(
            group,
            version,
            each["name"],
            each.get("singularName") or "",
            each["kind"],
            bool(each.get("namespaced")),
            tuple(each.get("verbs") or ()),
            tuple(each.get("shortNames") or ()),
            tuple(each.get("categories") or ()),
            tuple(o["name"].partition("/")[2] for o in listed if o["name"].startswith(f"{each['name']}/")),
        )
        for each in listed
        if "/" not in each["name"]
    ]
