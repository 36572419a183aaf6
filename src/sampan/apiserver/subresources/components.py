"""ComponentStatus, deprecated but still asked for: what the server itself can vouch for, its store."""

from __future__ import annotations

from collections.abc import Callable

from sampan.api import codec
from sampan.api.errors import not_found_error
from sampan.api.kinds import core
from sampan.apiserver.contracts import Attributes
from sampan.apiserver.routes import Route
from sampan.apiserver.verbs.read import Reader
from sampan.http.types import Request, Response

STORE = "etcd-0"


class Components:
    """`check` says what is wrong with the store, "" when nothing is."""

    def __init__(self, reader: Reader, check: Callable[[], str]) -> None:
        self._reader = reader
        self._check = check

    def _value(self) -> bytes:
        problem = self._check()
        condition = {"type": "Healthy", "status": "False" if problem else "True"}
        condition["error" if problem else "message"] = problem or "ok"
        kind = core.COMPONENT_STATUS
        document = {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": {"name": STORE},
            "conditions": [condition],
        }
        return codec.encode(document)

    async def get(self, request: Request, route: Route, attributes: Attributes) -> Response:
        if route.name != STORE:
            raise not_found_error(route.kind.plural, "", route.name)
        form = self._reader.negotiator.form(request)
        return self._reader.present(request, route.kind, self._value(), 0, form)

    async def list(self, request: Request, route: Route, attributes: Attributes) -> Response:
        return self._reader.answer(request, route.kind, [self._value()], b"{}")
