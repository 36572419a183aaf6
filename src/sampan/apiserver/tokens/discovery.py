"""How others find the keys behind tokens: OpenID Connect discovery (upstream's two documents)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sampan.apiserver.tokens.keys import Verifier

CONFIGURATION_PATH = "/.well-known/openid-configuration"
KEYS_PATH = "/openid/v1/jwks"
CONFIGURATION_TYPE = "application/json"
KEYS_TYPE = "application/jwk-set+json"
CACHE_CONTROL = "public, max-age=3600"


def configuration(verifiers: Sequence[Verifier], issuer: str, keys_url: str) -> bytes:
    """The body of `CONFIGURATION_PATH`; `keys_url` is where clients reach `KEYS_PATH`."""
    return msgspec.json.encode(
        {
            "issuer": issuer,
            "jwks_uri": keys_url,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted({v.algorithm for v in verifiers}),
        }
    )


def keys(verifiers: Sequence[Verifier]) -> bytes:
    """The body of `KEYS_PATH`."""
    return msgspec.json.encode({"keys": [v.jwk() for v in verifiers]})
