"""An API server in memory, asked without a socket in between."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sampan.api.user import User
from sampan.apiserver.server import Config, Server
from sampan.apiserver.tokens.keys import signer
from sampan.http.types import Request, Response
from sampan.store.memory import MemoryStore

if TYPE_CHECKING:
    from tests.apiserver.hooks import Hooks

ADMIN = User("kubernetes-admin", groups=("system:masters", "system:authenticated"))


class Answer:
    """A response whose body is there. `json` is the document, [] access reads from it."""

    def __init__(self, response: Response, body: bytes) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers}
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __getitem__(self, name: str) -> Any:
        return self.json[name]

    @property
    def message(self) -> str:
        return str(self.json["message"])

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


class Api:
    """One method per verb of HTTP; bodies are documents or bytes."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def send(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        user: User = ADMIN,
        type: str = "application/json",
        accept: str = "",
    ) -> Answer:
        response = await self.open(method, target, body, user=user, type=type, accept=accept)
        return Answer(response, await response.read())

    async def open(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        user: User = ADMIN,
        type: str = "application/json",
        accept: str = "",
    ) -> Response:
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": type}
        if accept:
            headers["accept"] = accept
        request = Request(method, target, headers, content, context={"user": user})
        answer = self.server.handler(request)
        return await answer if inspect.isawaitable(answer) else answer

    async def get(self, target: str, **options: Any) -> Answer:
        return await self.send("GET", target, **options)

    async def post(self, target: str, body: Any, **options: Any) -> Answer:
        return await self.send("POST", target, body, **options)

    async def put(self, target: str, body: Any, **options: Any) -> Answer:
        return await self.send("PUT", target, body, **options)

    async def patch(self, target: str, body: Any, kind: str = "merge", **options: Any) -> Answer:
        media = {"merge": "merge-patch", "json": "json-patch", "strategic": "strategic-merge-patch"}[kind]
        return await self.send("PATCH", target, body, type=f"application/{media}+json", **options)

    async def delete(self, target: str, body: Any = None, **options: Any) -> Answer:
        return await self.send("DELETE", target, body, **options)


class Lines:
    """A watch, read event by event."""

    def __init__(self, response: Response) -> None:
        assert not isinstance(response.body, bytes)
        self._body: AsyncIterator[bytes] = response.body
        self._ready: list[bytes] = []

    async def next(self) -> tuple[str, Any]:
        while not self._ready:
            self._ready = (await asyncio.wait_for(anext(self._body), 5)).splitlines()
        event = json.loads(self._ready.pop(0))
        return event["type"], event["object"]

    async def close(self) -> None:
        await self._body.aclose()  # type: ignore[attr-defined]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    store = MemoryStore()
    made = Server(store, Config(signer(ec.generate_private_key(ec.SECP256R1()))))
    await made.start()
    yield made
    await made.close()
    await store.close()


@pytest.fixture
async def api(server: Server) -> Api:
    made = Api(server)
    answer = await made.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    assert answer.status in (201, 409)
    return made


CONFIGS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"


def config(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


def pod(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "main", "image": "app:1"}], **spec}}


@pytest.fixture
async def hooks(tmp_path: Path) -> AsyncIterator[Hooks]:
    """A webhook server that listens; see hooks.py."""
    from tests.apiserver.hooks import Hooks

    made = Hooks(tmp_path)
    await made.open()
    yield made
    await made.close()
