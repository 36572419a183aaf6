"""Discovery documents, derived from the kinds: what `/api`, `/apis` and below answer.

Plain discovery is APIVersions, APIGroupList and APIResourceList; aggregated discovery is one
APIGroupDiscoveryList for `/api` and one for `/apis`. All functions are pure; the caller keeps the bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from sampan.api.kinds.kind import Kind, Subresource

AGGREGATED_VERSIONS = ("v2", "v2beta1")


def media_type(version: str) -> str:
    """The content type of aggregated discovery in one version (`v2`, `v2beta1`)."""
    return f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


def etag(body: bytes) -> str:
    """The entity tag of a discovery document, with its quotes."""
    return f'"{hashlib.sha512(body).hexdigest().upper()}"'


def api_versions(address: str) -> bytes:
    """`/api`: the versions of the core group and where the server is (`host:port`)."""
    return msgspec.json.encode(
        {
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        }
    )


def groups(kinds: Sequence[Kind]) -> bytes:
    """`/apis`: every group but core, with its versions."""
    made = [_group(name, versions) for name, versions in by_group(kinds).items() if name]
    return msgspec.json.encode({"kind": "APIGroupList", "apiVersion": "v1", "groups": made})


def group(kinds: Sequence[Kind], name: str) -> bytes | None:
    """`/apis/NAME`, or None when there is no such group."""
    versions = by_group(kinds).get(name)
    if versions is None or not name:
        return None
    return msgspec.json.encode({"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)})


def _group(name: str, versions: Iterable[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def by_group(kinds: Sequence[Kind]) -> dict[str, dict[str, list[Kind]]]:
    """Groups in the kinds' order; in each the versions, the preferred one first; in each its kinds by plural."""
    found: dict[str, dict[str, list[Kind]]] = {}
    for kind in kinds:
        found.setdefault(kind.group, {}).setdefault(kind.version, []).append(kind)
    return {
        name: {
            version: sorted(versions[version], key=lambda kind: kind.plural)
            for version in sorted(versions, key=version_rank, reverse=True)
        }
        for name, versions in found.items()
    }


def version_rank(version: str) -> tuple[int, int, int]:
    """Kube-aware order: v2 above v1 above v1beta2 above v1alpha1 above what is no such version."""
    match = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if match is None:
        return (0, 0, 0)
    stage = {None: 3, "beta": 2, "alpha": 1}[match[2]]
    return (stage, int(match[1]), int(match[3] or 0))


def resources(kinds: Sequence[Kind], group: str, version: str) -> bytes | None:
    """`/api/v1` or `/apis/GROUP/VERSION`, or None when nothing is served there."""
    members = by_group(kinds).get(group, {}).get(version)
    if members is None:
        return None
    rows: list[dict[str, Any]] = []
    for kind in members:
        rows.append(_resource(kind))
        rows += [_subresource(kind, sub) for sub in sorted(kind.subresources, key=lambda sub: sub.name)]
    return msgspec.json.encode(
        {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": members[0].api_version, "resources": rows}
    )


def _resource(kind: Kind) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": sorted(kind.verbs),
    }
    if kind.short:
        row["shortNames"] = kind.short
    if kind.categories:
        row["categories"] = kind.categories
    if kind.stored:
        digest = hashlib.sha256(f"{kind.group}/{kind.version}/{kind.name}".encode()).digest()
        row["storageVersionHash"] = base64.b64encode(digest[:8]).decode()
    return row


def _subresource(kind: Kind, sub: Subresource) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": f"{kind.plural}/{sub.name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": sub.kind or kind.name,
        "verbs": sorted(sub.verbs),
    }
    if sub.version:
        row["group"], row["version"] = sub.group, sub.version
    return row


def aggregated(kinds: Sequence[Kind], version: str) -> bytes:
    """An APIGroupDiscoveryList in `version` of apidiscovery.k8s.io.

    Give it the core group's kinds for `/api` and all others for `/apis`.
    """
    items = [
        {"metadata": {"name": name} if name else {}, "versions": [_version(v, members) for v, members in found.items()]}
        for name, found in by_group(kinds).items()
    ]
    return msgspec.json.encode(
        {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": items,
        }
    )


def _version(version: str, kinds: Sequence[Kind]) -> dict[str, Any]:
    return {"version": version, "resources": [_aggregated(kind) for kind in kinds], "freshness": "Current"}


def _aggregated(kind: Kind) -> dict[str, Any]:
    row: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": _response_kind(kind.group, kind.version, kind.name),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": sorted(kind.verbs),
    }
    if kind.short:
        row["shortNames"] = kind.short
    if kind.categories:
        row["categories"] = kind.categories
    if kind.subresources:
        row["subresources"] = [
            {
                "subresource": sub.name,
                "responseKind": _response_kind(
                    sub.group if sub.version else kind.group, sub.version or kind.version, sub.kind or kind.name
                ),
                "verbs": sorted(sub.verbs),
            }
            for sub in sorted(kind.subresources, key=lambda sub: sub.name)
        ]
    return row


def _response_kind(group: str, version: str, name: str) -> Mapping[str, str]:
    return {"group": group, "version": version, "kind": name}
