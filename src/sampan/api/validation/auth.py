"""Rules of reviews, token requests and certificate signing requests."""

from __future__ import annotations

from sampan.api import names
from sampan.api.errors import FieldError, invalid, not_supported, required
from sampan.api.types import authentication_v1, authorization_v1, certificates_v1
from sampan.api.validation.checks import Errors

USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
MIN_TOKEN_SECONDS = 600
MAX_TOKEN_SECONDS = 1 << 32


def _attributes(
    errors: Errors, spec: authorization_v1.SubjectAccessReviewSpec | authorization_v1.SelfSubjectAccessReviewSpec
) -> None:
    resource, other = spec.resourceAttributes, spec.nonResourceAttributes
    if resource is not None and other is not None:
        text = "cannot be specified in combination with resourceAttributes"
        errors.append(invalid("spec.nonResourceAttributes", other, text))
    elif resource is None and other is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.append(invalid("spec.resourceAttributes", None, text))


def validate_self_subject_access_review(obj: authorization_v1.SelfSubjectAccessReview) -> list[FieldError]:
    errors: Errors = []
    _attributes(errors, obj.spec)
    return errors


def validate_subject_access_review(obj: authorization_v1.SubjectAccessReview) -> list[FieldError]:
    errors: Errors = []
    _attributes(errors, obj.spec)
    if not obj.spec.user and not obj.spec.groups:
        errors.append(invalid("spec.user", obj.spec.user or "", "at least one of user or group must be specified"))
    return errors


def validate_local_subject_access_review(obj: authorization_v1.LocalSubjectAccessReview) -> list[FieldError]:
    errors: Errors = []
    _attributes(errors, obj.spec)
    if not obj.spec.user and not obj.spec.groups:
        errors.append(invalid("spec.user", obj.spec.user or "", "at least one of user or group must be specified"))
    resource = obj.spec.resourceAttributes
    if resource is not None and (resource.namespace or "") != (obj.metadata.namespace or ""):
        text = "must match metadata.namespace"
        errors.append(invalid("spec.resourceAttributes.namespace", resource.namespace or "", text))
    if obj.spec.nonResourceAttributes is not None:
        text = "disallowed on this kind of request"
        errors.append(invalid("spec.nonResourceAttributes", obj.spec.nonResourceAttributes, text))
    return errors


def validate_token_request(obj: authentication_v1.TokenRequest) -> list[FieldError]:
    errors: Errors = []
    seconds = obj.spec.expirationSeconds
    if seconds is not None and seconds < MIN_TOKEN_SECONDS:
        errors.append(invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    elif seconds is not None and seconds > MAX_TOKEN_SECONDS:
        text = "may not specify a duration larger than 2^32 seconds"
        errors.append(invalid("spec.expirationSeconds", seconds, text))
    return errors


def validate_certificate_signing_request(obj: certificates_v1.CertificateSigningRequest) -> list[FieldError]:
    errors: Errors = []
    spec = obj.spec
    if not spec.request:
        errors.append(invalid("spec.request", spec.request, "PEM block type must be CERTIFICATE REQUEST"))
    if not spec.usages:
        errors.append(required("spec.usages"))
    for at, usage in enumerate(spec.usages):
        if usage not in USAGES:
            errors.append(not_supported(f"spec.usages[{at}]", usage, USAGES))
        elif usage in spec.usages[:at]:
            errors.append(FieldError("FieldValueDuplicate", f"spec.usages[{at}]", usage, ""))
    _signer(errors, spec.signerName)
    if spec.expirationSeconds is not None and spec.expirationSeconds < MIN_TOKEN_SECONDS:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(invalid("spec.expirationSeconds", spec.expirationSeconds, text))
    return errors


def _signer(errors: Errors, name: str) -> None:
    path = "spec.signerName"
    if not name:
        errors.append(required(path))
        return
    domain, slash, rest = name.partition("/")
    if not slash or not rest or "/" in rest:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.append(invalid(path, name, text))
        return
    errors += [invalid(path, domain, f'validating label "{domain}": {text}') for text in names.dns_subdomain(domain)]
    if "." not in domain:
        text = "should be a domain with at least two segments separated by dots"
        errors.append(invalid(path, domain, text))


def validate_certificate_signing_request_update(
    new: certificates_v1.CertificateSigningRequest, old: certificates_v1.CertificateSigningRequest
) -> list[FieldError]:
    """The spec is the requestor's word: it never changes."""
    return [] if new.spec == old.spec else [invalid("spec", new.spec, "field is immutable")]
