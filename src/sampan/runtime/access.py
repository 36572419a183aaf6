"""Who somebody is and what they may do, as the API server decides: for servers of our own that are not the API.

A bearer token is shown to the API server (TokenReview), and what its user may do is asked there too
(SubjectAccessReview). Answers are remembered for two minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from sampan.api.types import authentication_v1, authorization_v1
from sampan.client.client import Client
from sampan.runtime.clock import Clock, RealClock

REMEMBERED, FRESH = 1024, 120.0
"""Answers that are kept, the least recently used forgotten first, and seconds for which they hold."""


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


class Reviewer:
    """Asks in the name of `client`, which must be allowed to make both reviews. Raises what requests raise."""

    def __init__(self, client: Client, clock: Clock | None = None) -> None:
        self._client = client
        self._answers = _Answers(clock or RealClock())

    def of_certificate(self, certificate: bytes) -> Caller:
        """Whom a certificate (DER) names that the server's CA has signed."""
        known: Caller | None = self._answers.get(certificate)
        if known is None:
            known = certificate_caller(certificate)
            self._answers.put(certificate, known)
        return known

    async def of_token(self, token: str) -> Caller | None:
        """None for a token that the API server does not know."""
        caller: Caller | None = await self._remember(("token", token), lambda: self._review(token))
        return caller

    async def may(self, caller: Caller, attributes: authorization_v1.ResourceAttributes) -> bool:
        return bool(await self._remember((caller, attributes), lambda: self._ask(caller, attributes)))

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

    async def _ask(self, caller: Caller, attributes: authorization_v1.ResourceAttributes) -> bool:
        spec = authorization_v1.SubjectAccessReviewSpec(
            user=caller.name, groups=caller.groups, resourceAttributes=attributes
        )
        review = await self._client.create(authorization_v1.SubjectAccessReview(spec=spec))
        return review.status.allowed


def certificate_caller(certificate: bytes) -> Caller:
    """Common name and organizations of a certificate (DER)."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_der_x509_certificate(certificate).subject
    names = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    groups = tuple(str(each.value) for each in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return Caller(names[0] if names else "", groups)
