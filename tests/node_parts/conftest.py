"""An API server in memory, with a client of the administrator's and one of the node's, as it is authorized."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sampan.api.kinds import ALL
from sampan.api.types import core_v1
from sampan.api.user import User
from sampan.apiserver.server import Config, Server
from sampan.apiserver.tokens.keys import signer
from sampan.client.client import Client
from sampan.client.local import LocalTransport
from sampan.store.memory import MemoryStore
from sampan.testing.objects import load, one
from tests.node_parts.pods import spec_of

ADMIN = User("kubernetes-admin", groups=("system:masters", "system:authenticated"))
NODE_NAME = "n1"
NODE = User(f"system:node:{NODE_NAME}", groups=("system:nodes", "system:authenticated"))


@dataclass(frozen=True)
class Api:
    """`admin` may do everything, `node` what its authorizer allows. `static` tokens are users of the server."""

    admin: Client
    node: Client

    async def add(self, manifests: str) -> None:
        for object in load(manifests):
            await self.admin.create(object)

    async def pod(self, spec: str, *, name: str = "web", metadata: str = "") -> core_v1.Pod:
        """A pod of the node's, as the server has it."""
        text = spec_of(spec, name=name, metadata=metadata, node=NODE_NAME)
        created: core_v1.Pod = await self.admin.create(one(text))
        return created


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    store = MemoryStore()
    tokens = {"reader-token": User("reader"), "nobody-token": User("nobody")}
    server = Server(store, Config(signer=signer(ec.generate_private_key(ec.SECP256R1())), tokens=tokens))
    await server.start()
    transports = [LocalTransport(server.handler, user) for user in (ADMIN, NODE)]
    admin, node = (Client(transport, ALL) for transport in transports)
    found = Api(admin, node)
    await found.add(
        f"apiVersion: v1\nkind: Node\nmetadata: {{name: {NODE_NAME}}}\n---\n"
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}\n"
    )
    yield found
    for transport in transports:
        await transport.close()
    await server.close()
    await store.close()
