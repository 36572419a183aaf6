"""ServiceAccount: every pod has an account, and a way to its token, the cluster's CA and its namespace's name."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable

from sampan.api.defaults.document import each, given, section
from sampan.api.kinds.kind import Document
from sampan.api.types import core_v1
from sampan.apiserver.admission.base import Plugin, is_mirror, items, refuse, text
from sampan.apiserver.admission.waiting import Appears
from sampan.apiserver.authz import references
from sampan.apiserver.contracts import Admission, View

DEFAULT = "default"
PREFIX = "kube-api-access-"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607
ENFORCE_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class ServiceAccount(Plugin):
    name = "ServiceAccount"
    handles = ("pods",)

    def __init__(self, view: View, appears: Appears | None = None) -> None:
        self._view = view
        self._appears = appears

    def admit(self, admission: Admission) -> Awaitable[None] | None:
        pod = admission.document
        if admission.operation != "CREATE" or admission.attributes.subresource or pod is None or is_mirror(pod):
            return None
        spec = section(pod, "spec")
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = DEFAULT
        name = text(spec, "serviceAccountName")
        # The deprecated name of the same field is always shown with it.
        spec["serviceAccount"] = spec["serviceAccountName"]
        namespace = admission.attributes.namespace
        if name == DEFAULT and self._appears and not self._view.get(core_v1.ServiceAccount, name, namespace):
            return self._complete_later(self._appears, admission, spec, name)
        self._complete(admission, spec, name)
        return None

    async def _complete_later(self, appears: Appears, admission: Admission, spec: Document, name: str) -> None:
        await appears(admission.attributes.namespace)
        self._complete(admission, spec, name)

    def _complete(self, admission: Admission, spec: Document, name: str) -> None:
        account = self._account(admission, name)
        if _automounts(account, spec):
            mount_token(spec)
        if not spec.get("imagePullSecrets") and account.imagePullSecrets:
            spec["imagePullSecrets"] = [{"name": secret.name} for secret in account.imagePullSecrets]

    def validate(self, admission: Admission) -> None:
        pod = admission.document
        if admission.operation != "CREATE" or admission.attributes.subresource or pod is None:
            return
        spec = section(pod, "spec")
        if is_mirror(pod):
            _judge_mirror(admission, pod)
            return
        name = text(spec, "serviceAccountName")
        if not name:
            raise refuse(admission, f"no service account specified for pod {admission.attributes.namespace}/")
        account = self._account(admission, name)
        if account.metadata.annotations.get(ENFORCE_MOUNTABLE) == "true":
            _judge_secrets(admission, spec, account)

    def _account(self, admission: Admission, name: str) -> core_v1.ServiceAccount:
        namespace = admission.attributes.namespace
        account = self._view.get(core_v1.ServiceAccount, name, namespace)
        if account is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise refuse(admission, why)
        return account


def _automounts(account: core_v1.ServiceAccount, spec: Document) -> bool:
    """The pod's word before the account's; yes when neither says anything."""
    wish = spec.get("automountServiceAccountToken")
    if isinstance(wish, bool):
        return wish
    return account.automountServiceAccountToken is not False


def mount_token(spec: Document) -> None:
    """Give every container the volume with the token, unless it has something of its own at the usual place."""
    existing = next((text(v, "name") for v in each(spec, "volumes") if text(v, "name").startswith(PREFIX)), "")
    name = existing or PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(5))
    needed = False
    for key in ("initContainers", "containers"):
        for container in each(spec, key):
            if any(mount.get("mountPath") == MOUNT_PATH for mount in each(container, "volumeMounts")):
                continue
            items(container, "volumeMounts").append({"name": name, "readOnly": True, "mountPath": MOUNT_PATH})
            needed = True
    if needed and not existing:
        items(spec, "volumes").append({"name": name, "projected": token_source()})


def token_source() -> Document:
    """What the volume is made of: token, CA and namespace."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 0o644,
    }


def _judge_mirror(admission: Admission, pod: Document) -> None:
    spec = section(pod, "spec")
    if spec.get("serviceAccountName"):
        raise refuse(admission, "a mirror pod may not reference service accounts")
    if any(plural == "secrets" for plural, _ in references.of_document(pod)):
        raise refuse(admission, "a mirror pod may not reference secrets")
    for volume in each(spec, "volumes"):
        for source in each(given(volume, "projected") or {}, "sources"):
            if "serviceAccountToken" in source:
                raise refuse(admission, "a mirror pod may not use ServiceAccountToken volume projections")


def _judge_secrets(admission: Admission, spec: Document, account: core_v1.ServiceAccount) -> None:
    """Accounts that ask for it limit their pods to the Secrets they list."""
    mountable = {secret.name for secret in account.secrets}
    name = account.metadata.name
    rest = f"is not allowed because service account {name} does not reference that"
    for volume in each(spec, "volumes"):
        secret = text(given(volume, "secret") or {}, "secretName")
        if secret and secret not in mountable:
            raise refuse(admission, f'volume with secret.secretName="{secret}" {rest} secret')
    for key, word in (("initContainers", "init container"), ("containers", "container")):
        for container in each(spec, key):
            for variable in each(container, "env"):
                secret = text(given(given(variable, "valueFrom") or {}, "secretKeyRef") or {}, "name")
                if secret and secret not in mountable:
                    where = f"{word} {container.get('name')} with envVar {variable.get('name')}"
                    raise refuse(admission, f'{where} referencing secret.secretName="{secret}" {rest} secret')
    pullable = {secret.name for secret in account.imagePullSecrets}
    for at, reference in enumerate(each(spec, "imagePullSecrets")):
        secret = text(reference, "name")
        if secret not in pullable:
            raise refuse(admission, f'imagePullSecrets[{at}].name="{secret}" {rest} imagePullSecret')
