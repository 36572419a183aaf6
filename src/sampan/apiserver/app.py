"""The chain that every request passes, top to bottom:

    who (authentication, impersonation) -> what (route, attributes) -> may they (authorization)
        -> how much at once (in-flight limits) -> the verb -> Status for whatever went wrong

Reads that need no waiting are answered without a task; everything else is a coroutine with a deadline.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sampan.api import selectors
from sampan.api.errors import (
    StatusError,
    internal,
    method_not_supported,
    service_unavailable,
    status_error,
    too_many_requests,
)
from sampan.api.types import meta_v1
from sampan.apiserver import negotiation, traits
from sampan.apiserver.authn.impersonation import asked as wants_impersonation
from sampan.apiserver.authn.impersonation import impersonate
from sampan.apiserver.authz.messages import forbidden
from sampan.apiserver.contracts import Attributes, Authenticator, Authorizer
from sampan.apiserver.documents import Documents
from sampan.apiserver.metrics import Metrics
from sampan.apiserver.routes import Route, Router, verb_of
from sampan.apiserver.subresources.parts import PARTS
from sampan.apiserver.subresources.parts import serve as serve_part
from sampan.apiserver.verbs.read import Reader
from sampan.apiserver.verbs.watch import Watcher
from sampan.apiserver.verbs.write import Writer
from sampan.http.errors import Disconnected, TimedOut
from sampan.http.types import Request, Response
from sampan.store.types import StoreError

log = logging.getLogger(__name__)

READING = 400
MUTATING = 200
DEADLINE = 60.0
ANY_CUSTOM = "*"
"""Stands for every custom resource among the special requests."""
LONG = frozenset(("log", "artifacts", "exec", "attach", "portforward", "proxy"))
_NOT_ALLOWED = "the server does not allow this method on the requested resource"
_NOT_FOUND = "the server could not find the requested resource"

Answer = Response | Awaitable[Response]
Serve = Callable[[Request, Route, Attributes], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the chain is made of. `special` serves subresources and unstored kinds by (resource, subresource, verb).

    `pages` answers paths that are for everybody, before it is asked who wants them; None for any other path.
    """

    router: Router
    documents: Documents
    authenticate: Authenticator
    authorize: Authorizer
    reader: Reader
    watcher: Watcher
    writer: Writer
    metrics: Metrics
    special: dict[tuple[str, str, str], Serve]
    pages: Callable[[Request], Response | None] | None = None


class App:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._metrics = parts.metrics
        self._methods: dict[str, Serve] = {
            "create": parts.writer.create,
            "update": parts.writer.update,
            "patch": parts.writer.patch,
            "delete": parts.writer.delete,
            "deletecollection": parts.writer.delete_collection,
        }

    def handle(self, request: Request) -> Answer:
        """The server's Handler (http.types)."""
        started = time.perf_counter()
        route: Route | None = None
        verb = request.method.lower()
        try:
            route = self._parts.router.find(request.raw_path)
            if route is None and self._parts.pages is not None:
                page = self._parts.pages(request)
                if page is not None:
                    return page
            if route is not None:
                verb = verb_of(request.method, route, self._watching(request, route))
                if not verb:
                    raise _no_method(route, request.method)
            attributes = self._admit(request, route, verb)
            if route is None:
                answer: Answer = self._document(request)
            else:
                answer = self._resource(request, route, attributes)
        except StatusError as error:
            answer = negotiation.failure(error)
        except Exception:
            log.exception("%s %s failed", request.method, request.raw_path)
            answer = negotiation.failure(internal("the server failed; its log says more"))
        if isinstance(answer, Response):
            self._done(route, verb, answer, started)
            return answer
        return self._finish(request, route, verb, answer, started)

    def _watching(self, request: Request, route: Route) -> bool:
        return route.watch or ("watch=" in request.target and request.param("watch") in ("true", "1", ""))

    def _admit(self, request: Request, route: Route | None, verb: str) -> Attributes:
        """Who asks and may they. Raises Unauthorized, Forbidden."""
        parts = self._parts
        user = request.context.get("user") or parts.authenticate(request)
        if route is None:
            path = request.path
            if wants_impersonation(request.headers):
                user = impersonate(user, request.headers, parts.authorize, path)
            attributes = Attributes(user, verb, path)
        else:
            if wants_impersonation(request.headers):
                user = impersonate(user, request.headers, parts.authorize, request.path)
            kind = route.kind
            attributes = Attributes(
                user,
                verb,
                request.raw_path,
                True,
                kind.group,
                kind.version,
                kind.plural,
                route.part,
                route.namespace,
                route.name or _selected_name(request, verb),
            )
        decision = parts.authorize(attributes)
        if not decision.allowed:
            raise forbidden(attributes, decision.reason)
        return attributes

    def _document(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            if self._parts.documents.serve(request) is not None:
                raise status_error(405, "MethodNotAllowed", _NOT_ALLOWED)
            raise _not_found()
        response = self._parts.documents.serve(request)
        if response is None:
            raise _not_found()
        return response

    def _resource(self, request: Request, route: Route, attributes: Attributes) -> Answer:
        kind, verb, parts = route.kind, attributes.verb, self._parts
        if route.part:
            return self._subresource(request, route, attributes)
        special = parts.special.get((kind.resource, "", verb))
        if special is not None:
            return special(request, route, attributes)
        if not kind.stored or verb not in kind.verbs:
            raise _no_method(route, request.method)
        if verb == "get":
            return parts.reader.get(request, route)
        if verb == "list":
            return parts.reader.list_all(request, route)
        if verb == "watch":
            return parts.watcher.watch(request, route)
        named = verb in ("update", "patch")
        if (verb == "create" and kind.namespaced and not route.namespace) or (
            bool(route.name) != named and _strict(verb)
        ):
            raise _no_method(route, request.method)
        return self._methods[verb](request, route, attributes)

    def _subresource(self, request: Request, route: Route, attributes: Attributes) -> Answer:
        kind, sub, verb, parts = route.kind, route.subresource, attributes.verb, self._parts
        if sub is None:
            raise _not_found()
        if verb not in sub.verbs:
            raise _no_method(route, request.method)
        special = parts.special.get((kind.resource if kind.custom is None else ANY_CUSTOM, sub.name, verb))
        if special is not None:
            return special(request, route, attributes)
        if verb == "get":
            return parts.reader.get(request, route)
        merge = PARTS.get((kind.resource, sub.name))
        if merge is not None:
            return serve_part(parts.writer, request, route, attributes, merge)
        if sub.replaces:
            if verb == "update":
                return parts.writer.update(request, route, attributes, sub.name)
            return parts.writer.patch(request, route, attributes, sub.name)
        raise _no_method(route, request.method)

    async def _finish(
        self, request: Request, route: Route | None, verb: str, waiting: Awaitable[Response], started: float
    ) -> Response:
        """Wait for the verb within the limits, and make a Status of what went wrong."""
        kind_of = "readOnly" if verb in ("get", "list", "watch") else "mutating"
        inflight = self._metrics.inflight
        long = verb == "watch" or (route is not None and route.part in LONG)
        try:
            if long:
                response = await waiting
            elif inflight[kind_of] >= (READING if kind_of == "readOnly" else MUTATING):
                _discard(waiting)
                raise too_many_requests("Too many requests, please try again later.")
            else:
                inflight[kind_of] += 1
                try:
                    async with asyncio.timeout(DEADLINE):
                        response = await waiting
                finally:
                    inflight[kind_of] -= 1
        except StatusError as error:
            response = negotiation.failure(error)
        except TimeoutError:
            response = negotiation.failure(
                status_error(504, "Timeout", f"the server did not finish within {DEADLINE:g} seconds")
            )
        except StoreError as error:
            response = negotiation.failure(service_unavailable(str(error)))
        except (Disconnected, TimedOut, asyncio.CancelledError):
            raise  # the connection's own business: nobody waits for an answer, or 408 is the one
        except Exception:
            log.exception("%s %s failed", request.method, request.raw_path)
            response = negotiation.failure(internal("the server failed; its log says more"))
        self._done(route, verb, response, started)
        return response

    def _done(self, route: Route | None, verb: str, response: Response, started: float) -> None:
        if route is None:
            return
        kind = route.kind
        if (kind.group, kind.plural) in traits.DEPRECATED:
            text = traits.DEPRECATED[kind.group, kind.plural]
            response.headers = (*response.headers, *negotiation.warning_headers((text,)))
        elif kind.custom is not None and kind.custom.warning:
            response.headers = (*response.headers, *negotiation.warning_headers((kind.custom.warning,)))
        scope = "resource" if route.name else ("namespace" if route.namespace else "cluster")
        key = (verb.upper(), kind.group, kind.version, kind.plural, route.part, scope)
        self._metrics.count(key, response.status, time.perf_counter() - started)


def _strict(verb: str) -> bool:
    """Whether the verb belongs to the collection or to the object only, by POST, PUT or PATCH."""
    return verb in ("create", "update", "patch")


def _discard(waiting: Any) -> None:
    """A coroutine that will not run is closed, so that nothing waits for it."""
    close = getattr(waiting, "close", None)
    if close is not None:
        close()


def _not_found() -> StatusError:
    details = meta_v1.StatusDetails()
    return status_error(404, "NotFound", _NOT_FOUND, details)


def _no_method(route: Route, method: str) -> StatusError:
    words = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    if method not in words:
        return status_error(405, "MethodNotAllowed", _NOT_ALLOWED)
    return method_not_supported(route.kind.plural, route.kind.group, words[method])


def _selected_name(request: Request, verb: str) -> str:
    """The one object that a list or watch selects by its name: who may read that one may read it so, too."""
    if verb not in ("list", "watch", "deletecollection") or "fieldSelector=" not in request.target:
        return ""
    try:
        return selectors.fields(request.param("fieldSelector")).required("metadata.name") or ""
    except selectors.SelectorError:
        return ""  # the verb itself says what is wrong with it
