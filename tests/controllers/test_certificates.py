"""Certificate requests: who gets one without asking a person, what is signed, and what goes."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec.structs import replace

from sampan import pki
from sampan.api.types import authorization_v1, certificates_v1
from sampan.api.user import User
from sampan.controllers import certificates
from sampan.controllers.settings import Settings
from sampan.runtime.actions import Action, Create, Requeue, Update
from sampan.testing.cluster import Cluster
from sampan.testing.plans import drive, names
from sampan.testing.world import START, World

NODE_USAGES = ("digital signature", "client auth")
Request = certificates_v1.CertificateSigningRequest


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    directory = tmp_path_factory.mktemp("pki")
    pki.Authority(directory)
    certificate, key = (directory / "ca.crt").read_text(), (directory / "ca.key").read_text()
    return Settings(signing_certificate=certificate, signing_key=key, signing_duration=24 * 3600)


def pkcs10(name: str = "system:node:n1", *organizations: str, hosts: tuple[str, ...] = ()) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, each) for each in organizations or ("system:nodes",)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([*subject, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    if hosts:
        listed = [x509.DNSName(each) for each in hosts]
        builder = builder.add_extension(x509.SubjectAlternativeName(listed), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(pem).decode()


def request(
    signer: str = certificates.KUBELET_CLIENT,
    usages: tuple[str, ...] = NODE_USAGES,
    body: str = "",
    *,
    state: str = "",
    username: str = "system:bootstrap:abc",
    seconds: int | None = None,
) -> Request:
    made = tuple(
        certificates_v1.CertificateSigningRequestCondition(type=each, status="True") for each in [state] if each
    )
    return Request(
        metadata=replace(Request().metadata, name="csr-1"),
        spec=certificates_v1.CertificateSigningRequestSpec(
            request=body or pkcs10(), signerName=signer, usages=usages, username=username, expirationSeconds=seconds
        ),
        status=certificates_v1.CertificateSigningRequestStatus(conditions=made),
    )


def approving(given: Request, *allowed: str) -> tuple[list[str], list[Action]]:
    """What was asked of RBAC, and the other actions."""
    asked: list[str] = []

    def respond(action: Action) -> Any:
        if isinstance(action, Create):
            attributes = action.object.spec.resourceAttributes
            asked.append(attributes.subresource)
            status = authorization_v1.SubjectAccessReviewStatus(allowed=attributes.subresource in allowed)
            return replace(action.object, status=status)
        return getattr(action, "object", None)

    view = World().view()
    return asked, [each for each in drive(certificates.approve(given, view), respond) if not isinstance(each, Create)]


# --- approving


def test_a_bootstrapping_node_is_approved_if_it_may() -> None:
    asked, (action,) = approving(request(), "nodeclient")
    assert asked == ["nodeclient"]
    assert isinstance(action, Update) and action.subresource == "approval"
    (condition,) = action.object.status.conditions
    assert (condition.type, condition.reason) == ("Approved", "AutoApproved")


def test_a_node_that_renews_its_own_asks_for_that_first() -> None:
    asked, actions = approving(request(username="system:node:n1"), "selfnodeclient")
    assert asked == ["selfnodeclient"]
    assert len(actions) == 1


def test_without_permission_a_person_decides() -> None:
    asked, actions = approving(request())
    assert (asked, actions) == (["nodeclient"], [])


@pytest.mark.parametrize(
    "given",
    [
        request(certificates.SERVING, ("digital signature", "server auth")),
        request(body=pkcs10("alice")),
        request(body=pkcs10("system:node:n1", "system:masters")),
        request(body=pkcs10(hosts=("example.org",))),
        request(usages=("digital signature", "server auth")),
        request(body="bm8gcmVxdWVzdA=="),
        request(state="Denied"),
        request(state="Approved"),
    ],
)
def test_nothing_else_is_approved(given: Request) -> None:
    assert approving(given, "nodeclient", "selfnodeclient") == ([], [])


# --- signing


def signing(settings: Settings, given: Request) -> tuple[World, Request]:
    controller = certificates.declare_signing(settings)
    here = World(controller)
    here.add(given)
    here.plan(controller, "csr-1", "")
    return here, here.get(Request, "csr-1")


def test_an_approved_request_is_signed(settings: Settings) -> None:
    _, done = signing(settings, request(state="Approved"))
    assert done.status.certificate
    made = x509.load_pem_x509_certificate(base64.b64decode(done.status.certificate))
    authority = x509.load_pem_x509_certificate(settings.signing_certificate.encode())
    made.verify_directly_issued_by(authority)
    assert made.subject.rfc4514_string() == "CN=system:node:n1,O=system:nodes"
    purposes = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    begin = datetime.datetime.fromtimestamp(START, datetime.UTC)
    assert made.not_valid_after_utc == min(begin + datetime.timedelta(days=1), authority.not_valid_after_utc)


def test_what_is_asked_for_may_be_shorter_but_not_longer(settings: Settings) -> None:
    begin = datetime.datetime.fromtimestamp(START, datetime.UTC)
    for asked, given in ((600, 600), (10**8, 24 * 3600)):
        _, done = signing(settings, request(state="Approved", seconds=asked))
        made = x509.load_pem_x509_certificate(base64.b64decode(done.status.certificate or ""))
        assert made.not_valid_after_utc == begin + datetime.timedelta(seconds=given)


def test_a_kubelets_server_certificate_keeps_its_names(settings: Settings) -> None:
    given = request(
        certificates.SERVING, ("digital signature", "server auth"), pkcs10(hosts=("n1", "n1.local")), state="Approved"
    )
    _, done = signing(settings, given)
    made = x509.load_pem_x509_certificate(base64.b64decode(done.status.certificate or ""))
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n1", "n1.local"]


@pytest.mark.parametrize(
    "given",
    [
        request(certificates.CLIENT, ("client auth",), pkcs10("eve", "system:masters"), state="Approved"),
        request(certificates.CLIENT, ("server auth",), pkcs10("eve", "staff"), state="Approved"),
        request(certificates.SERVING, ("digital signature", "server auth"), pkcs10(), state="Approved"),
        request(certificates.SERVING, ("server auth",), pkcs10("www", hosts=("www",)), state="Approved"),
        request(body=pkcs10(hosts=("n1",)), state="Approved"),
        request(body="AAAA", state="Approved"),
    ],
)
def test_what_the_signer_refuses_is_told(settings: Settings, given: Request) -> None:
    here, done = signing(settings, given)
    assert done.status.certificate is None
    failed = next(each for each in done.status.conditions if each.type == "Failed")
    assert failed.reason == "SignerValidationFailure" and failed.message
    controller = certificates.declare_signing(settings)
    assert here.plan(controller, "csr-1", "") == []


@pytest.mark.parametrize("given", [request(), request(state="Denied"), request("example.org/own", state="Approved")])
def test_what_is_not_ours_to_sign(settings: Settings, given: Request) -> None:
    _, done = signing(settings, given)
    assert done.status.certificate is None
    assert len(done.status.conditions) == len(given.status.conditions)


def test_without_a_key_nothing_is_signed() -> None:
    _, done = signing(Settings(), request(state="Approved"))
    assert done.status.certificate is None


# --- removing


@pytest.mark.parametrize(("state", "hours"), [("", 24), ("Approved", 1), ("Denied", 1), ("Failed", 1)])
def test_old_requests_go(state: str, hours: int) -> None:
    controller = certificates.declare_cleaning(Settings())
    here = World(controller)
    here.add(request(state=state))
    assert here.plan(controller, "csr-1", "") == [Requeue(hours * 3600.0)]
    here.now += hours * 3600
    assert names(here.plan(controller, "csr-1", "")) == ["Delete CertificateSigningRequest csr-1"]


JOINERS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: joiners}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:node-bootstrapper"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:bootstrap:abc"}]
"""


async def test_a_node_joins(cluster_factory: Any, settings: Settings) -> None:
    cluster: Cluster = await cluster_factory(settings=settings)
    await cluster.apply(JOINERS)
    joining = cluster.client_as(User("system:bootstrap:abc", groups=("system:authenticated",)))
    await joining.create(request(username="system:node:somebody-else"))
    pending = await cluster.wait_for(Request, "csr-1")
    approval = certificates_v1.CertificateSigningRequestCondition(type="Approved", status="True", reason="ByHand")
    assert pending.spec.username == "system:bootstrap:abc", "nobody may claim to be somebody else"
    status = replace(pending.status, conditions=(approval,))
    await cluster.client.update(replace(pending, status=status), subresource="approval")
    done = await cluster.wait_for(Request, "csr-1", lambda each: each.status.certificate)
    x509.load_pem_x509_certificate(base64.b64decode(done.status.certificate or ""))
