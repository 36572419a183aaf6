"""Who stands behind a request, and whether they may fetch or push.

A client certificate of the cluster's CA, or a bearer token of the API: as such, or as the password of HTTP Basic with
any user name, which is what git asks people for.
"""

from __future__ import annotations

import base64
import binascii

from sampan.api.types.authorization_v1 import ResourceAttributes
from sampan.client.client import FAILURES
from sampan.delivery.git.paths import Place, Wrong
from sampan.http.types import Request
from sampan.runtime.access import Caller, Reviewer

CHALLENGE = (("WWW-Authenticate", 'Basic realm="sampan: any user name, and a token of the cluster as password"'),)
LONGEST = 64 * 1024
"""Characters of a token at most, as the API server has it."""


def token_of(header: str) -> str:
    """The token in an Authorization header; "" without one that we understand."""
    kind, _, value = header.partition(" ")
    value = value.strip()
    if kind.lower() == "bearer":
        return value
    if kind.lower() != "basic":
        return ""
    try:
        pair = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    return pair.partition(":")[2]


class Access:
    """Raises Wrong with what git shows to the person."""

    def __init__(self, reviewer: Reviewer) -> None:
        self._reviewer = reviewer

    async def caller(self, request: Request) -> Caller:
        if request.peer_certificate is not None:
            return self._reviewer.of_certificate(request.peer_certificate)
        token = token_of(request.headers.get("authorization", ""))
        if not token or len(token) > LONGEST or not token.isascii() or not token.isprintable():
            raise Wrong(
                401,
                "who are you? give a token as password (sampan create token NAME), or use `sampan remote`",
                CHALLENGE,
            )
        try:
            caller = await self._reviewer.of_token(token)
        except FAILURES as error:
            raise Wrong(503, f"the API server cannot be asked who this is: {error}") from error
        if caller is None:
            raise Wrong(
                401, "the token is wrong, or its time is over: make another one (sampan create token NAME)", CHALLENGE
            )
        return caller

    async def check(self, caller: Caller, place: Place, *, pushes: bool) -> None:
        verb, resource = ("create", "pipelineruns") if pushes else ("get", "apps")
        attributes = ResourceAttributes(
            verb=verb,
            group="sampan.dev",
            version="v1",
            resource=resource,
            namespace=place.namespace,
            # An object that is to be made has no name yet.
            name=None if pushes else place.app,
        )
        try:
            allowed = await self._reviewer.may(caller, attributes)
        except FAILURES as error:
            raise Wrong(503, f"the API server cannot be asked who may do this: {error}") from error
        if not allowed:
            what = "push to" if pushes else "read"
            raise Wrong(
                403,
                f"{caller.name} may not {what} {place}: it takes the right to {verb} {resource}.sampan.dev in "
                f"namespace {place.namespace} (role {'edit' if pushes else 'view'})",
            )
