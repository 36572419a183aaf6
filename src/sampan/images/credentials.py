"""Registry credentials from Docker configuration JSON, the content of image pull secrets.

Both forms are known: `{"auths": {host: {...}}}` (kubernetes.io/dockerconfigjson) and the bare map
(kubernetes.io/dockercfg). Keys match as in upstream: scheme ignored, `*` within one part of the host name, an
optional path as prefix; the more specific key comes first.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
from collections.abc import Iterable

from sampan.images.reference import DEFAULT_REGISTRY, Reference

_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


def lookup(documents: Iterable[bytes], reference: Reference) -> list[tuple[str, str]]:
    """(user, password) pairs that fit the reference, in order; documents that are not JSON give none."""
    found: list[tuple[int, str, str]] = []
    for data in documents:
        for key, entry in _entries(data).items():
            pair = _pair(entry)
            if pair and _matches(key, reference):
                found.append((len(_bare(key)), *pair))
    found.sort(key=lambda each: -each[0])
    return list(dict.fromkeys((user, password) for _, user, password in found))


def _entries(data: bytes) -> dict[str, object]:
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    if not isinstance(document, dict):
        return {}
    auths = document.get("auths", document)
    return auths if isinstance(auths, dict) else {}


def _pair(entry: object) -> tuple[str, str] | None:
    if not isinstance(entry, dict):
        return None
    user, password = entry.get("username"), entry.get("password")
    if isinstance(user, str) and isinstance(password, str) and (user or password):
        return user, password
    try:
        user, colon, password = base64.b64decode(str(entry.get("auth", "")), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password.rstrip("\0")) if colon else None


def _bare(key: str) -> str:
    bare = key.partition("://")[2] or key
    return bare.rstrip("/").removesuffix("/v1").removesuffix("/v2")


def _matches(key: str, reference: Reference) -> bool:
    host, _, path = _bare(key).partition("/")
    if reference.registry == DEFAULT_REGISTRY and host in _DOCKER_HUB:
        host = DEFAULT_REGISTRY
    if path and reference.repository != path and not reference.repository.startswith(path + "/"):
        return False
    wanted, _, wanted_port = host.partition(":")
    name, _, port = reference.registry.partition(":")
    parts, names = wanted.split("."), name.split(".")
    same = len(parts) == len(names) and all(map(fnmatch.fnmatchcase, names, parts))
    return same and wanted_port == port
