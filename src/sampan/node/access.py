"""Who may use the node's server: the API server by its certificate, others as the API server decides.

A bearer token is shown to the API server (TokenReview), and what its user may do is asked there too
(SubjectAccessReview), about the subresources of this node. Answers are remembered for two minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from sampan.api.types import authentication_v1, authorization_v1
from sampan.client.client import FAILURES, Client
from sampan.http.types import Request, Response
from sampan.runtime.clock import Clock, RealClock

API_SERVER = "kube-apiserver-kubelet-client"
MASTERS = "system:masters"

REMEMBERED, FRESH = 1024, 120.0
"""Answers that are kept, the least recently used forgotten first, and seconds for which they hold."""

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_SUBRESOURCES = (
    ("/stats", "stats"), ("/metrics", "metrics"), ("/healthz", "healthz"), ("/configz", "configz"),
    ("/pods", "pods"), ("/runningpods", "pods"),
)  # fmt: skip
_ALONE = frozenset(("stats", "metrics"))
"""Subresources that nodes/proxy does not stand for."""


class Caller(NamedTuple):
    name: str
    groups: tuple[str, ...] = ()


class _Answers:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()

    def get(self, key: Hashable) -> Any:
        """None when there is no fresh answer."""
        kept = self._kept.get(key)
        if kept is None or kept[0] < self._clock.monotonic():
            return None
        self._kept.move_to_end(key)
        return kept[1]

    def put(self, key: Hashable, answer: Any) -> None:
        self._kept[key] = (self._clock.monotonic() + FRESH, answer)
        self._kept.move_to_end(key)
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)


class Access:
    """`refusal` is None for who may go on."""

    def __init__(self, client: Client, node: str, clock: Clock | None = None) -> None:
        self._client = client
        self._node = node
        self._answers = _Answers(clock or RealClock())

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
            known: Caller | None = self._answers.get(request.peer_certificate)
            if known is None:
                known = certificate_caller(request.peer_certificate)
                self._answers.put(request.peer_certificate, known)
            return known
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            return None
        caller: Caller | None = await self._remember(("token", token), lambda: self._review(token.strip()))
        return caller

    async def _remember(self, key: Hashable, ask: Callable[[], Any]) -> Any:
        answer = self._answers.get(key)
        if answer is None:
            answer = await ask()
            if answer is not None:
                self._answers.put(key, answer)
        return answer

    async def _review(self, token: str) -> Caller | None:
        review = authentication_v1.TokenReview(spec=authentication_v1.TokenReviewSpec(token=token))
        status = (await self._client.create(review)).status
        if not status.authenticated or status.user is None:
            return None
        return Caller(status.user.username or "", tuple(status.user.groups))

    async def _may(self, caller: Caller, request: Request) -> bool:
        """The subresource itself, or nodes/proxy, which stands for most of them."""
        verb, subresource = _VERBS.get(request.method, "get"), subresource_of(request.path)
        asked = [subresource] if subresource in _ALONE or subresource == "proxy" else [subresource, "proxy"]
        for each in asked:
            if await self._remember((caller, verb, each), lambda each=each: self._ask(caller, verb, each)):  # type: ignore[misc]
                return True
        return False

    async def _ask(self, caller: Caller, verb: str, subresource: str) -> bool:
        attributes = authorization_v1.ResourceAttributes(
            verb=verb, resource="nodes", subresource=subresource, name=self._node, version="v1"
        )
        spec = authorization_v1.SubjectAccessReviewSpec(
            user=caller.name, groups=caller.groups, resourceAttributes=attributes
        )
        review = await self._client.create(authorization_v1.SubjectAccessReview(spec=spec))
        return review.status.allowed


def subresource_of(path: str) -> str:
    for prefix, name in _SUBRESOURCES:
        if path == prefix or path.startswith(f"{prefix}/"):
            return name
    return "proxy"


def certificate_caller(certificate: bytes) -> Caller:
    """Common name and organizations of a certificate (DER) that the server's CA has signed."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_der_x509_certificate(certificate).subject
    names = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = tuple(str(each.value) for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return Caller(names[0] if names else "", groups)


def _text(status: int, text: str) -> Response:
    return Response(status, f"{text}\n".encode(), (("Content-Type", "text/plain; charset=utf-8"),))
