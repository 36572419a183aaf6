"""Questions about permissions: may somebody, may I, what may I. Each function fills a document's status."""

from __future__ import annotations

from typing import Any

import msgspec

from sampan.api import codec
from sampan.api.errors import bad_request, invalid_error
from sampan.api.kinds import authorization as kinds
from sampan.api.kinds.kind import Document, Kind
from sampan.api.types import authorization_v1 as types
from sampan.api.user import User
from sampan.apiserver.authn import users
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.contracts import Attributes, Authorizer

Spec = types.SubjectAccessReviewSpec | types.SelfSubjectAccessReviewSpec


def subject_access_review(document: Document, authorize: Authorizer) -> Document:
    """May the user of the spec? Raises Invalid."""
    review: types.SubjectAccessReview = _read(kinds.SUBJECT_ACCESS_REVIEW, document)
    return _answered(document, _subject(review.spec), review.spec, authorize)


def local_subject_access_review(document: Document, namespace: str, authorize: Authorizer) -> Document:
    """The same within one namespace, which the question may not leave. Raises BadRequest, Invalid."""
    asked = (document.get("spec", {}).get("resourceAttributes") or {}).get("namespace", "")
    if document.get("spec", {}).get("resourceAttributes") and asked != namespace:
        raise bad_request(f"spec.resourceAttributes.namespace must match namespace: {namespace}")
    document.setdefault("metadata", {})["namespace"] = namespace
    review: types.LocalSubjectAccessReview = _read(kinds.LOCAL_SUBJECT_ACCESS_REVIEW, document)
    return _answered(document, _subject(review.spec), review.spec, authorize)


def self_subject_access_review(document: Document, user: User, authorize: Authorizer) -> Document:
    """May I? Raises Invalid."""
    review: types.SelfSubjectAccessReview = _read(kinds.SELF_SUBJECT_ACCESS_REVIEW, document)
    return _answered(document, user, review.spec, authorize)


def self_subject_rules_review(document: Document, user: User, authorization: Authorization) -> Document:
    """What may I in a namespace? Raises BadRequest without a namespace."""
    namespace = document.get("spec", {}).get("namespace") or ""
    if not namespace:
        raise bad_request("no namespace on request")
    rules, errors = authorization.rules_for(user, namespace)
    # What a node may do follows from its pods, which no list of rules can say.
    is_node = bool(users.node_name(user))
    if is_node:
        errors = ["node authorizer does not support user rule resolution", *errors]
    status: Document = {"resourceRules": [], "nonResourceRules": [], "incomplete": is_node}
    for rule in rules:
        if rule.resources:
            status["resourceRules"].append(
                _filled(
                    verbs=rule.verbs,
                    apiGroups=rule.apiGroups,
                    resources=rule.resources,
                    resourceNames=rule.resourceNames,
                )
            )
        if rule.nonResourceURLs:
            status["nonResourceRules"].append(_filled(verbs=rule.verbs, nonResourceURLs=rule.nonResourceURLs))
    if errors:
        status["evaluationError"] = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
    return {**document, "spec": {}, "status": status}


def _filled(**lists: tuple[str, ...]) -> Document:
    return {name: list(values) for name, values in lists.items() if values}


def _read(kind: Kind, document: Document) -> Any:
    review: msgspec.Struct = codec.decode(kind, document)
    errors = kind.validate(review)
    if errors:
        raise invalid_error(kind.name, kind.group, "", errors)
    return review


def _subject(spec: types.SubjectAccessReviewSpec) -> User:
    extra = {key.lower(): values for key, values in spec.extra.items()}
    return User(spec.user or "", spec.uid or "", spec.groups, extra)


def _answered(document: Document, user: User, spec: Spec, authorize: Authorizer) -> Document:
    decision = authorize(attributes_of(user, spec))
    status: Document = {"allowed": decision.allowed}
    if decision.reason:
        status["reason"] = decision.reason
    if decision.evaluation_error:
        status["evaluationError"] = decision.evaluation_error
    return {**document, "status": status}


def attributes_of(user: User, spec: Spec) -> Attributes:
    """The question of a review."""
    asked = spec.resourceAttributes
    if asked is not None:
        return Attributes(
            user,
            asked.verb or "",
            "",
            True,
            asked.group or "",
            asked.version or "",
            asked.resource or "",
            asked.subresource or "",
            asked.namespace or "",
            asked.name or "",
        )
    path = spec.nonResourceAttributes
    return Attributes(user, (path and path.verb) or "", (path and path.path) or "")
