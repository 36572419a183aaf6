"""Who makes a request: certificate, then bearer token, else anonymous (upstream's order).

A credential that is shown and wrong is refused, even where the anonymous user would be welcome.
"""

from __future__ import annotations

import binascii
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence

from sampan.api.errors import unauthorized
from sampan.api.user import User
from sampan.apiserver.authn import users
from sampan.apiserver.authn.accounts import AccountTokens
from sampan.apiserver.authn.certificate import Certificates
from sampan.apiserver.tokens.jwt import LONGEST, TokenError
from sampan.apiserver.tokens.keys import unb64
from sampan.http.types import Request

WEBSOCKET_PREFIX = "base64url.bearer.authorization.k8s.io."


class Authenticators:
    """An Authenticator for the handler chain; `authenticate_token` serves TokenReview.

    `static` maps bearer tokens to users: the tokens that the cluster's own parts or a bootstrap may hold.
    """

    def __init__(
        self,
        accounts: AccountTokens,
        *,
        static: Mapping[str, User] | None = None,
        anonymous: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._accounts = accounts
        self._certificates = Certificates(clock)
        # Kept by hash, so that the time of a look-up tells nothing about a token.
        self._static = {_digest(t): users.authenticated(u) for t, u in (static or {}).items()}
        self._anonymous = anonymous

    def __call__(self, request: Request) -> User:
        """Raises Unauthorized; a request without credentials is system:anonymous."""
        if request.peer_certificate is not None:
            user = self._certificates(request.peer_certificate)
            if user is not None:
                return user
        token = bearer(request.headers)
        if token:
            try:
                found = self.authenticate_token(token)
            except TokenError:
                raise unauthorized() from None
            if found is None:
                raise unauthorized()
            return found[0]
        if not self._anonymous:
            raise unauthorized()
        return users.NOBODY

    def authenticate_token(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]] | None:
        """(user, audiences) of a bearer token, None for one that nobody knows. Raises TokenError for a bad one."""
        if len(token) > LONGEST:
            return None
        if self._static:
            user = self._static.get(_digest(token))
            if user is not None:
                fitting = tuple(a for a in self._accounts.audiences if a in audiences) if audiences else ()
                return (user, fitting) if fitting or not audiences else None
        return self._accounts.authenticate(token, audiences)

    @property
    def audiences(self) -> tuple[str, ...]:
        """Whom tokens must be meant for, unless a TokenReview asks otherwise."""
        return self._accounts.audiences


def bearer(headers: Mapping[str, str]) -> str:
    """The bearer token of a request, from Authorization or a WebSocket's subprotocol; "" when there is none."""
    value = headers.get("authorization")
    if value:
        scheme, _, rest = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            return rest.partition(" ")[0]
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        protocol = protocol.strip()
        if protocol.startswith(WEBSOCKET_PREFIX):
            try:
                return unb64(protocol[len(WEBSOCKET_PREFIX) :]).decode()
            except (binascii.Error, ValueError):
                raise unauthorized() from None
    return ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
