"""As much of an API server as one node's traffic needs: objects in memory, watches, patches. For these tests alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from sampan.api.errors import StatusError, already_exists, conflict, not_found_error
from sampan.api.patch import merge, strategic
from sampan.api.types import core_v1
from sampan.http.types import Connection, Request, Response

DEFINITIONS = {"pods": "core_v1.Pod", "nodes": "core_v1.Node"}


class Server:
    """A Transport. `writes` are the requests that changed something; `broken` is raised by all of them."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.broken: Exception | None = None
        self._objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._revision = 10
        self._watchers: list[tuple[str, str, asyncio.Queue[bytes]]] = []

    # --- what tests look at and do ---

    def put(self, plural: str, object: Any) -> dict[str, Any]:
        document = msgspec.to_builtins(object) if isinstance(object, msgspec.Struct) else object
        meta = document["metadata"]
        key = (plural, meta.get("namespace", ""), meta["name"])
        return self._store(key, document, "MODIFIED" if key in self._objects else "ADDED")

    def pod(self, name: str = "web") -> core_v1.Pod | None:
        document = self._objects.get(("pods", "default", name))
        return msgspec.convert(document, core_v1.Pod) if document else None

    def all(self, plural: str) -> list[dict[str, Any]]:
        return [each for (kind, _, _), each in self._objects.items() if kind == plural]

    def events(self) -> list[str]:
        return [f"{each['reason']}: {each['message']}" for each in self.all("events")]

    def remove(self, plural: str, namespace: str, name: str) -> None:
        document = self._objects.pop((plural, namespace, name))
        self._revision += 1
        document["metadata"]["resourceVersion"] = str(self._revision)
        self._tell(plural, "DELETED", document)

    # --- Transport ---

    async def send(self, request: Request) -> Response:
        try:
            return await self._answer(request)
        except StatusError as error:
            return Response(error.code, msgspec.json.encode(error.status))

    async def connect(self, request: Request) -> tuple[Response, Connection]:
        raise NotImplementedError

    async def close(self) -> None:
        return

    async def _answer(self, request: Request) -> Response:
        await asyncio.sleep(0)
        plural, namespace, name, _ = _parts(request.path)
        if request.method == "GET":
            return self._read(request, plural, namespace, name)
        if self.broken is not None:
            raise self.broken
        body = json.loads(await request.read(1 << 20) or b"{}")
        self.writes.append(f"{request.method} {request.path}")
        if request.method == "POST":
            return self._create(plural, namespace, body)
        key = (plural, namespace, name)
        old = self._objects.get(key)
        if old is None:
            raise not_found_error(plural, "", name)
        if request.method == "DELETE":
            return self._delete(key, old, body)
        if request.method == "PATCH":
            kind = request.headers["content-type"]
            uid = body.get("metadata", {}).get("uid", old["metadata"].get("uid"))
            if uid != old["metadata"].get("uid"):
                raise conflict(plural, "", name, "uid does not match")
            new = merge.apply(old, body) if "merge-patch+json" in kind and "strategic" not in kind else None
            return _json(self._store(key, new or strategic.apply(old, body, DEFINITIONS[plural]), "MODIFIED"))
        return _json(self._store(key, body, "MODIFIED"))

    def _read(self, request: Request, plural: str, namespace: str, name: str) -> Response:
        if name:
            found = self._objects.get((plural, namespace, name))
            if found is None:
                raise not_found_error(plural, "", name)
            return _json(found)
        if request.param("watch"):
            queue: asyncio.Queue[bytes] = asyncio.Queue()
            self._watchers.append((plural, request.param("fieldSelector"), queue))
            since = int(request.param("resourceVersion") or 0)
            for each in self.all(plural):
                if int(each["metadata"]["resourceVersion"]) > since:
                    queue.put_nowait(_event("MODIFIED", each))
            return Response(200, _stream(queue))
        items = self.all(plural)
        return _json({"metadata": {"resourceVersion": str(self._revision)}, "items": items})

    def _create(self, plural: str, namespace: str, body: dict[str, Any]) -> Response:
        key = (plural, namespace, body["metadata"]["name"])
        if key in self._objects:
            raise already_exists(plural, "", key[2])
        body["metadata"].setdefault("uid", f"uid-{self._revision}")
        return _json(self._store(key, body, "ADDED"))

    def _delete(self, key: tuple[str, str, str], old: dict[str, Any], options: dict[str, Any]) -> Response:
        uid = options.get("preconditions", {}).get("uid")
        if uid and uid != old["metadata"]["uid"]:
            raise conflict(key[0], "", key[2], "uid does not match")
        if old["metadata"].get("finalizers"):
            return _json(self._store(key, old, "MODIFIED"))
        self.remove(*key)
        return _json({"kind": "Status", "status": "Success"})

    def _store(self, key: tuple[str, str, str], document: dict[str, Any], event: str) -> dict[str, Any]:
        self._revision += 1
        document = json.loads(json.dumps(document))
        document["metadata"]["resourceVersion"] = str(self._revision)
        self._objects[key] = document
        self._tell(key[0], event, document)
        return document

    def _tell(self, plural: str, event: str, document: dict[str, Any]) -> None:
        for kind, _, queue in self._watchers:
            if kind == plural:
                queue.put_nowait(_event(event, document))


def _parts(path: str) -> tuple[str, str, str, str]:
    """(plural, namespace, name, subresource)."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    return parts[0], namespace, parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else ""


def _json(document: Any) -> Response:
    return Response(200, json.dumps(document).encode())


def _event(type: str, document: dict[str, Any]) -> bytes:
    return json.dumps({"type": type, "object": document}).encode() + b"\n"


async def _stream(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while True:
        yield await queue.get()
