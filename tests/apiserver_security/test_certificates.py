from __future__ import annotations

from typing import Any

import pytest

from tests.apiserver_security.memory import bind, make, role, rule
from tests.apiserver_security.writing import ask, cluster, plugin, run


def csr(signer: str = "example.com/s", **status: Any) -> dict[str, Any]:
    return make(
        "CertificateSigningRequest",
        "r",
        api="certificates.k8s.io/v1",
        spec={"signerName": signer, "request": "", "usages": ["client auth"]},
        **({"status": status} if status else {}),
    )


@pytest.mark.parametrize(("names", "allowed"), [("example.com/s", True), ("example.com/*", True), ("x/y", False)])
@pytest.mark.parametrize(("verb", "word", "sub"), [("approve", "approve", "approval"), ("sign", "sign", "status")])
def test_signers_decide_who_approves_and_signs(names, allowed, verb, word, sub) -> None:
    view = cluster(
        role("r", rule(verb, "signers", "certificates.k8s.io", names)),
        bind("b", "r", "User jane"),
    )
    name = "CertificateApproval" if verb == "approve" else "CertificateSigning"
    asked = ask(csr(certificate="eA=="), "UPDATE", old=csr(), sub=sub)
    found = run(plugin(name, view), asked)
    refusal = (
        'certificatesigningrequests.certificates.k8s.io "r" is forbidden: '
        f'user not permitted to {word} requests with signerName "example.com/s"'
    )
    assert found == ("" if allowed else refusal)


def test_no_certificate_makes_a_master() -> None:
    import base64

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    for group, refused in (("system:masters", True), ("devs", False)):
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)])
        key = ec.generate_private_key(ec.SECP256R1())
        made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        document = csr("kubernetes.io/kube-apiserver-client")
        document["spec"]["request"] = base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()
        found = run(plugin("CertificateSubjectRestriction", cluster()), ask(document))
        assert (
            found.endswith("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")
            if refused
            else found == ""
        )


def test_roles_are_checked_against_escalation() -> None:
    found = run(plugin("RoleEscalation", cluster()), ask(role("r", rule("get", "secrets"), namespace="shop")))
    assert "is attempting to grant RBAC permissions not currently held" in found
