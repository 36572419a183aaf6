"""Kinds of certificates.k8s.io/v1."""

from __future__ import annotations

from sampan.api import strategy
from sampan.api.columns import cluster as cluster_columns
from sampan.api.kinds.kind import STATUS, Kind, Subresource
from sampan.api.types import certificates_v1
from sampan.api.validation import auth as auth_rules

CERTIFICATE_SIGNING_REQUEST = Kind(
    certificates_v1.CertificateSigningRequest,
    "certificates.k8s.io",
    "v1",
    "certificatesigningrequests",
    ("csr",),
    namespaced=False,
    subresources=(Subresource("approval"), STATUS),
    columns=cluster_columns.CERTIFICATE_SIGNING_REQUEST,
    prepare_create=strategy.drop_status,
    prepare_update=strategy.update_signing_request,
    selectable=("spec.signerName",),
    validate=auth_rules.validate_certificate_signing_request,
    validate_update=auth_rules.validate_certificate_signing_request_update,
)

KINDS = (CERTIFICATE_SIGNING_REQUEST,)
