"""Client certificates: the common name is the user, organizations are its groups.

The transport has verified the chain; here the dates and purposes are checked and the subject is read.
"""

from __future__ import annotations

import datetime
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sampan.api.errors import unauthorized
from sampan.api.user import User
from sampan.apiserver.authn import users
from sampan.apiserver.authn.cache import Bounded

UID_OID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
CACHED = 1024


@dataclass(frozen=True, slots=True)
class Proven:
    """A certificate that was read: its user (None when it names nobody) and the Unix times it is good for."""

    user: User | None
    begins: float
    ends: float


class Certificates:
    """Reads certificates once each; later requests with the same one cost a hash and a look-up."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._known: Bounded[bytes, Proven] = Bounded(CACHED)

    def __call__(self, der: bytes) -> User | None:
        """The user, None for a certificate without a common name. Raises Unauthorized outside its dates."""
        key = hashlib.sha256(der).digest()
        proven = self._known.get(key)
        if proven is None:
            proven = read(der)
            self._known.put(key, proven)
        if not proven.begins <= self._clock() <= proven.ends:
            raise unauthorized()
        return proven.user


def read(der: bytes) -> Proven:
    """Who a certificate names. Raises Unauthorized for what is no certificate, or none for clients."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = [_text(a) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        groups = tuple(_text(a) for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
        uids = [_text(a) for a in certificate.subject.get_attributes_for_oid(UID_OID)]
        for_clients = _for_clients(certificate)
    except ValueError:
        raise unauthorized() from None
    if not for_clients or len(uids) > 1:
        raise unauthorized()
    user = None
    if names and names[-1]:
        fingerprint = hashlib.sha256(der).hexdigest()
        extra = {users.CREDENTIAL_ID: (f"X509SHA256={fingerprint}",)}
        user = users.authenticated(User(names[-1], uids[0] if uids else "", groups, extra))
    return Proven(user, _unix(certificate.not_valid_before_utc), _unix(certificate.not_valid_after_utc))


def _for_clients(certificate: x509.Certificate) -> bool:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in purposes or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in purposes


def _text(attribute: x509.NameAttribute[str | bytes]) -> str:
    value = attribute.value
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _unix(moment: datetime.datetime) -> float:
    return moment.timestamp()
