"""Service account tokens for pods: asked for by TokenRequest, kept while they are fresh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from sampan.api.types import authentication_v1, core_v1
from sampan.client.client import Client
from sampan.runtime.clock import Clock, RealClock, unix

DEFAULT_SECONDS = 3600
FRESH = 0.8
"""The share of its life after which a token is renewed; none is used longer than LONGEST seconds."""
LONGEST = 24 * 3600.0


class Wish(NamedTuple):
    """Which token: of a service account, for an audience ("" is the API server), bound to a pod."""

    namespace: str
    account: str
    audience: str
    seconds: int
    pod_uid: str


@dataclass(frozen=True, slots=True)
class Token:
    """`renew` is Unix seconds."""

    text: str
    renew: float


class Tokens:
    """One token per wish, forgotten with its pod: at most one for each token volume of the node's pods."""

    def __init__(self, client: Client, clock: Clock | None = None) -> None:
        self._client = client
        self._clock = clock or RealClock()
        self._kept: dict[Wish, Token] = {}

    async def get(self, pod: core_v1.Pod, source: core_v1.ServiceAccountTokenProjection) -> Token:
        """Fresh from here or the API server. Raises what a request raises."""
        meta = pod.metadata
        wish = Wish(
            meta.namespace or "",
            pod.spec.serviceAccountName or "default",
            source.audience or "",
            source.expirationSeconds or DEFAULT_SECONDS,
            meta.uid or "",
        )
        kept = self._kept.get(wish)
        if kept is None or self._clock.now() >= kept.renew:
            kept = self._kept[wish] = await self._request(pod, wish)
        return kept

    def forget(self, pod_uid: str) -> None:
        for wish in [wish for wish in self._kept if wish.pod_uid == pod_uid]:
            del self._kept[wish]

    async def _request(self, pod: core_v1.Pod, wish: Wish) -> Token:
        bound = authentication_v1.BoundObjectReference(
            apiVersion="v1", kind="Pod", name=pod.metadata.name, uid=wish.pod_uid
        )
        request = authentication_v1.TokenRequest(
            apiVersion="authentication.k8s.io/v1",
            kind="TokenRequest",
            spec=authentication_v1.TokenRequestSpec(
                audiences=(wish.audience,) if wish.audience else (),
                boundObjectRef=bound,
                expirationSeconds=wish.seconds,
            ),
        )
        asked = self._clock.now()
        path = f"/api/v1/namespaces/{wish.namespace}/serviceaccounts/{wish.account}/token"
        answer = msgspec.json.decode(await self._client.post(path, request), type=authentication_v1.TokenRequest)
        ends = unix(answer.status.expirationTimestamp) or asked + wish.seconds
        return Token(answer.status.token or "", asked + min(LONGEST, (ends - asked) * FRESH))
