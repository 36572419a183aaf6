"""The registry as a handler: paths and methods of the OCI distribution specification 1.1.

/v2/                                  what this is
/v2/NAME/manifests/TAG|DIGEST         GET HEAD PUT DELETE
/v2/NAME/blobs/DIGEST                 GET HEAD DELETE
/v2/NAME/blobs/uploads/[ID]           POST; GET PATCH PUT DELETE
/v2/NAME/tags/list                    GET
/v2/NAME/referrers/DIGEST             GET
/v2/_catalog                          GET, as the distribution project has it
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from sampan.http.types import Request, Response
from sampan.images.reference import is_digest
from sampan.images.registry import blobs, listing, tagged
from sampan.images.registry.errors import Refusal
from sampan.images.registry.repositories import Repositories
from sampan.images.registry.uploads import Uploads
from sampan.images.store import ImageStore

log = logging.getLogger(__name__)

VERSION = ("Docker-Distribution-API-Version", "registry/2.0")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"\w[\w.-]{0,127}\Z", re.ASCII)
_ROUTE = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs|blobs/uploads|tags|referrers)/(?P<rest>[^/]*)\Z")
_LOCAL = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?\Z")


@dataclass(frozen=True, slots=True)
class Call:
    """One request at its place: repository, what follows (a tag, digest or session)."""

    request: Request
    name: str
    rest: str


class Registry:
    """`hosts` are its own names in image references. `names` are host headers that it answers besides local ones."""

    def __init__(self, store: ImageStore, hosts: Collection[str], names: Collection[str] = ()) -> None:
        self.store = store
        self.repositories = Repositories(store, hosts)
        self.uploads = Uploads(store)
        self._names = frozenset(names)

    async def close(self) -> None:
        await self.uploads.close()

    async def handle(self, request: Request) -> Response:
        try:
            response = await self._route(request)
        except Refusal as refusal:
            response = refusal.response()
        response.headers = (*response.headers, VERSION)
        return response

    async def _route(self, request: Request) -> Response:
        host = request.headers.get("host", "")
        if not _LOCAL.match(host) and host not in self._names:
            # a page of the web whose name leads here must not reach the registry through somebody's browser
            raise Refusal("DENIED", f"this registry is for this machine; it is not called {host[:80]!r}")
        path = request.path
        if path in ("/v2/", "/v2"):
            _only(request, "GET", "HEAD")
            return Response(200, b"{}", (("Content-Type", "application/json"),))
        if path == "/v2/_catalog":
            _only(request, "GET")
            return await listing.catalog(self, request)
        match = _ROUTE.match(path)
        if match is None:
            raise Refusal("UNSUPPORTED", "there is nothing at this path", 404)
        if not _NAME.match(match["name"]) or len(match["name"]) > 255:
            raise Refusal("NAME_INVALID", f"invalid repository name {match['name'][:80]!r}")
        return await self._dispatch(Call(request, match["name"], match["rest"]), match["kind"])

    async def _dispatch(self, call: Call, kind: str) -> Response:
        if kind == "blobs/uploads" and not call.rest:
            kind = "blobs/uploads/"
        if kind == "blobs" and call.rest == "uploads":
            kind = "blobs/uploads/"
        if kind in ("blobs", "referrers"):
            digest(call.rest)
        if kind == "manifests":
            reference(call.rest)
        if kind == "tags" and call.rest != "list":
            raise Refusal("UNSUPPORTED", "there is nothing at this path", 404)
        methods = ROUTES[kind]
        handler = methods.get(call.request.method)
        if handler is None:
            raise Refusal("UNSUPPORTED", f"{call.request.method} is not allowed here", 405, _allow(methods))
        return await handler(self, call)


Handler = Callable[[Registry, Call], Awaitable[Response]]


def _allow(methods: Collection[str]) -> tuple[tuple[str, str], ...]:
    return (("Allow", ", ".join(methods)),)


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        raise Refusal("UNSUPPORTED", f"{request.method} is not allowed here", 405, _allow(methods))


def digest(text: str) -> str:
    """Raises Refusal for what is no digest that we know."""
    if not is_digest(text) or not text.startswith("sha256:"):
        raise Refusal("DIGEST_INVALID", f"digest {text[:80]!r} is not supported; use sha256")
    return text


def reference(text: str) -> str:
    if ":" in text:
        return digest(text)
    if not _TAG.match(text):
        raise Refusal("MANIFEST_INVALID", f"invalid tag {text[:80]!r}")
    return text


ROUTES: dict[str, dict[str, Handler]] = {
    "manifests": {"GET": tagged.get, "HEAD": tagged.get, "PUT": tagged.put, "DELETE": tagged.delete},
    "blobs": {"GET": blobs.get, "HEAD": blobs.get, "DELETE": blobs.delete},
    "blobs/uploads/": {"POST": blobs.start},
    "blobs/uploads": {"GET": blobs.status, "PATCH": blobs.append, "PUT": blobs.finish, "DELETE": blobs.cancel},
    "tags": {"GET": listing.tags},
    "referrers": {"GET": listing.referrers},
}
