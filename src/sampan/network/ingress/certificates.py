"""Certificates of Secrets, checked, and those that the local authority signs for hosts without one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from sampan import pki
from sampan.api.types import core_v1

DIRECTORY = "ingress"
"""Below the cluster's pki directory. An authority of its own: whoever trusts it trusts no client of the cluster."""

FALLBACK = ""
"""The host whose certificate is shown to clients that name no host of ours."""


class Unusable(ValueError):
    """A Secret that holds no certificate with its key; the message tells its author why."""


def public(pki_dir: Path) -> Path:
    """The authority's certificate where everybody may read it."""
    return pki_dir.parent / "ingress-ca.crt"


def authority(pki_dir: Path, cluster: str) -> pki.Authority:
    made = pki.Authority(pki_dir / DIRECTORY, f"Sampan local CA ({cluster})")
    copy, data = public(pki_dir), made.certificate_path.read_bytes()
    if not copy.exists() or copy.read_bytes() != data:
        copy.write_bytes(data)
        copy.chmod(0o644)
    return made


def pair(secret: core_v1.Secret) -> bytes:
    """Chain and key as one PEM. Raises Unusable."""
    parts = []
    for name in ("tls.crt", "tls.key"):
        if name not in secret.data:
            raise Unusable(f"it has no {name}")
        try:
            parts.append(base64.b64decode(secret.data[name], validate=True).strip())
        except binascii.Error:
            raise Unusable(f"its {name} is no base64") from None
    check(*parts)
    return b"\n".join(parts) + b"\n"


def check(chain: bytes, key: bytes) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise Unusable(f"its tls.crt is no certificate in PEM: {error}") from error
    try:
        private = serialization.load_pem_private_key(key, None)
        own = private.public_key().public_bytes(encoding, form)
    except (ValueError, TypeError) as error:
        raise Unusable(f"its tls.key is no private key in PEM without a password: {error}") from error
    if certificates[0].public_key().public_bytes(encoding, form) != own:
        raise Unusable("its tls.key does not belong to its tls.crt")


def file_name(data: bytes) -> str:
    """Changes with the content: a configuration that names it changes with it."""
    return f"{hashlib.sha256(data).hexdigest()[:24]}.pem"


class LocalCertificates:
    """Makes what is missing or near its end, on demand; blocking."""

    def __init__(self, pki_dir: Path, cluster: str, addresses: Iterable[str]) -> None:
        self._authority = authority(pki_dir, cluster)
        self._addresses = tuple(addresses)

    def get(self, hosts: Iterable[str]) -> dict[str, bytes]:
        """Host -> certificate, authority and key as one PEM."""
        root = self._authority.certificate_path.read_bytes()
        found = {}
        for host in hosts:
            certificate, key = self._authority.ensure(self._identity(host))
            found[host] = certificate.read_bytes() + root + key.read_bytes()
        return found

    def _identity(self, host: str) -> pki.Identity:
        if host == FALLBACK:
            return pki.Identity("fallback", "localhost", (), ("localhost", *self._addresses))
        name = re.sub(r"[^a-z0-9.-]", "_", host)
        # A common name has 64 letters at most; clients read the alternative names.
        return pki.Identity(f"host-{name}", host if len(host) <= 64 else "sampan", (), (host,))
