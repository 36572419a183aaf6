"""Who may approve and sign certificate requests, and what nobody may ask for."""

from __future__ import annotations

import base64
import binascii

from sampan.api.defaults.document import section
from sampan.api.kinds.kind import Document
from sampan.apiserver.admission.base import Plugin, refuse, text
from sampan.apiserver.contracts import Admission, Attributes, Authorizer
from sampan.apiserver.reviews.identity import user_info

RESOURCE = "certificatesigningrequests.certificates.k8s.io"
GROUP = "certificates.k8s.io"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


def _may(authorize: Authorizer, admission: Admission, verb: str, signer: str) -> bool:
    """Permission for the signer by name, or for all of its domain by `domain/*`."""
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        attributes = Attributes(
            admission.attributes.user, verb, admission.attributes.path, True, GROUP, "*", "signers", name=name
        )
        if authorize(attributes).allowed:
            return True
    return False


def _signer(document: Document | None) -> str:
    return text(section(document or {}, "spec"), "signerName")


class CertificateRequester(Plugin):
    """Who asks is written down by the server: approvers believe it, so nobody may claim it."""

    name = "CertificateRequester"
    handles = (RESOURCE,)

    def admit(self, admission: Admission) -> None:
        document = admission.document
        if admission.operation != "CREATE" or admission.attributes.subresource or document is None:
            return
        spec = section(document, "spec")
        for key in ("username", "uid", "groups", "extra"):
            spec.pop(key, None)
        spec.update(user_info(admission.attributes.user))


class CertificateApproval(Plugin):
    name = "CertificateApproval"
    handles = (RESOURCE,)

    def __init__(self, authorize: Authorizer) -> None:
        self._authorize = authorize

    def validate(self, admission: Admission) -> None:
        if admission.operation != "UPDATE" or admission.attributes.subresource != "approval":
            return
        signer = _signer(admission.old)
        if not _may(self._authorize, admission, "approve", signer):
            raise refuse(admission, f'user not permitted to approve requests with signerName "{signer}"')


class CertificateSigning(Plugin):
    name = "CertificateSigning"
    handles = (RESOURCE,)

    def __init__(self, authorize: Authorizer) -> None:
        self._authorize = authorize

    def validate(self, admission: Admission) -> None:
        if admission.operation != "UPDATE" or admission.attributes.subresource != "status":
            return
        new, old = section(admission.document or {}, "status"), section(admission.old or {}, "status")
        if all((new.get(key) or None) == (old.get(key) or None) for key in ("certificate", "conditions")):
            return
        signer = _signer(admission.old)
        if not _may(self._authorize, admission, "sign", signer):
            raise refuse(admission, f'user not permitted to sign requests with signerName "{signer}"')


class CertificateSubjectRestriction(Plugin):
    """Nobody becomes a master of the cluster by a certificate."""

    name = "CertificateSubjectRestriction"
    handles = (RESOURCE,)

    def validate(self, admission: Admission) -> None:
        document = admission.document
        if admission.operation != "CREATE" or admission.attributes.subresource or document is None:
            return
        if _signer(document) != CLIENT_SIGNER:
            return
        if "system:masters" in _organizations(text(section(document, "spec"), "request")):
            why = f"use of {CLIENT_SIGNER} signer with system:masters group is not allowed"
            raise refuse(admission, why)


def _organizations(request: str) -> list[str | bytes]:
    from cryptography import x509  # the whole of it takes 40 ms, and few clusters see a request
    from cryptography.x509.oid import NameOID

    try:
        parsed = x509.load_pem_x509_csr(base64.b64decode(request, validate=True))
    except (ValueError, binascii.Error):
        return []
    return [a.value for a in parsed.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
