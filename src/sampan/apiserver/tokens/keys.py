"""The keys behind tokens: signing, verifying, and their public form (RFC 7515, 7517, 7518).

ES256/384/512 and RS256; a key's id is the hash of its public half, as upstream makes it.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_CURVES: dict[str, tuple[str, str, hashes.HashAlgorithm, int]] = {
    "secp256r1": ("ES256", "P-256", hashes.SHA256(), 32),
    "secp384r1": ("ES384", "P-384", hashes.SHA384(), 48),
    "secp521r1": ("ES512", "P-521", hashes.SHA512(), 66),
}


def b64(data: bytes) -> str:
    """Base64 in the URL's alphabet, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The bytes of `b64`. Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


@dataclass(frozen=True, slots=True)
class Verifier:
    """One public key: `algorithm` as in a token's header, `id` its `kid`."""

    key: PublicKey
    algorithm: str
    id: str

    def verify(self, signature: bytes, data: bytes) -> bool:
        try:
            if isinstance(self.key, rsa.RSAPublicKey):
                self.key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
            else:
                _, _, digest, size = _CURVES[self.key.curve.name]
                if len(signature) != 2 * size:
                    return False
                r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
                self.key.verify(encode_dss_signature(r, s), data, ec.ECDSA(digest))
        except InvalidSignature:
            return False
        return True

    def jwk(self) -> dict[str, Any]:
        """The public key as a JSON Web Key."""
        common = {"use": "sig", "kid": self.id, "alg": self.algorithm}
        if isinstance(self.key, rsa.RSAPublicKey):
            n, e = self.key.public_numbers().n, self.key.public_numbers().e
            modulus, exponent = n.to_bytes((n.bit_length() + 7) // 8), e.to_bytes((e.bit_length() + 7) // 8)
            return {"kty": "RSA", **common, "n": b64(modulus), "e": b64(exponent)}
        _, curve, _, size = _CURVES[self.key.curve.name]
        point = self.key.public_numbers()
        return {"kty": "EC", **common, "crv": curve, "x": b64(point.x.to_bytes(size)), "y": b64(point.y.to_bytes(size))}


@dataclass(frozen=True, slots=True)
class Signer:
    """The private key with which tokens are signed."""

    key: PrivateKey
    verifier: Verifier

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        _, _, digest, size = _CURVES[self.key.curve.name]
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(digest)))
        return r.to_bytes(size) + s.to_bytes(size)


def verifier(key: PublicKey) -> Verifier:
    """Raises ValueError for a curve that tokens cannot use."""
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in _CURVES:
        raise ValueError(f"curve {key.curve.name} cannot sign tokens: use P-256, P-384 or P-521")
    algorithm = "RS256" if isinstance(key, rsa.RSAPublicKey) else _CURVES[key.curve.name][0]
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Verifier(key, algorithm, b64(hashlib.sha256(der).digest()))


def signer(key: PrivateKey) -> Signer:
    return Signer(key, verifier(key.public_key()))


def load(path: Path) -> Signer:
    """The key in a PEM file, such as `pki.Authority.token_key()`. Raises ValueError for other kinds of key."""
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError(f"{path}: tokens need an EC or RSA key")
    return signer(key)
