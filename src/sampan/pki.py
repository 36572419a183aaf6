"""The cluster's keys and certificates: one CA, a certificate per identity, one key that signs tokens.

EC P-256 throughout: keys take milliseconds and handshakes are cheap. Certificates last a year and are
made again at start when less than a third of that is left; the CA lasts ten years.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
LEAF_DAYS = 365


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate to keep: `file` is its base name; user and groups become CN and O."""

    file: str
    user: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


def write_private(path: Path, data: bytes) -> None:
    """Write whole or not at all, readable by the owner only."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(user: str, groups: Sequence[str] = ()) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Authority:
    """The CA in one directory; `ensure` makes what is missing or about to end, and nothing else."""

    def __init__(self, directory: Path, name: str = "sampan-ca") -> None:
        self.directory = directory
        self._name = name
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.certificate_path = directory / "ca.crt"
        key_path = directory / "ca.key"
        if not self.certificate_path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            write_private(key_path, _pem(key))
            write_private(self.certificate_path, self._self_signed(key))
        self._key = _load_key(key_path)
        self._certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())

    def _self_signed(self, key: ec.EllipticCurvePrivateKey) -> bytes:
        name = _name(self._name)
        builder = _builder(name, name, key.public_key(), CA_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(sign_certificates=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def ensure(self, identity: Identity) -> tuple[Path, Path]:
        """(certificate, key) of an identity, made new when absent, near its end or for other names."""
        certificate_path = self.directory / f"{identity.file}.crt"
        key_path = self.directory / f"{identity.file}.key"
        if not (certificate_path.exists() and key_path.exists() and self._still_good(certificate_path, identity)):
            key = ec.generate_private_key(ec.SECP256R1())
            write_private(key_path, _pem(key))
            write_private(certificate_path, self._issue(identity, key.public_key()))
        return certificate_path, key_path

    def _still_good(self, path: Path, identity: Identity) -> bool:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        if left < datetime.timedelta(days=LEAF_DAYS / 3):
            return False
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (InvalidSignature, ValueError):
            return False
        if certificate.subject != _name(identity.user, identity.groups):
            return False
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return not identity.hosts
        return list(names) == [_host(host) for host in identity.hosts]

    def _issue(self, identity: Identity, public_key: ec.EllipticCurvePublicKey) -> bytes:
        subject = _name(identity.user, identity.groups)
        builder = _builder(subject, self._certificate.subject, public_key, LEAF_DAYS)
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if identity.hosts:
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names = x509.SubjectAlternativeName([_host(host) for host in identity.hosts])
            builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(sign_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer_key, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def token_key(self) -> Path:
        """The private key that signs service-account tokens."""
        path = self.directory / "sa.key"
        if not path.exists():
            write_private(path, _pem(ec.generate_private_key(ec.SECP256R1())))
        return path


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path}: not an EC key")
    return key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # Clocks of nodes differ a little.
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
