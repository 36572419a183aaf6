"""TokenRequest: a token for a service account, bound to a pod, a Secret or a node when asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sampan.api import codec
from sampan.api.errors import StatusError, bad_request, conflict, invalid_error, not_found_error
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import authentication_v1, core_v1
from sampan.api.validation import auth as rules
from sampan.apiserver.contracts import View
from sampan.apiserver.tokens import accounts
from sampan.apiserver.tokens.accounts import Bound, Reference
from sampan.apiserver.tokens.keys import Signer

KIND = Kind(
    authentication_v1.TokenRequest,
    "authentication.k8s.io",
    "v1",
    "tokenrequests",
    verbs=("create",),
    validate=rules.validate_token_request,
    stored=False,
)
DEFAULT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class TokenRequests:
    """Answers TokenRequests with tokens that `signer` signs; `audiences` are meant when a request names none."""

    view: View
    signer: Signer
    issuer: str = accounts.ISSUER
    audiences: Sequence[str] = ()
    clock: Callable[[], float] = time.time

    def prepare(self, document: Document, namespace: str, name: str) -> core_v1.ServiceAccount:
        """Judge the request and fill in what it leaves out, the audiences aside: admission sees whether there were any.

        Raises NotFound, BadRequest, Invalid.
        """
        account = self.view.get(core_v1.ServiceAccount, name, namespace)
        if account is None:
            raise not_found_error("serviceaccounts", "", name)
        metadata = document.setdefault("metadata", {})
        for key, value in (("name", name), ("namespace", namespace)):
            if metadata.setdefault(key, value) != value:
                raise bad_request(f"the {key} of the token request must match the service account's {key} ({value})")
        spec = document.setdefault("spec", {})
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = DEFAULT_SECONDS
        errors = KIND.validate(codec.decode(KIND, document))
        if errors:
            raise invalid_error(KIND.name, KIND.group, "", errors)
        return account

    def issue(self, document: Document, account: core_v1.ServiceAccount) -> Document:
        """The request with its token. Raises NotFound, BadRequest, Conflict for what it shall be bound to."""
        request: authentication_v1.TokenRequest = codec.decode(KIND, document)
        audiences = request.spec.audiences or tuple(self.audiences) or (self.issuer,)
        now = self.clock()
        expires = int(now) + (request.spec.expirationSeconds or DEFAULT_SECONDS)
        bound = Bound(
            account.metadata.namespace or "",
            Reference(account.metadata.name or "", account.metadata.uid or ""),
            audiences,
            expires,
        )
        if request.spec.boundObjectRef is not None:
            bound = self._bind(bound, request.spec.boundObjectRef)
        token = accounts.issue(self.signer, bound, issuer=self.issuer, clock=self.clock)
        metadata = {**document["metadata"], "creationTimestamp": accounts.rfc3339(now)}
        spec = {**document["spec"], "audiences": list(audiences)}
        status = {"token": token, "expirationTimestamp": accounts.rfc3339(expires)}
        return {**document, "metadata": metadata, "spec": spec, "status": status}

    def _bind(self, bound: Bound, wanted: authentication_v1.BoundObjectReference) -> Bound:
        name, kind, namespace = wanted.name or "", wanted.kind or "", bound.namespace
        group, _, version = (wanted.apiVersion or "").rpartition("/")
        match (group, kind):
            case ("", "Pod"):
                pod = self.view.get(core_v1.Pod, name, namespace)
                found: core_v1.Pod | core_v1.Secret | core_v1.Node | None = pod
                if pod is not None and (pod.spec.serviceAccountName or "") != bound.account.name:
                    raise bad_request(
                        f'cannot bind token for serviceaccount "{bound.account.name}" to pod running with different '
                        "serviceaccount name."
                    )
                made = replace(bound, pod=_reference(pod), node=self._node(pod))
            case ("", "Secret"):
                found = self.view.get(core_v1.Secret, name, namespace)
                made = replace(bound, secret=_reference(found))
            case ("", "Node"):
                found = self.view.get(core_v1.Node, name)
                made = replace(bound, node=_reference(found))
            case _:
                raise bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        if found is None:
            raise not_found_error(f"{kind.lower()}s", "", name)
        if wanted.uid and wanted.uid != found.metadata.uid:
            raise _another(wanted)
        return made

    def _node(self, pod: core_v1.Pod | None) -> Reference | None:
        """The pod's node, for information; it may be gone."""
        if pod is None or not pod.spec.nodeName:
            return None
        node = self.view.get(core_v1.Node, pod.spec.nodeName)
        return Reference(pod.spec.nodeName, (node.metadata.uid if node is not None else None) or "")


def _reference(found: core_v1.Pod | core_v1.Secret | core_v1.Node | None) -> Reference | None:
    return None if found is None else Reference(found.metadata.name or "", found.metadata.uid or "")


def _another(wanted: authentication_v1.BoundObjectReference) -> StatusError:
    why = (
        f"the UID in the bound object reference ({wanted.uid}) does not match the UID in record. "
        "The object might have been deleted and then recreated"
    )
    return conflict(wanted.kind or "", "", wanted.name or "", why)
