"""JSON Web Tokens in compact form: signing claims and reading them back (RFC 7515, 7519)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sampan.apiserver.tokens.keys import Signer, Verifier, b64, unb64

LONGEST = 64 * 1024
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class TokenError(Exception):
    """What is wrong with a token, for logs and TokenReview; requests only see 401."""


def sign(signer: Signer, claims: dict[str, Any]) -> str:
    header = {"alg": signer.verifier.algorithm, "kid": signer.verifier.id}
    head = f"{b64(_encode(header))}.{b64(_encode(claims))}"
    return f"{head}.{b64(signer.sign(head.encode()))}"


def peek(token: str) -> dict[str, Any] | None:
    """The claims of a token without verifying anything; None when it is no JSON Web Token."""
    parts = token.split(".") if len(token) <= LONGEST else []
    if len(parts) != 3:
        return None
    return _object(parts[1])


def verify(token: str, verifiers: Sequence[Verifier]) -> dict[str, Any]:
    """The claims of a token that one of the keys signed. Raises TokenError."""
    parts = token.split(".") if len(token) <= LONGEST else []
    header = _object(parts[0]) if len(parts) == 3 else None
    claims = _object(parts[1]) if header is not None else None
    if header is None or claims is None:
        raise TokenError("the token is not a JSON web token")
    if "crit" in header:
        raise TokenError("the token's header asks for extensions that are not supported")
    try:
        signature = unb64(parts[2])
    except ValueError:
        raise TokenError("the token's signature is not base64") from None
    data = f"{parts[0]}.{parts[1]}".encode()
    wanted = header.get("kid")
    for key in verifiers:
        if header.get("alg") == key.algorithm and (not wanted or wanted == key.id) and key.verify(signature, data):
            return claims
    raise TokenError("invalid signature")


def _object(part: str) -> dict[str, Any] | None:
    try:
        value = _decode(unb64(part))
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
