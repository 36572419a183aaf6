"""Bearer tokens of service accounts: the signature is verified once, what the token names is looked up each time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

from sampan.api.user import User
from sampan.apiserver.authn.cache import Bounded
from sampan.apiserver.contracts import View
from sampan.apiserver.tokens import accounts, jwt
from sampan.apiserver.tokens.keys import Verifier

CACHED = 4096


class AccountTokens:
    """Verifies tokens of `issuers` (the first is ours) signed by one of the keys, for the server's audiences."""

    def __init__(
        self,
        view: View,
        verifiers: Sequence[Verifier],
        *,
        issuers: Sequence[str] = (accounts.ISSUER,),
        audiences: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._view = view
        self._verifiers = tuple(verifiers)
        self._issuers = frozenset((*issuers, accounts.LEGACY_ISSUER))
        self.audiences = tuple(audiences) or (issuers[0],)
        self._clock = clock
        self._known: Bounded[bytes, accounts.Bound] = Bounded(CACHED)

    def authenticate(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, tuple[str, ...]] | None:
        """(user, the audiences that fit); None when another issuer made the token. Raises TokenError."""
        key = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        bound = self._known.get(key)
        if bound is None:
            bound = self._verify(token)
            if bound is None:
                return None
            self._known.put(key, bound)
        wanted = audiences or self.audiences
        fitting = accounts.common(bound.audiences, wanted)
        if not fitting:
            raise jwt.TokenError(
                f"token audiences {_quoted(bound.audiences)} is invalid for the target audiences {_quoted(wanted)}"
            )
        accounts.check(bound, self._view, self._clock())
        if bound.legacy:
            accounts.same_secret(bound, token, self._view)
        return bound.user, fitting

    def _verify(self, token: str) -> accounts.Bound | None:
        claims = jwt.peek(token)
        if claims is None or claims.get("iss") not in self._issuers:
            return None
        return accounts.read(jwt.verify(token, self._verifiers), self.audiences)


def _quoted(audiences: Sequence[str]) -> str:
    return "[" + " ".join(f'"{audience}"' for audience in audiences) + "]"
