"""The requests that ask and are answered at once, for the chain's table of special resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from sampan.api import codec
from sampan.api.kinds import authentication, authorization, core
from sampan.api.kinds.kind import Document, Kind
from sampan.apiserver import negotiation
from sampan.apiserver.authn.authenticators import Authenticators
from sampan.apiserver.authz.authorizer import Authorization
from sampan.apiserver.contracts import Attributes
from sampan.apiserver.resource import Resources, Write
from sampan.apiserver.reviews import access, identity
from sampan.apiserver.reviews.tokenrequest import KIND, TokenRequests
from sampan.apiserver.routes import Route
from sampan.apiserver.tokens.keys import Signer
from sampan.apiserver.verbs.write import body_of, read_document, write_of
from sampan.http.types import Request, Response

Serve = Callable[[Request, Route, Attributes], Awaitable[Response]]
Answer = Callable[[Document, Attributes], Document]


def handlers(
    resources: Resources,
    authenticators: Authenticators,
    authorize: Authorization,
    signer: Signer,
    issuer: str,
) -> dict[tuple[str, str, str], Serve]:
    """(resource, subresource, verb) -> how it is served."""
    requests = TokenRequests(resources.cacher, signer, issuer, authenticators.audiences)
    answers: tuple[tuple[Kind, Answer], ...] = (
        (
            authorization.SUBJECT_ACCESS_REVIEW,
            lambda document, _: access.subject_access_review(document, authorize),
        ),
        (
            authorization.LOCAL_SUBJECT_ACCESS_REVIEW,
            lambda document, asked: access.local_subject_access_review(document, asked.namespace, authorize),
        ),
        (
            authorization.SELF_SUBJECT_ACCESS_REVIEW,
            lambda document, asked: access.self_subject_access_review(document, asked.user, authorize),
        ),
        (
            authorization.SELF_SUBJECT_RULES_REVIEW,
            lambda document, asked: access.self_subject_rules_review(document, asked.user, authorize),
        ),
        (authentication.TOKEN_REVIEW, lambda document, _: identity.token_review(document, authenticators)),
        (
            authentication.SELF_SUBJECT_REVIEW,
            lambda document, asked: identity.self_subject_review(document, asked.user),
        ),
    )
    forms = negotiation.Negotiator(plain=True)
    made: dict[tuple[str, str, str], Serve] = {
        (kind.resource, "", "create"): partial(_review, resources, forms, kind, answer) for kind, answer in answers
    }
    made[core.SERVICE_ACCOUNT.resource, "token", "create"] = partial(_token, resources, forms, requests)
    return made


async def _review(
    resources: Resources,
    forms: negotiation.Negotiator,
    kind: Kind,
    answer: Answer,
    request: Request,
    route: Route,
    attributes: Attributes,
) -> Response:
    write = write_of(request, attributes)
    document = read_document(kind, await body_of(request), request.headers.get("content-type", ""), write)
    await resources.admit_unstored(kind, document, write)
    return _created(request, forms, kind, answer(document, attributes), write)


async def _token(
    resources: Resources,
    forms: negotiation.Negotiator,
    requests: TokenRequests,
    request: Request,
    route: Route,
    attributes: Attributes,
) -> Response:
    write = write_of(request, attributes)
    document = read_document(KIND, await body_of(request), request.headers.get("content-type", ""), write)
    account = requests.prepare(document, route.namespace, route.name)
    await resources.admit_unstored(core.SERVICE_ACCOUNT, document, write)
    return _created(request, forms, KIND, requests.issue(document, account), write)


def _created(request: Request, forms: negotiation.Negotiator, kind: Kind, document: Document, write: Write) -> Response:
    body = codec.encode(codec.decode(kind, document))
    response = negotiation.answer(request, body, forms.form(request), 201)
    if write.warnings:
        response.headers = (*response.headers, *negotiation.warning_headers(write.warnings))
    return response
