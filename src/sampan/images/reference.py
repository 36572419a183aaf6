"""Image references: `nginx`, `localhost:5000/team/app:v1`, `ghcr.io/x/y@sha256:...`, parsed and normalised.

The grammar is that of the distribution project's "reference"; names without a registry mean docker.io, names
there without a slash its `library`, and names without tag and digest the tag `latest`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sampan.host.containers import ImageFailure

DEFAULT_REGISTRY = "docker.io"

_HEX = {"sha256": 64, "sha512": 128}
_LONGEST = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?\Z")
_TAG = re.compile(r"\w[\w.-]{0,127}\Z", re.ASCII)
_DIGEST = re.compile(r"(sha256|sha512):([0-9a-f]+)\Z")
_ID = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised reference; `tag` is "" when only a digest was given."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.repository}"

    @property
    def version(self) -> str:
        """What to ask a registry for: the digest if there is one."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse(text: str) -> Reference:
    """Parse and normalise. Raises ImageFailure InvalidImageName in upstream's words."""
    if _ID.match(text):
        raise invalid(text, "invalid repository name, cannot specify 64-byte hexadecimal strings")
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise invalid(text)
    head, slash, tail = rest.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost" or head.lower() != head):
        registry, remainder = head, tail
    else:
        registry, remainder = DEFAULT_REGISTRY, rest
    path, colon, tag = remainder.partition(":")
    if registry in (DEFAULT_REGISTRY, "index.docker.io"):
        registry = DEFAULT_REGISTRY
        path = path if "/" in path else f"library/{path}"
    if path.lower() != path and _PATH.match(path.lower()):
        raise invalid(text, "invalid reference format: repository name must be lowercase")
    if not _PATH.match(path) or not _REGISTRY.match(registry) or (colon and not _TAG.match(tag)):
        raise invalid(text)
    if len(path) > _LONGEST:
        raise invalid(text, "repository name must not be more than 255 characters")
    return Reference(registry, path, tag if colon else "" if digest else "latest", digest)


def is_digest(text: str) -> bool:
    found = _DIGEST.match(text)
    return found is not None and len(found[2]) == _HEX[found[1]]


def invalid(text: str, reason: str = "invalid reference format") -> ImageFailure:
    return ImageFailure("InvalidImageName", f'couldn\'t parse image name "{text}": {reason}')
