"""Kinds of authentication.k8s.io/v1."""

from __future__ import annotations

from sampan.api.kinds.kind import Kind
from sampan.api.types import authentication_v1

SELF_SUBJECT_REVIEW = Kind(
    authentication_v1.SelfSubjectReview,
    "authentication.k8s.io",
    "v1",
    "selfsubjectreviews",
    namespaced=False,
    verbs=("create",),
    stored=False,
)
TOKEN_REVIEW = Kind(
    authentication_v1.TokenReview,
    "authentication.k8s.io",
    "v1",
    "tokenreviews",
    namespaced=False,
    verbs=("create",),
    stored=False,
)

KINDS = (
    SELF_SUBJECT_REVIEW,
    TOKEN_REVIEW,
)
