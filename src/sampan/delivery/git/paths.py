"""Which repository a request means, and what it wants there. Pure.

/NAMESPACE/APP.git/info/refs?service=git-upload-pack|git-receive-pack   GET
/NAMESPACE/APP.git/git-upload-pack                                      POST
/NAMESPACE/APP.git/git-receive-pack                                     POST
/hooks/NAMESPACE/APP                                                    POST

/APP.git is APP of the namespace default. The old protocol, which reads files of the repository, is not served.
Source: gitprotocol-http of git's documentation.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Service = Literal["upload-pack", "receive-pack"]

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_APP = r"[a-z](?:[-a-z0-9]{0,38}[a-z0-9])?"
_REPOSITORY = re.compile(rf"/(?:(?P<namespace>{_LABEL})/)?(?P<app>{_APP})\.git/(?P<rest>[a-z/-]+)\Z")
_HOOK = re.compile(rf"/hooks/(?P<namespace>{_LABEL})/(?P<app>{_APP})\Z")
_QUERY = re.compile(r"service=git-(upload-pack|receive-pack)\Z")
_PROTOCOL = re.compile(r"version=[0-2]\Z")
SERVICES: tuple[Service, ...] = ("upload-pack", "receive-pack")


class Wrong(Exception):
    """What is answered instead: an HTTP status, and words for the person at git's end."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class Place(NamedTuple):
    namespace: str
    app: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.app}"


class Wanted(NamedTuple):
    """`advertise` asks which refs there are; else it is the exchange itself."""

    place: Place
    service: Service
    advertise: bool

    @property
    def rest(self) -> str:
        return "info/refs" if self.advertise else f"git-{self.service}"

    @property
    def pushes(self) -> bool:
        return self.service == "receive-pack"


def hook(path: str) -> Place | None:
    """The app whose webhook a path is."""
    match = _HOOK.match(path)
    return Place(match["namespace"], match["app"]) if match else None


def read(method: str, target: str) -> Wanted:
    """Raises Wrong. `target` is raw: whatever needs decoding is none of our names."""
    path, _, query = target.partition("?")
    match = _REPOSITORY.match(path)
    if match is None:
        raise Wrong(
            404, "there is no repository at this path; use /NAMESPACE/APP.git, with names of a namespace and an app"
        )
    place = Place(match["namespace"] or "default", match["app"])
    rest = match["rest"]
    if rest == "info/refs":
        if method not in ("GET", "HEAD"):
            raise Wrong(405, "this path is only read", (("Allow", "GET, HEAD"),))
        asked = _QUERY.match(query)
        if asked is None:
            raise Wrong(403, "only git's smart protocol is spoken here (git 1.6.6 and later)")
        return Wanted(place, "receive-pack" if asked[1] == "receive-pack" else "upload-pack", True)
    for service in SERVICES:
        if rest == f"git-{service}":
            if method != "POST":
                raise Wrong(405, "this path takes POST", (("Allow", "POST"),))
            if query:
                raise Wrong(400, "this path takes no query")
            return Wanted(place, service, False)
    raise Wrong(404, f"{rest} is not served: only git's smart protocol is spoken here")


def protocol(header: str) -> str:
    """The Git-Protocol header when it is one that we know, else ""."""
    return header if _PROTOCOL.match(header) else ""
