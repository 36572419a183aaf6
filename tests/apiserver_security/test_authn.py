from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sampan.api.errors import StatusError
from sampan.api.types import core_v1
from sampan.api.user import User
from sampan.apiserver.authn import AccountTokens, Authenticators
from sampan.apiserver.authn.cache import Bounded
from sampan.apiserver.authn.certificate import CACHED, UID_OID, Certificates
from sampan.apiserver.tokens import accounts, discovery, jwt, keys
from sampan.apiserver.tokens.accounts import Bound, Reference
from sampan.http.types import Request
from sampan.pki import Authority, Identity
from tests.apiserver_security.memory import Memory, make

NOW = 1_800_000_000.0
SIGNER = keys.signer(ec.generate_private_key(ec.SECP256R1()))
ACCOUNT = Reference("builder", "uid-builder")


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def cluster() -> Memory:
    return Memory(
        make("ServiceAccount", "builder", "shop"),
        make("Pod", "web", "shop"),
        make("Secret", "key", "shop"),
        make("Node", "n1"),
    )


def bound(seconds: float = 3600, **rest: object) -> Bound:
    return Bound("shop", ACCOUNT, (accounts.ISSUER,), NOW + seconds, id="j", **rest)


def token(seconds: float = 3600, signer: keys.Signer = SIGNER, issuer: str = accounts.ISSUER, **rest: object) -> str:
    return accounts.issue(signer, bound(seconds, **rest), issuer=issuer, clock=lambda: NOW)


def authenticators(view: Memory | None = None, clock: Clock | None = None, **rest: object) -> Authenticators:
    clock = clock or Clock()
    tokens = AccountTokens(view or cluster(), (SIGNER.verifier,), clock=clock)
    return Authenticators(tokens, clock=clock, **rest)


def with_token(value: str) -> Request:
    return Request("GET", "/", {"authorization": f"Bearer {value}"})


# --- certificates


def certificate(
    name: str = "jane",
    groups: tuple[str, ...] = (),
    begins: float = NOW - 60,
    ends: float = NOW + 60,
    purpose: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.CLIENT_AUTH,
    uid: str = "",
) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    if name:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
    if uid:
        attributes.append(x509.NameAttribute(UID_OID, uid))
    subject = x509.Name(attributes)
    moments = [datetime.datetime.fromtimestamp(t, datetime.UTC) for t in (begins, ends)]
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(moments[0]).not_valid_after(moments[1])
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def by_certificate(der: bytes, **headers: str) -> Request:
    return Request("GET", "/", headers, peer_certificate=der)


def test_a_certificate_names_user_and_groups() -> None:
    user = authenticators()(by_certificate(certificate("jane", ("devs", "ops"), uid="u-1")))
    assert (user.name, user.uid, user.groups) == ("jane", "u-1", ("devs", "ops", "system:authenticated"))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


def test_a_certificate_of_our_own_authority_is_a_node(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path, _ = authority.ensure(Identity("n", "system:node:n1", ("system:nodes",)))
    der = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(serialization.Encoding.DER)
    clock = Clock(datetime.datetime.now(datetime.UTC).timestamp())
    user = authenticators(clock=clock)(by_certificate(der))
    assert user.name == "system:node:n1"
    assert user.groups == ("system:nodes", "system:authenticated")


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(certificate(ends=NOW - 1), id="ended"),
        pytest.param(certificate(begins=NOW + 1), id="not begun"),
        pytest.param(certificate(purpose=ExtendedKeyUsageOID.SERVER_AUTH), id="for servers"),
        pytest.param(b"\x30\x03abc", id="no certificate"),
    ],
)
def test_bad_certificates_are_refused_even_where_anonymous_is_welcome(der: bytes) -> None:
    with pytest.raises(StatusError) as error:
        authenticators()(by_certificate(der))
    assert (error.value.code, str(error.value)) == (401, "Unauthorized")


def test_a_known_certificate_ends_too() -> None:
    clock = Clock()
    read = Certificates(clock)
    der = certificate()
    assert read(der) is read(der), "the second time it is remembered"
    clock.now += 3600
    with pytest.raises(StatusError):
        read(der)


def test_a_certificate_without_a_name_says_nothing() -> None:
    assert authenticators()(by_certificate(certificate("", ("devs",)))).name == "system:anonymous"


def test_remembered_certificates_are_bounded() -> None:
    memory: Bounded[int, int] = Bounded(3)
    for number in range(5):
        memory.put(number, number)
        memory.get(0)
    assert len(memory) == 3 and CACHED <= 4096
    assert memory.get(0) == 0 and memory.get(1) is None


# --- anonymous and static


def test_without_credentials_a_request_is_anonymous_or_refused() -> None:
    user = authenticators()(Request("GET", "/"))
    assert (user.name, user.groups) == ("system:anonymous", ("system:unauthenticated",))
    with pytest.raises(StatusError) as error:
        authenticators(anonymous=False)(Request("GET", "/"))
    assert error.value.code == 401


@pytest.mark.parametrize("header", ["Bearer secret", "bearer secret", "Bearer secret more", " Bearer secret "])
def test_static_tokens(header: str) -> None:
    decide = authenticators(static={"secret": User("root", groups=("system:masters",))})
    user = decide(Request("GET", "/", {"authorization": header}))
    assert (user.name, user.groups) == ("root", ("system:masters", "system:authenticated"))


@pytest.mark.parametrize("header", ["Basic cm9vdDpyb290", "Bearer", "Bearer ", "", "secret"])
def test_headers_that_are_no_bearer_tokens_say_nothing(header: str) -> None:
    decide = authenticators(static={"secret": User("root")})
    assert decide(Request("GET", "/", {"authorization": header})).name == "system:anonymous"


def test_a_websocket_brings_its_token_as_a_protocol() -> None:
    decide = authenticators(static={"secret": User("root")})
    protocols = f"base64url.bearer.authorization.k8s.io.{keys.b64(b'secret')}, v5.channel.k8s.io"
    assert decide(Request("GET", "/", {"sec-websocket-protocol": protocols})).name == "root"


@pytest.mark.parametrize("value", ["wrong", "a.b.c", "e30.e30.e30", "x" * 100_000])
def test_unknown_tokens_are_refused(value: str) -> None:
    with pytest.raises(StatusError) as error:
        authenticators()(with_token(value))
    assert (error.value.code, error.value.reason) == (401, "Unauthorized")


# --- service accounts


def test_an_accounts_token_tells_who_and_what_it_is_bound_to() -> None:
    user = authenticators()(with_token(token(pod=Reference("web", "uid-web"), node=Reference("n1", "uid-n1"))))
    assert user.name == "system:serviceaccount:shop:builder"
    assert user.uid == "uid-builder"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated")
    prefix = "authentication.kubernetes.io/"
    assert user.extra == {
        f"{prefix}credential-id": ("JTI=j",),
        f"{prefix}pod-name": ("web",),
        f"{prefix}pod-uid": ("uid-web",),
        f"{prefix}node-name": ("n1",),
        f"{prefix}node-uid": ("uid-n1",),
    }


def test_claims_are_upstreams() -> None:
    claims = jwt.peek(token(pod=Reference("web", "uid-web")))
    assert claims == {
        "aud": [accounts.ISSUER],
        "exp": int(NOW) + 3600,
        "iat": int(NOW),
        "iss": "https://kubernetes.default.svc.cluster.local",
        "jti": "j",
        "kubernetes.io": {
            "namespace": "shop",
            "pod": {"name": "web", "uid": "uid-web"},
            "serviceaccount": {"name": "builder", "uid": "uid-builder"},
        },
        "nbf": int(NOW),
        "sub": "system:serviceaccount:shop:builder",
    }


def judge(value: str, view: Memory | None = None, now: float = NOW) -> str:
    """What is wrong with a token, in words."""
    try:
        found = authenticators(view, Clock(now)).authenticate_token(value)
    except jwt.TokenError as error:
        return str(error)
    return "" if found else "unknown"


def test_tokens_end_and_begin_with_a_minute_of_leeway() -> None:
    assert judge(token(), now=NOW + 3600 + 59) == ""
    assert judge(token(), now=NOW + 3600 + 61) == "service account token has expired"
    assert judge(token(), now=NOW - 59) == ""
    assert judge(token(), now=NOW - 61) == "service account token is not valid yet"


def test_a_token_dies_with_its_account() -> None:
    view = cluster()
    decide = authenticators(view)
    value = token()
    decide(with_token(value))
    view.remove(core_v1.ServiceAccount, "builder", "shop")
    with pytest.raises(StatusError):
        decide(with_token(value))
    assert judge(value, view) == 'serviceaccount "builder" not found'
    view.put(make("ServiceAccount", "builder", "shop", meta={"uid": "other"}))
    assert judge(value, view) == "service account UID (other) does not match claim (uid-builder)"


@pytest.mark.parametrize(
    ("type", "kind", "name", "word"),
    [
        (core_v1.Pod, "Pod", "web", "pod"),
        (core_v1.Secret, "Secret", "key", "secret"),
        (core_v1.Node, "Node", "n1", "node"),
    ],
)
def test_a_token_dies_with_what_it_is_bound_to(type, kind, name, word) -> None:
    view = cluster()
    value = token(**{word: Reference(name, f"uid-{name}")})
    home = "" if kind == "Node" else "shop"
    assert judge(value, view) == ""
    view.put(make(kind, name, home, meta={"uid": "other"}))
    assert judge(value, view) == (f"{word} UID (other) does not match service account {word} ref claim (uid-{name})")
    ended = {"deletionTimestamp": accounts.rfc3339(NOW - 61)}
    view.put(make(kind, name, home, meta=ended))
    assert judge(value, view) == "service account token has been invalidated"
    view.put(make(kind, name, home, meta={"deletionTimestamp": accounts.rfc3339(NOW - 30)}))
    assert judge(value, view) == "", "what is being deleted keeps its token for the leeway"
    view.remove(type, name, home)
    assert judge(value, view) == "service account token has been invalidated"


def test_a_pods_token_does_not_depend_on_its_node() -> None:
    value = token(pod=Reference("web", "uid-web"), node=Reference("gone", "uid-gone"))
    assert judge(value) == ""


def test_tokens_are_for_their_audience() -> None:
    decide = authenticators()
    value = accounts.issue(SIGNER, Bound("shop", ACCOUNT, ("vault",), NOW + 60), clock=lambda: NOW)
    with pytest.raises(StatusError):
        decide(with_token(value))
    assert judge(value) == (
        'token audiences ["vault"] is invalid for the target audiences ["https://kubernetes.default.svc.cluster.local"]'
    )
    found = decide.authenticate_token(value, ["vault", "other"])
    assert found is not None and found[1] == ("vault",)


def test_only_our_key_and_our_issuer_count() -> None:
    stranger = keys.signer(ec.generate_private_key(ec.SECP256R1()))
    assert judge(token(signer=stranger)) == "invalid signature"
    assert judge(token(issuer="https://elsewhere")) == "unknown"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "ES384"])
def test_the_header_cannot_choose_another_algorithm(algorithm: str) -> None:
    _, claims, signature = token().split(".")
    header = keys.b64(json.dumps({"alg": algorithm}).encode())
    assert judge(f"{header}.{claims}.{signature}") == "invalid signature"


def test_a_changed_token_is_refused_though_the_true_one_is_remembered() -> None:
    view = cluster()
    decide = authenticators(view)
    value = token()
    decide(with_token(value))
    header, claims, signature = value.split(".")
    forged = jwt.peek(value)
    assert forged is not None
    forged["sub"] = "system:serviceaccount:kube-system:root"
    for other in (
        f"{header}.{keys.b64(json.dumps(forged).encode())}.{signature}",
        f"{header}.{claims}.{keys.b64(b'0' * 64)}",
        f"{header}.{claims}.",
    ):
        with pytest.raises(StatusError):
            decide(with_token(other))


def test_a_subject_must_be_the_account() -> None:
    claims = jwt.peek(token())
    assert claims is not None
    claims["sub"] = "system:serviceaccount:shop:root"
    assert judge(jwt.sign(SIGNER, claims)) == "sub claim is invalid"
    del claims["kubernetes.io"]
    assert judge(jwt.sign(SIGNER, claims)) == "service account token claims could not be validated"


def test_tokens_of_secrets_live_as_long_as_the_secret_holds_them() -> None:
    view = cluster()
    value = accounts.issue_legacy(SIGNER, "shop", ACCOUNT, "key")
    assert judge(value, view) == "service account token has been invalidated"
    import base64

    held = {"token": base64.b64encode(value.encode()).decode()}
    view.put(make("Secret", "key", "shop", type=accounts.SECRET_TYPE, data=held))
    user = authenticators(view)(with_token(value))
    assert user.name == "system:serviceaccount:shop:builder" and not user.extra
    view.put(make("Secret", "key", "shop", type=accounts.SECRET_TYPE, data={"token": "b3RoZXI="}))
    assert judge(value, view) == "service account token has been invalidated"


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        rsa.generate_private_key(65537, 2048),
    ],
    ids=["ES256", "ES384", "ES512", "RS256"],
)
def test_every_kind_of_key_signs_and_shows_itself(key, request) -> None:
    signer = keys.signer(key)
    assert signer.verifier.algorithm == request.node.callspec.id
    value = jwt.sign(signer, {"iss": "x"})
    assert jwt.verify(value, [signer.verifier]) == {"iss": "x"}
    shown = json.loads(discovery.keys([signer.verifier]))["keys"][0]
    assert (shown["kid"], shown["alg"], shown["use"]) == (signer.verifier.id, signer.verifier.algorithm, "sig")
    numbers = key.public_key().public_numbers()
    if shown["kty"] == "RSA":
        assert int.from_bytes(keys.unb64(shown["n"])) == numbers.n
    else:
        assert int.from_bytes(keys.unb64(shown["x"])) == numbers.x
        assert int.from_bytes(keys.unb64(shown["y"])) == numbers.y


def test_curves_that_no_token_uses_are_named() -> None:
    with pytest.raises(ValueError, match="curve secp224r1 cannot sign tokens"):
        keys.signer(ec.generate_private_key(ec.SECP224R1()))


def test_the_authoritys_key_signs_tokens(tmp_path: Path) -> None:
    path = Authority(tmp_path).token_key()
    value = jwt.sign(keys.load(path), {"iss": "x"})
    assert jwt.verify(value, [keys.load(path).verifier]) == {"iss": "x"}


def test_the_discovery_document_is_upstreams() -> None:
    url = "https://10.0.0.1:6443/openid/v1/jwks"
    assert json.loads(discovery.configuration([SIGNER.verifier], accounts.ISSUER, url)) == {
        "issuer": accounts.ISSUER,
        "jwks_uri": url,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
