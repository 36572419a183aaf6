"""Who may ask the node's server for what, as the API server decides: about the subresources of this node."""

from __future__ import annotations

from sampan.api.types import authorization_v1
from sampan.client.client import FAILURES, Client
from sampan.http.types import Request, Response
from sampan.runtime.access import Caller, Reviewer
from sampan.runtime.clock import Clock

API_SERVER = "kube-apiserver-kubelet-client"
MASTERS = "system:masters"

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCES = (
    ("/stats", "stats"), ("/metrics", "metrics"), ("/healthz", "healthz"), ("/configz", "configz"),
    ("/pods", "pods"), ("/runningpods", "pods"),
)  # fmt: skip
_ALONE = frozenset(("stats", "metrics"))
"""Subresources that nodes/proxy does not stand for."""


class Access:
    """`refusal` is None for who may go on."""

    def __init__(self, client: Client, node: str, clock: Clock | None = None) -> None:
        self._node = node
        self._reviewer = Reviewer(client, clock)

    async def refusal(self, request: Request) -> Response | None:
        try:
            caller = await self._caller(request)
            if caller is None:
                return _text(401, "Unauthorized")
            if caller.name == API_SERVER or MASTERS in caller.groups or await self._may(caller, request):
                return None
        except FAILURES as error:
            return _text(503, f"the API server cannot be asked who may do this: {error}")
        verb, subresource = _VERBS.get(request.method, "get"), subresource_of(request.path)
        what = f"user={caller.name}, verb={verb}, resource=nodes, subresource({subresource})"
        return _text(403, f"Forbidden ({what})")

    async def _caller(self, request: Request) -> Caller | None:
        if request.peer_certificate is not None:
            return self._reviewer.of_certificate(request.peer_certificate)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return None
        return await self._reviewer.of_token(token.strip())

    async def _may(self, caller: Caller, request: Request) -> bool:
        """The subresource itself, or nodes/proxy, which stands for most of them."""
        verb, subresource = _VERBS.get(request.method, "get"), subresource_of(request.path)
        asked = [subresource] if subresource in _ALONE or subresource == "proxy" else [subresource, "proxy"]
        for each in asked:
            attributes = authorization_v1.ResourceAttributes(
                verb=verb, resource="nodes", subresource=each, name=self._node, version="v1"
            )
            if await self._reviewer.may(caller, attributes):
                return True
        return False


def subresource_of(path: str) -> str:
    for prefix, name in _SUBRESOURCES:
        if path == prefix or path.startswith(f"{prefix}/"):
            return name
    return "proxy"


def _text(status: int, text: str) -> Response:
    return Response(status, f"{text}\n".encode(), (("Content-Type", "text/plain; charset=utf-8"),))
