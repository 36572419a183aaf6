from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric import ec

from sampan.apiserver import admission
from sampan.apiserver.authn import AccountTokens
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.tokens import keys
from tests.apiserver_security.memory import Memory, make
from tests.apiserver_security.writing import ask, cluster, run

SIGNER = keys.signer(ec.generate_private_key(ec.SECP256R1()))
TYPE = "kubernetes.io/service-account-token"


def secret(**annotations: str) -> dict[str, object]:
    named = {f"kubernetes.io/service-account.{key}": value for key, value in annotations.items()}
    return make("Secret", "key", "shop", meta={"annotations": named}, type=TYPE)


def fill(view: Memory, document: dict[str, object]) -> dict[str, str]:
    plugins = admission.plugins(view, Authorization(view), SIGNER)
    chosen = next(p for p in plugins if p.name == "ServiceAccountToken")
    assert run(chosen, ask(document)) == ""
    return {k: base64.b64decode(v).decode() for k, v in document.get("data", {}).items()}


def test_a_token_secret_is_filled_in_and_its_token_works() -> None:
    view = cluster(make("ConfigMap", "kube-root-ca.crt", "shop", data={"ca.crt": "CERT"}))
    document = secret(name="default")
    data = fill(view, document)
    assert (data["namespace"], data["ca.crt"]) == ("shop", "CERT")
    assert document["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == "uid-default"
    view.put(document)
    found = AccountTokens(view, (SIGNER.verifier,)).authenticate(data["token"])
    assert found is not None and found[0].name == "system:serviceaccount:shop:default"


def test_a_token_that_is_there_stays() -> None:
    document = {**secret(name="default"), "data": {"token": "bWluZQ=="}}
    assert fill(cluster(), document)["token"] == "mine"


def test_secrets_for_nobody_and_for_another_stay_empty() -> None:
    assert fill(cluster(), secret(name="gone")) == {}
    assert fill(cluster(), secret(name="default", uid="another")) == {}
    opaque = {**secret(name="default"), "type": "Opaque"}
    assert fill(cluster(), opaque) == {}
