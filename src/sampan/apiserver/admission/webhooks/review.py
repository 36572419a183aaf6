"""The question that a webhook is asked, and what its answer means. The texts are upstream's."""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import meta_v1
from sampan.apiserver.admission.base import metadata, text
from sampan.apiserver.contracts import Admission
from sampan.apiserver.reviews.identity import user_info

GROUP = "admission.k8s.io"
VERSIONS = ("v1", "v1beta1")
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class BadAnswer(ValueError):
    """What came back is no answer to the question."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`patch` are operations of a JSON patch, `status` why a write is refused."""

    allowed: bool
    patch: Sequence[Document] = ()
    warnings: Sequence[str] = ()
    status: Document | None = None


def question(admission: Admission, kind: Kind, new: Document | None, old: Document | None, version: str) -> Document:
    """An AdmissionReview about `new` and `old`, which are of the `kind` that the webhook knows."""
    asked = admission.attributes
    request: Document = {
        "uid": str(uuid.uuid4()),
        "kind": _kind(kind, asked.subresource, new),
        "resource": {"group": kind.group, "version": kind.version, "resource": kind.plural},
        "requestKind": _kind(admission.kind, asked.subresource, admission.document),
        "requestResource": {
            "group": admission.kind.group,
            "version": admission.kind.version,
            "resource": admission.kind.plural,
        },
        "name": asked.name or text(metadata(new or {}), "name"),
        "operation": admission.operation,
        "userInfo": user_info(asked.user),
        "object": new,
        "oldObject": old,
        "dryRun": admission.dry_run,
        "options": _options(admission),
    }
    if asked.namespace or admission.kind.resource == "namespaces":
        request["namespace"] = asked.namespace or request["name"]
    if asked.subresource:
        request["subResource"] = request["requestSubResource"] = asked.subresource
    return {"kind": "AdmissionReview", "apiVersion": f"{GROUP}/{version}", "request": request}


def _kind(kind: Kind, part: str, document: Document | None) -> Document:
    """The kind of the body: a subresource's own, when it has one."""
    if part and document is not None:
        name = text(document, "kind") or kind.name
        group, _, version = (text(document, "apiVersion") or kind.api_version).rpartition("/")
        if name != kind.name:
            return {"group": group, "version": version, "kind": name}
    return {"group": kind.group, "version": kind.version, "kind": kind.name}


def _options(admission: Admission) -> Document | None:
    kind = _OPTIONS.get(admission.operation)
    if kind is None:
        return None
    made: Document = {"kind": kind, "apiVersion": "meta.k8s.io/v1", **admission.options}
    if admission.dry_run:
        made["dryRun"] = ["All"]
    return made


def version_of(accepted: Sequence[str]) -> str:
    """The version of the review in which the webhook is spoken to: the first that we know, too."""
    return next((version for version in accepted if version in VERSIONS), VERSIONS[0])


def answer(review: Document, body: bytes, *, mutating: bool) -> Verdict:
    """What an answer says. Raises BadAnswer."""
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"the answer is no JSON: {error}") from None
    response = given.get("response") if isinstance(given, dict) else None
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    wanted = (review["apiVersion"], review["kind"])
    found = (given.get("apiVersion"), given.get("kind"))
    strict = review["apiVersion"] == f"{GROUP}/v1"
    if strict and found != wanted:
        raise BadAnswer(f"expected webhook response of {_shown(*wanted)}, got {_shown(*found)}")
    uid = review["request"]["uid"]
    if strict and response.get("uid") != uid:
        raise BadAnswer(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    status = response.get("status")
    return Verdict(
        response.get("allowed") is True,
        _patch(response, strict=strict, mutating=mutating),
        [each for each in response.get("warnings") or () if isinstance(each, str)],
        status if isinstance(status, dict) else None,
    )


def _shown(api_version: Any, kind: Any) -> str:
    return f"{api_version or ''}, Kind={kind or ''}"


def _patch(response: Document, *, strict: bool, mutating: bool) -> Sequence[Document]:
    given, type = response.get("patch"), response.get("patchType")
    if not mutating:
        if strict and given:
            raise BadAnswer("validating webhook may not return response.patch")
        if strict and type:
            raise BadAnswer("validating webhook may not return response.patchType")
        return ()
    if strict and given and not type:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    if strict and type and not given:
        raise BadAnswer("webhook returned response.patchType but not response.patch")
    if type not in (None, "", "JSONPatch"):
        raise BadAnswer(f'webhook returned invalid response.patchType of "{type}"')
    if not given:
        return ()
    try:
        patch = msgspec.json.decode(base64.b64decode(str(given), validate=True))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"received undecodable patch in webhook response: {error}") from None
    if not isinstance(patch, list) or not all(isinstance(each, dict) for each in patch):
        raise BadAnswer("received undecodable patch in webhook response: it is no list of operations")
    return patch


def denial(name: str, status: Document | None) -> StatusError:
    """The refusal as the client sees it: the webhook's own Status, which may not look like a success."""
    given = dict(status or {})
    code, reason = given.get("code"), given.get("reason")
    by = f'admission webhook "{name}" denied the request'
    why = given.get("message") or reason
    given |= {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code if isinstance(code, int) and 400 <= code < 600 else 400,
        "message": f"{by}: {why}" if why else f"{by} without explanation",
    }
    try:
        return StatusError(msgspec.convert(given, meta_v1.Status))
    except msgspec.ValidationError:
        plain = {key: given[key] for key in ("kind", "apiVersion", "status", "code", "message")}
        return StatusError(msgspec.convert(plain, meta_v1.Status))
