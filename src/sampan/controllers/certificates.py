"""CertificateSigningRequests: nodes' own are approved, approved ones signed, old ones removed.

Sources: KEP-1513; Kubernetes' documentation "Certificates and Certificate Signing Requests".
"""

from __future__ import annotations

import base64
import datetime
from collections.abc import Generator
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec.structs import replace

from sampan.api import conditions
from sampan.api.types import authorization_v1, certificates_v1
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Create, Delete, Plan, Requeue, Update, UpdateStatus, View
from sampan.runtime.clock import rfc3339, unix
from sampan.runtime.controller import Controller

Request = certificates_v1.CertificateSigningRequest
Condition = certificates_v1.CertificateSigningRequestCondition

CLIENT, KUBELET_CLIENT, SERVING, LEGACY = (
    "kubernetes.io/kube-apiserver-client",
    "kubernetes.io/kube-apiserver-client-kubelet",
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/legacy-unknown",
)
SIGNERS = (CLIENT, KUBELET_CLIENT, SERVING, LEGACY)

BASIC = {"digital signature", "key encipherment"}
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    CLIENT: ({"client auth"}, BASIC | {"client auth"}),
    KUBELET_CLIENT: ({"client auth"}, BASIC | {"client auth"}),
    SERVING: ({"server auth"}, BASIC | {"server auth"}),
}
"""By signer: the usages that must be asked for, and those that may."""

KEPT = {"pending": 24 * 3600.0, "approved": 3600.0, "denied": 3600.0}
"""Seconds after which a request goes, by what has become of it."""

BACKDATED = datetime.timedelta(minutes=5)


class Refused(Exception):
    """The signer does not sign this; the message is for who asked."""


class Asked(NamedTuple):
    """What a request asks for: its PKCS #10 part, decoded."""

    csr: x509.CertificateSigningRequest
    name: str
    organizations: tuple[str, ...]
    hosts: bool
    """It names DNS names or addresses."""
    others: bool
    """It names e-mail addresses or URIs."""


def read(request: Request) -> Asked:
    """Raises Refused for what is no PKCS #10 request or is not signed with its own key."""
    try:
        csr = x509.load_pem_x509_csr(base64.b64decode(request.spec.request))
        if not csr.is_signature_valid:
            raise Refused("the request's signature is not its own key's")
        alternatives = _alternatives(csr)
    except (ValueError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise Refused(f"unable to parse csr: {error}") from error
    names = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    organizations = csr.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    kinds = {type(each) for each in alternatives}
    return Asked(
        csr,
        str(names[0].value) if names else "",
        tuple(str(each.value) for each in organizations),
        bool(kinds & {x509.DNSName, x509.IPAddress}),
        bool(kinds - {x509.DNSName, x509.IPAddress}),
    )


def _alternatives(csr: x509.CertificateSigningRequest) -> tuple[x509.GeneralName, ...]:
    try:
        return tuple(csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


# --- approving


def approve(request: Request, view: View) -> Plan:
    """A kubelet may have the certificate with which it speaks to the API server, if RBAC says so."""
    if _state(request) != "pending" or request.spec.signerName != KUBELET_CLIENT:
        return
    try:
        asked = read(request)
        _check(asked, request)
    except Refused:
        # Somebody may still approve it by hand; the signer will say what is wrong.
        return
    mine = asked.name == request.spec.username
    for subresource, why in (
        *((("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),) * mine),
        ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
    ):
        if (yield from _may(request, subresource)):
            made = Condition(type="Approved", status="True", reason="AutoApproved", message=why)
            at = rfc3339(view.now)
            made = replace(made, lastUpdateTime=at, lastTransitionTime=at)
            status = replace(request.status, conditions=(*request.status.conditions, made))
            yield Update(replace(request, status=status), "approval")
            return


def _may(request: Request, subresource: str) -> Generator[Action, Any, bool]:
    spec = request.spec
    review = authorization_v1.SubjectAccessReview(
        spec=authorization_v1.SubjectAccessReviewSpec(
            user=spec.username,
            uid=spec.uid,
            groups=spec.groups,
            extra=spec.extra,
            resourceAttributes=authorization_v1.ResourceAttributes(
                group="certificates.k8s.io",
                resource="certificatesigningrequests",
                verb="create",
                subresource=subresource,
                version="*",
            ),
        )
    )
    answer = yield Create(review)
    return bool(answer.status.allowed)


def _state(request: Request) -> str:
    found = request.status.conditions
    if conditions.find(found, "Denied") is not None:
        return "denied"
    if conditions.find(found, "Failed") is not None:
        return "failed"
    return "approved" if conditions.is_true(found, "Approved") else "pending"


# --- signing


def _check(asked: Asked, request: Request) -> None:
    """Raises Refused when the signer does not sign such requests."""
    signer, usages = request.spec.signerName, set(request.spec.usages)
    if signer in ALLOWED:
        needed, allowed = ALLOWED[signer]
        if not needed <= usages or not usages <= allowed:
            raise Refused(f"invalid usages for {signer}: {sorted(usages)}")
    if signer == CLIENT and "system:masters" in asked.organizations:
        raise Refused("client certificates for the group system:masters are not signed")
    if signer in (KUBELET_CLIENT, SERVING):
        if asked.organizations != ("system:nodes",):
            raise Refused("subject organization is not system:nodes")
        if not asked.name.startswith("system:node:"):
            raise Refused("subject common name does not begin with system:node:")
        if asked.others:
            raise Refused("e-mail and URI subject alternative names are not allowed")
        if asked.hosts != (signer == SERVING):
            raise Refused(
                "DNS or IP subject alternative names are required"
                if signer == SERVING
                else "DNS and IP subject alternative names are not allowed"
            )


class Signer:
    """The cluster's authority at work."""

    def __init__(self, settings: Settings) -> None:
        self._longest = settings.signing_duration
        self._certificate: x509.Certificate | None = None
        if settings.signing_certificate and settings.signing_key:
            self._certificate = x509.load_pem_x509_certificate(settings.signing_certificate.encode())
            key = serialization.load_pem_private_key(settings.signing_key.encode(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
                raise ValueError("the signing key must be an EC, RSA or Ed25519 key")
            self._key = key

    def plan(self, request: Request, view: View) -> Plan:
        unsigned = _state(request) == "approved" and not request.status.certificate
        if self._certificate is None or not unsigned or request.spec.signerName not in SIGNERS:
            return
        try:
            asked = read(request)
            _check(asked, request)
        except Refused as error:
            at = rfc3339(view.now)
            made = Condition(
                type="Failed",
                status="True",
                reason="SignerValidationFailure",
                message=str(error),
                lastUpdateTime=at,
                lastTransitionTime=at,
            )
            status = replace(request.status, conditions=(*request.status.conditions, made))
            yield UpdateStatus(replace(request, status=status))
            return
        signed = base64.b64encode(self.sign(asked, request, view.now)).decode()
        yield UpdateStatus(replace(request, status=replace(request.status, certificate=signed)))

    def sign(self, asked: Asked, request: Request, now: float) -> bytes:
        """PEM. It never outlives the authority."""
        assert self._certificate is not None
        begin = datetime.datetime.fromtimestamp(int(now), datetime.UTC)
        seconds = min(request.spec.expirationSeconds or self._longest, self._longest)
        end = min(begin + datetime.timedelta(seconds=seconds), self._certificate.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(asked.csr.subject)
            .issuer_name(self._certificate.subject)
            .public_key(asked.csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin - BACKDATED)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(set(request.spec.usages)), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._certificate.public_key()),  # type: ignore[arg-type]
                critical=False,
            )
        )
        purposes = _purposes(set(request.spec.usages))
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        names = _alternatives(asked.csr)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        digest = None if isinstance(self._key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(self._key, digest).public_bytes(serialization.Encoding.PEM)


def _key_usage(usages: set[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=bool(usages & {"digital signature", "signing"}),
        content_commitment="content commitment" in usages,
        key_encipherment="key encipherment" in usages,
        data_encipherment="data encipherment" in usages,
        key_agreement="key agreement" in usages,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _purposes(usages: set[str]) -> list[x509.ObjectIdentifier]:
    known = {
        "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
        "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
        "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
        "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
        "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
        "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
        "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }
    return [purpose for usage, purpose in known.items() if usage in usages]


# --- removing


def clean(request: Request, view: View) -> Plan:
    state = _state(request)
    since = unix(request.metadata.creationTimestamp)
    decided = [unix(each.lastUpdateTime) for each in request.status.conditions if each.lastUpdateTime]
    if state == "pending":
        left = since + KEPT["pending"] - view.now
    else:
        left = max(decided, default=since) + KEPT["denied" if state in ("denied", "failed") else "approved"] - view.now
    if left > 0:
        yield Requeue(left)
    else:
        yield Delete(request)


# --- declarations


def declare_approving(settings: Settings) -> Controller:
    return Controller(name="certificatesigningrequest-approving-controller", primary=Request, plan=approve)


def declare_signing(settings: Settings) -> Controller:
    return Controller(name="certificatesigningrequest-signing-controller", primary=Request, plan=Signer(settings).plan)


def declare_cleaning(settings: Settings) -> Controller:
    return Controller(name="certificatesigningrequest-cleaner-controller", primary=Request, plan=clean)
