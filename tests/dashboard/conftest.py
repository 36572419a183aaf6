from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from sampan.api.errors import StatusError
from sampan.api.types import meta_v1
from sampan.api.user import User
from sampan.client.local import LocalTransport
from sampan.dashboard import access
from sampan.dashboard.assets import Assets
from sampan.http.types import Request, Response
from sampan.testing.cluster import ADMIN, Cluster
from sampan.testing.front import Front
from tests.dashboard import chromium
from tests.dashboard.chromium import Browser, Page, browser


@dataclass(frozen=True, slots=True)
class Console:
    """A cluster in this process with its console on a real socket."""

    cluster: Cluster
    url: str
    token: str

    async def create(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        return await create_as(self.cluster, ADMIN)(path, document)

    async def put(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        return await create_as(self.cluster, ADMIN, "PUT")(path, document)

    async def token_of(self, namespace: str, account: str) -> str:
        return (await access.make_token(create_as(self.cluster, ADMIN), namespace, account, 600))[0]


def create_as(
    cluster: Cluster, user: User, method: str = "POST"
) -> Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]:
    transport = LocalTransport(cluster.server.handler, user)

    async def create(path: str, document: dict[str, Any]) -> dict[str, Any]:
        headers = {"content-type": "application/json", "accept": "application/json"}
        response = await transport.send(Request(method, path, headers, json.dumps(document).encode()))
        body = await response.read()
        if response.status >= 400:
            raise StatusError(msgspec.json.decode(body, type=meta_v1.Status))
        answer: dict[str, Any] = json.loads(body)
        return answer

    return create


@pytest.fixture
async def console() -> AsyncIterator[Console]:
    assets = Assets()
    async with Cluster() as cluster:

        def handle(request: Request) -> Response | Awaitable[Response]:
            return assets(request) or cluster.server.handler(request)

        front = Front(handle)
        create = create_as(cluster, ADMIN)
        await access.ensure_account(create)
        token, _ = await access.make_token(create, access.NAMESPACE, access.ACCOUNT, 3600)
        try:
            yield Console(cluster, f"{front.url}/console/", token)
        finally:
            await front.close()


@pytest.fixture
async def chrome() -> AsyncIterator[Browser]:
    if chromium.PROGRAM is None:
        pytest.skip("chromium is not installed; as root: apt-get install chromium")
    async with browser() as found:
        # Nodes that pretend measure nothing.
        found.expected.append("/apis/metrics.k8s.io/")
        yield found
        for page in found.pages.values():
            assert not page.problems
            assert len(page.hosts - {""}) <= 1, "the console asked others than its own server"


async def sign_in(page: Page, url: str, token: str) -> None:
    """As a person does it: the page, the token into the field, Enter."""
    await page.open(url)
    await page.wait("document.activeElement?.id === 'token'")
    await page.insert(token)
    await page.press("Enter")
    await page.wait("document.querySelector('#namespace')", "signed in")
