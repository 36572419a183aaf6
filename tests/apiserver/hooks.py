"""A webhook server for tests: real TLS on a port of its own, and what it was asked."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sampan import pki
from sampan.http.server import Server
from sampan.http.tls import server_context
from sampan.http.types import Request, Response
from tests.apiserver.conftest import Answer, Api

GROUP = "/apis/admissionregistration.k8s.io/v1"
MUTATING = f"{GROUP}/mutatingwebhookconfigurations"
VALIDATING = f"{GROUP}/validatingwebhookconfigurations"
SERVICE_HOST = "hooks.default.svc"
CONFORMANCE = "[sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin]"
DENIED = 'admission webhook "deny.hooks.example.com" denied the request: this is not wanted'

Document = dict[str, Any]
Judge = Callable[[Document], Document]
"""From the review's request to its response, the uid left out."""


class Hooks:
    """`judges` answer by path; `asked` are the requests of all reviews. What has no judge is never answered."""

    def __init__(self, place: Path) -> None:
        authority = pki.Authority(place)
        hosts = ("127.0.0.1", SERVICE_HOST)
        self._identity = authority.ensure(pki.Identity("hooks", "hooks", (), hosts))
        self._ca = authority.certificate_path
        self.bundle = base64.b64encode(self._ca.read_bytes()).decode()
        self.judges: dict[str, Judge] = {"/allow": allow, "/deny": deny}
        self.asked: list[Document] = []
        self.reviews: list[Document] = []
        self.targets: list[str] = []
        self.raw: dict[str, Callable[[Document], bytes]] = {}
        self.hosts: list[str] = []

    async def open(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.setblocking(False)
        self.port = listening.getsockname()[1]
        self._server = Server(self._answer, tls=server_context(*self._identity, self._ca))
        await self._server.listen_on(listening)

    async def close(self) -> None:
        await self._server.close(grace=0)

    async def _answer(self, request: Request) -> Response:
        review = json.loads(await request.read(4 << 20))
        path = request.raw_path
        self.reviews.append(review)
        self.asked.append(review["request"])
        self.targets.append(request.target)
        self.hosts.append(request.headers["host"])
        headers = (("Content-Type", "application/json"),)
        if path in self.raw:
            return Response(200, self.raw[path](review), headers)
        if path not in self.judges:
            await asyncio.Event().wait()
        response = {"uid": review["request"]["uid"], **self.judges[path](review["request"])}
        return Response(200, json.dumps({**review, "request": None, "response": response}).encode(), headers)

    def webhook(self, path: str, *rules: Document, **more: Any) -> Document:
        """One webhook of a configuration, asked at `path`."""
        return {
            "name": f"{path.strip('/')}.hooks.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": self.bundle},
            "rules": list(rules) or [rule("configmaps")],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **more,
        }


def rule(resources: str, operations: str = "*", group: str = "", version: str = "v1", **more: Any) -> Document:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": resources.split(),
        "operations": operations.split(),
        **more,
    }


def allow(request: Document) -> Document:
    return {"allowed": True}


def deny(request: Document) -> Document:
    return {"allowed": False, "status": {"message": "this is not wanted"}}


def patch(*operations: Document) -> Judge:
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda request: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def add(path: str, value: Any) -> Document:
    return {"op": "add", "path": path, "value": value}


async def mutating(api: Api, *webhooks: Document, name: str = "m") -> Answer:
    return await api.post(MUTATING, {"metadata": {"name": name}, "webhooks": list(webhooks)})


async def validating(api: Api, *webhooks: Document, name: str = "v") -> Answer:
    return await api.post(VALIDATING, {"metadata": {"name": name}, "webhooks": list(webhooks)})
