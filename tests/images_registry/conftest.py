from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from sampan.http.client import HttpTransport
from sampan.http.server import Server
from sampan.http.types import Body, Request, Response
from sampan.images.registry.app import Registry
from sampan.images.store import ImageStore


@dataclass
class Place:
    """A registry on a port of loopback, and a connection to it."""

    registry: Registry
    store: ImageStore
    port: int
    transport: HttpTransport

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    async def send(
        self, method: str, path: str, content: bytes | Body = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return await answered(await self.transport.send(Request(method, path, dict(headers or {}), content)))

    async def push_blob(self, name: str, data: bytes, digest: str) -> Answer:
        return await self.send("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        import json

        return str(json.loads(self.body)["errors"][0]["code"])


async def answered(response: Response) -> Answer:
    return Answer(response.status, {key.lower(): value for key, value in response.headers}, await response.read())


Open = Callable[[], contextlib.AbstractAsyncContextManager[Place]]


@contextlib.asynccontextmanager
async def serving(root: Path) -> AsyncIterator[Place]:
    store = ImageStore(str(root))
    registry = Registry(store, [])
    front = Server(registry.handle)
    port = await front.listen("127.0.0.1", 0)
    registry.repositories = type(registry.repositories)(store, (f"localhost:{port}", f"127.0.0.1:{port}"))
    transport = HttpTransport(f"http://127.0.0.1:{port}")
    try:
        yield Place(registry, store, port, transport)
    finally:
        await transport.close()
        await front.close(0)
        await registry.close()
        store.close()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with serving(tmp_path / "store") as made:
        yield made
