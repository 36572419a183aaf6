"""Secrets of type kubernetes.io/service-account-token are filled in as they come: token, CA and namespace.

Upstream's token controller does this soon after; here the key stays with the API server, so it happens at once.
"""

from __future__ import annotations

import base64

from sampan.api.defaults.document import section
from sampan.api.types import core_v1
from sampan.apiserver.admission.base import Plugin, is_plain, metadata, text
from sampan.apiserver.contracts import Admission, View
from sampan.apiserver.tokens import accounts
from sampan.apiserver.tokens.keys import Signer

ROOT_CA = "kube-root-ca.crt"


class ServiceAccountToken(Plugin):
    name = "ServiceAccountToken"
    handles = ("secrets",)

    def __init__(self, view: View, signer: Signer) -> None:
        self._view = view
        self._signer = signer

    def admit(self, admission: Admission) -> None:
        secret = admission.document
        if admission.operation not in ("CREATE", "UPDATE") or secret is None or not is_plain(admission):
            return
        if secret.get("type") != accounts.SECRET_TYPE:
            return
        annotations = section(metadata(secret), "annotations")
        name, namespace = text(annotations, accounts.NAME_ANNOTATION), admission.attributes.namespace
        account = self._view.get(core_v1.ServiceAccount, name, namespace) if name else None
        if account is None or not account.metadata.uid:
            return
        # A Secret made for an account that was there before stays without a token of its successor.
        if annotations.setdefault(accounts.UID_ANNOTATION, account.metadata.uid) != account.metadata.uid:
            return
        data = section(secret, "data")
        reference = accounts.Reference(name, account.metadata.uid)
        if not data.get("token"):
            token = accounts.issue_legacy(self._signer, namespace, reference, text(metadata(secret), "name"))
            data["token"] = _b64(token)
        data.setdefault("namespace", _b64(namespace))
        root = self._view.get(core_v1.ConfigMap, ROOT_CA, namespace)
        if root is not None and "ca.crt" in root.data:
            data.setdefault("ca.crt", _b64(root.data["ca.crt"]))


def _b64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
