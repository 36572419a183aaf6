"""Kinds of authorization.k8s.io/v1."""

from __future__ import annotations

from sampan.api.kinds.kind import Kind
from sampan.api.types import authorization_v1
from sampan.api.validation import auth as auth_rules

LOCAL_SUBJECT_ACCESS_REVIEW = Kind(
    authorization_v1.LocalSubjectAccessReview,
    "authorization.k8s.io",
    "v1",
    "localsubjectaccessreviews",
    verbs=("create",),
    stored=False,
    validate=auth_rules.validate_local_subject_access_review,
)
SELF_SUBJECT_ACCESS_REVIEW = Kind(
    authorization_v1.SelfSubjectAccessReview,
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    namespaced=False,
    verbs=("create",),
    stored=False,
    validate=auth_rules.validate_self_subject_access_review,
)
SELF_SUBJECT_RULES_REVIEW = Kind(
    authorization_v1.SelfSubjectRulesReview,
    "authorization.k8s.io",
    "v1",
    "selfsubjectrulesreviews",
    namespaced=False,
    verbs=("create",),
    stored=False,
)
SUBJECT_ACCESS_REVIEW = Kind(
    authorization_v1.SubjectAccessReview,
    "authorization.k8s.io",
    "v1",
    "subjectaccessreviews",
    namespaced=False,
    verbs=("create",),
    stored=False,
    validate=auth_rules.validate_subject_access_review,
)

KINDS = (
    LOCAL_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_ACCESS_REVIEW,
    SELF_SUBJECT_RULES_REVIEW,
    SUBJECT_ACCESS_REVIEW,
)
