"""A small real registry over our own HTTP server: tokens, indexes, ranges, redirects, and misbehaviour on demand."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from sampan.http.client import HttpTransport
from sampan.http.server import Server
from sampan.http.types import Request, Response
from sampan.images import documents
from sampan.images.pull import Puller, Registries
from tests.images.build import Made, digest

TOKEN = "let-me-in"
Fault = Callable[[Request], Response | None]


@dataclass
class Registry:
    """`faults` are asked first, in order; the first one that answers wins. `user` turns token authentication on."""

    port: int = 0
    storage: int = 0
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    user: tuple[str, str] | None = None
    anonymous: bool = False
    basic: bool = False
    redirect: bool = False
    gate: asyncio.Event | None = None

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"

    def push(self, made: Made, tag: str, top: bytes = b"") -> str:
        """Offer an image as team/app:TAG; returns its reference. `top` is an index instead of the manifest."""
        self.blobs.update(made.blobs)
        manifest = top or made.blobs[made.manifest]
        for name in (tag, digest(manifest), made.manifest):
            self.manifests[name] = manifest if name != made.manifest or not top else made.blobs[made.manifest]
        return f"{self.name}/team/app:{tag}"

    def paths(self, part: str = "") -> list[str]:
        return [request.path for request in self.seen if part in request.path]

    async def serve(self, request: Request) -> Response:
        self.seen.append(request)
        for fault in self.faults:
            if (answer := fault(request)) is not None:
                return answer
        if request.path == "/token":
            return self._token(request)
        if self.user and not self._allowed(request):
            scheme = "Basic" if self.basic else f'Bearer realm="http://{self.name}/token",service=us'
            challenge = f'{scheme},scope="repository:team/app:pull"' if not self.basic else 'Basic realm="us"'
            return error(401, "UNAUTHORIZED", "authentication required", ("www-authenticate", challenge))
        prefix, _, version = request.path.rpartition("/")
        if prefix == "/v2/team/app/manifests" and version in self.manifests:
            return self._manifest(self.manifests[version])
        if prefix == "/v2/team/app/blobs" and version in self.blobs:
            if self.redirect:
                return Response(307, headers=[("location", f"http://127.0.0.1:{self.storage}/store/{version}")])
            return await self._blob(request, self.blobs[version])
        return error(404, "MANIFEST_UNKNOWN", "manifest unknown")

    async def store(self, request: Request) -> Response:
        """Where redirects lead."""
        self.seen.append(request)
        assert "authorization" not in request.headers
        return await self._blob(request, self.blobs[request.path.removeprefix("/store/")])

    def _allowed(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        assert self.user is not None
        return given == (login(*self.user) if self.basic else f"Bearer {TOKEN}")

    def _token(self, request: Request) -> Response:
        assert self.user is not None
        assert request.param("service") == "us" and request.param("scope") == "repository:team/app:pull"
        known = request.headers.get("authorization", "") == login(*self.user)
        if not known and not self.anonymous:
            return error(401, "UNAUTHORIZED", "incorrect username or password")
        return Response(200, json.dumps({"token": TOKEN}).encode(), [("content-type", "application/json")])

    def _manifest(self, data: bytes) -> Response:
        kind = json.loads(data).get("mediaType", documents.MANIFEST)
        return Response(200, data, [("content-type", f"{kind}; charset=utf-8")])

    async def _blob(self, request: Request, data: bytes) -> Response:
        if self.gate is not None:
            await self.gate.wait()
        wanted = request.headers.get("range", "")
        if not wanted:
            return Response(200, data)
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(data):
            return error(416, "RANGE_INVALID", "out of range")
        return Response(206, data[start:], [("content-range", f"bytes {start}-{len(data) - 1}/{len(data)}")])

    def puller(self, **fields: object) -> Puller:
        return Puller(HttpTransport, Registries(**{"insecure": frozenset({self.name}), **fields}))  # type: ignore[arg-type]


def login(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def error(status: int, code: str, message: str, *headers: tuple[str, str]) -> Response:
    return Response(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), headers)


@contextlib.asynccontextmanager
async def cut_off(data: bytes, after: int) -> AsyncIterator[tuple[str, list[str]]]:
    """A server of one blob that says goodbye after so many bytes, each time; yields its URL and the ranges asked."""
    ranges: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        wanted = head.partition("range: ")[2].partition("\r")[0]
        ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-") or 0)
        status = "206 Partial Content" if wanted else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(data) - start}\r\n\r\n".encode())
        writer.write(data[start : start + after])
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/blob", ranges


async def broken(data: bytes, after: int) -> AsyncIterator[bytes]:
    """A body whose connection breaks on the way."""
    yield data[:after]
    raise ConnectionResetError("the cable was pulled")


@contextlib.asynccontextmanager
async def registry() -> AsyncIterator[Registry]:
    made = Registry()
    front, back = Server(made.serve), Server(made.store)
    made.port = await front.listen("127.0.0.1", 0)
    made.storage = await back.listen("127.0.0.1", 0)
    try:
        yield made
    finally:
        await front.close(0)
        await back.close(0)
