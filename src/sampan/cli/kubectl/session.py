"""One connection to a cluster, for the time of one command: documents in, documents out."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from sampan.api.errors import StatusError, status_error
from sampan.api.types import meta_v1
from sampan.cli.context import CommandError, Context
from sampan.cli.kubectl import config, words
from sampan.http.types import Request, Response, Transport, target

if TYPE_CHECKING:
    from sampan.cli.kubectl.resources import Resources

Document = dict[str, Any]
Query = Mapping[str, str | int | bool]

PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}

_STATUS = msgspec.json.Decoder(meta_v1.Status)
_DURATION = re.compile(r"([0-9.]+)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Session:
    """`namespace` is the one that flags and kubeconfig say; `given_namespace` that of the flag alone."""

    def __init__(self, transport: Transport, context: Context, options: argparse.Namespace, namespace: str) -> None:
        self.transport = transport
        self.context = context
        self.options = options
        self.namespace = namespace
        self.given_namespace: str = getattr(options, "namespace", None) or ""
        self.timeout = seconds(getattr(options, "request_timeout", "0"))
        self.warned: set[str] = set()
        self._resources: Resources | None = None

    async def resources(self) -> Resources:
        """What the server serves; asked once."""
        from sampan.cli.kubectl.resources import discover

        if self._resources is None:
            self._resources = await discover(self)
        return self._resources

    async def raw(
        self, method: str, path: str, query: Query | None = None, body: bytes = b"", headers: Mapping[str, str] = {}
    ) -> Response:
        """Raises StatusError for a refusal. The body may be a stream."""
        merged = {"accept": "application/json", **({"content-type": "application/json"} if body else {}), **headers}
        async with asyncio.timeout(self.timeout or None):
            response = await self.transport.send(Request(method, target(path, query), merged, body))
        self._warn(response)
        if response.status >= 400:
            raise await failure(response)
        return response

    def _warn(self, response: Response) -> None:
        """Warnings that the server sent along, each once, to standard error."""
        for name, value in response.headers:
            if name.lower() == "warning":
                text = _warning(value)
                if text and text not in self.warned:
                    self.warned.add(text)
                    self.context.err(f"Warning: {text}")

    async def read(self, path: str, query: Query | None = None, headers: Mapping[str, str] = {}) -> Document:
        return _object(await (await self.raw("GET", path, query, headers=headers)).read())

    async def text(self, path: str, query: Query | None = None) -> str:
        return (await (await self.raw("GET", path, query)).read()).decode(errors="replace")

    async def write(self, method: str, path: str, document: Any, query: Query | None = None) -> Document:
        return _object(await (await self.raw(method, path, query, encode(document))).read())

    async def patch(self, path: str, patch: Any, how: str, query: Query | None = None) -> Document:
        headers = {"content-type": PATCHES[how]}
        return _object(await (await self.raw("PATCH", path, query, encode(patch), headers)).read())

    async def pages(
        self, path: str, query: Mapping[str, str | int | bool], headers: Mapping[str, str] = {}, size: int = 500
    ) -> AsyncIterator[Document]:
        """A list in pages of `size` (0: in one)."""
        token = ""
        while True:
            page = await self.read(path, {**query, "limit": size or "", "continue": token}, headers)
            yield page
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return

    async def watch(
        self, path: str, query: Mapping[str, str | int | bool], headers: Mapping[str, str] = {}
    ) -> AsyncGenerator[Document, None]:
        """Events of a watch: {"type", "object"}. Ends when the server ends it; raises what an ERROR event says."""
        limit = {"timeoutSeconds": int(self.timeout) or 1} if self.timeout else {}
        response = await self.raw("GET", path, {**query, **limit, "watch": True}, headers=headers)
        async with aclosing(lines(response)) as stream:
            async for line in stream:
                event = _object(line)
                if event.get("type") == "ERROR":
                    raise StatusError(msgspec.convert(event.get("object") or {}, meta_v1.Status, strict=False))
                yield event


def encode(document: Any) -> bytes:
    return msgspec.json.encode(document)


def _object(body: bytes) -> Document:
    document = msgspec.json.decode(body) if body else {}
    if not isinstance(document, dict):
        raise CommandError("error: the server answered with something that is no object")
    return document


async def failure(response: Response) -> StatusError:
    body = await response.read()
    try:
        status = _STATUS.decode(body)
    except msgspec.MsgspecError:
        status = meta_v1.Status()
    if status.status != "Failure":
        return status_error(response.status, "", body.decode(errors="replace").strip() or f"HTTP {response.status}")
    return StatusError(status)


async def lines(response: Response) -> AsyncGenerator[bytes, None]:
    """The body line by line, without their ends and without empty ones."""
    rest = b""
    body = response.body
    if isinstance(body, bytes):
        for line in body.splitlines():
            if line:
                yield line
        return
    async for chunk in body:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
    if rest:
        yield rest


def seconds(text: str) -> float:
    """A Go duration (`1m30s`, `5`), in seconds. Raises CommandError."""
    if re.fullmatch(r"-?[0-9]+", text):
        return float(text)
    sign, bare = (-1, text[1:]) if text.startswith("-") else (1, text)
    parts = _DURATION.findall(bare)
    if not parts or "".join(number + unit for number, unit in parts) != bare:
        raise CommandError(f'error: invalid duration "{text}"')
    return sign * sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _warning(value: str) -> str:
    """The text of a Warning header: `299 - "text"`."""
    quoted = value.partition('"')[2].rpartition('"')[0]
    try:
        return str(json.loads(f'"{quoted}"'))
    except ValueError:
        return quoted


@asynccontextmanager
async def connect(options: argparse.Namespace, context: Context) -> AsyncIterator[Session]:
    """A session; refusals and broken connections inside become kubectl's words and exit code 1."""
    where = config.target(options, context.environ)
    transport = open_transport(where)
    try:
        yield Session(transport, context, options, where.namespace)
    except (BrokenPipeError, CommandError):
        raise
    except Exception as error:
        cause = _cause(error)
        told = _told(cause, where.server)
        if told is None:
            raise
        raise told from cause
    finally:
        await transport.close()


def _cause(error: Exception) -> Exception:
    """The first of the failures that a group of tasks reports."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _told(error: Exception, server: str) -> CommandError | None:
    """What kubectl says of it; None for what nobody expects."""
    match error:
        case CommandError():
            return error
        case StatusError():
            return words.failed(error)
        case TimeoutError():
            return CommandError(f"Unable to connect to the server: {error or 'timed out waiting for an answer'}")
        case OSError():
            return CommandError(words.unreachable(server, error))
        case msgspec.MsgspecError():
            return CommandError(f"error: the server's answer cannot be read: {error}")
    return None


def open_transport(where: config.Target) -> Transport:
    from sampan.http.client import HttpTransport

    if where.server.startswith("http://"):
        return HttpTransport(where.server, headers=where.headers)
    import ssl

    from sampan.http.tls import client_context

    try:
        tls = client_context(
            ca_data=where.ca_data,
            ca_file=where.ca_file or None,
            cert_data=where.certificate or None,
            key_data=where.key or None,
            insecure=where.insecure,
            server_name=where.server_name or None,
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        raise CommandError(f"error: the kubeconfig's certificates cannot be used: {error}") from error
    return HttpTransport(where.server, tls=tls, headers=where.headers)
