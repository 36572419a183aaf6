"""Questions about identities: who is behind a token, who am I."""

from __future__ import annotations

from sampan.api.errors import bad_request
from sampan.api.kinds.kind import Document
from sampan.api.user import User
from sampan.apiserver.authn.authenticators import Authenticators
from sampan.apiserver.tokens.jwt import TokenError

INVALID = "invalid bearer token"


def token_review(document: Document, authenticators: Authenticators) -> Document:
    """Who is behind the spec's token, for the audiences that the spec names or ours. Raises BadRequest."""
    spec = document.get("spec", {})
    token = spec.get("token") or ""
    if not token:
        raise bad_request("token is required for TokenReview in authentication")
    audiences = spec.get("audiences") or authenticators.audiences
    status: Document = {}
    try:
        found = authenticators.authenticate_token(token, audiences)
    except TokenError as error:
        status["error"] = f"[{INVALID}, {error}]"
    else:
        if found is None:
            status["error"] = INVALID
        else:
            user, fitting = found
            status |= {"authenticated": True, "user": user_info(user)}
            if fitting:
                status["audiences"] = list(fitting)
    return {**document, "status": status}


def self_subject_review(document: Document, user: User) -> Document:
    return {**document, "status": {"userInfo": user_info(user)}}


def user_info(user: User) -> Document:
    """authentication.k8s.io UserInfo; what is empty is left out."""
    made: Document = {"username": user.name}
    if user.uid:
        made["uid"] = user.uid
    if user.groups:
        made["groups"] = list(user.groups)
    if user.extra:
        made["extra"] = {key: list(values) for key, values in user.extra.items()}
    return made
