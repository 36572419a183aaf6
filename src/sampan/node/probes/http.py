"""GET over a connection of its own, for probes and lifecycle hooks: the head of the answer is all they want.

No certificate is verified: who may reach a pod is not decided here.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import httptools

from sampan.api.types import core_v1
from sampan.http.heads import answer_parser, with_reason
from sampan.node.probes.outcome import AGENT, Outcome, Unprobeable, authority, dial_error

REDIRECTS = 10
HEAD_LIMIT = 64 * 1024

_DEFAULTS = {"User-Agent": AGENT, "Accept": "*/*"}

Headers = tuple[tuple[str, str], ...]


class Address(NamedTuple):
    """Where to ask; `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{authority(self.host, self.port)}{self.target}"


class Answer(NamedTuple):
    status: int
    location: str


class FetchFailure(Exception):
    """There was no answer; the message is Go's."""


def action_address(action: core_v1.HTTPGetAction, container: core_v1.Container, pod_ip: str) -> Address:
    path = action.path or "/"
    scheme = (action.scheme or "HTTP").lower()
    return Address(
        scheme, action.host or pod_ip, port_number(action.port, container), path if path.startswith("/") else f"/{path}"
    )


def action_headers(action: core_v1.HTTPGetAction) -> Headers:
    """The action's, with User-Agent and Accept unless it names them; an empty one of these is left out."""
    own = [(header.name, header.value) for header in action.httpHeaders]
    named = {name.lower() for name, _ in own}
    defaults = [
        (name, value) for name, value in (("User-Agent", AGENT), ("Accept", "*/*")) if name.lower() not in named
    ]
    return tuple((n, v) for n, v in (*defaults, *own) if v or n.lower() not in ("user-agent", "accept"))


def port_number(port: int | str | None, container: core_v1.Container) -> int:
    """A number, or the name of one of the container's ports. Raises Unprobeable."""
    if isinstance(port, int):
        return port
    for declared in container.ports:
        if port and declared.name == port:
            return declared.containerPort
    if port and port.isdigit():
        return int(port)
    raise Unprobeable(f"couldn't find port: {port} in container {container.name}")


async def probe(address: Address, headers: Headers, timeout: float) -> Outcome:
    """Statuses from 200 to 399 pass. Redirects are followed as long as they stay with the host."""
    try:
        async with asyncio.timeout(timeout):
            return await _follow(address, headers)
    except TimeoutError:
        why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Outcome(False, f'Get "{address.url}": {why}')
    except FetchFailure as error:
        return Outcome(False, str(error))


async def _follow(address: Address, headers: Headers) -> Outcome:
    for _ in range(REDIRECTS):
        answer = await fetch(address, headers)
        if not 300 <= answer.status < 400 or not answer.location:
            break
        following = redirected(address, answer.location)
        if following is None or following.host != address.host:
            # Another host is not ours to judge: that it was named is answer enough.
            return Outcome(True, "Probe terminated redirects")
        address = following
    else:
        return Outcome(False, f'Get "{address.url}": stopped after {REDIRECTS} redirects')
    if 200 <= answer.status < 400:
        return Outcome(True)
    return Outcome(False, f"HTTP probe failed with statuscode: {answer.status}")


def redirected(address: Address, location: str) -> Address | None:
    """Where a Location header leads; None for what is no http address."""
    try:
        url = urlsplit(urljoin(address.url, location))
        port = url.port
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not url.hostname:
        return None
    default = 443 if url.scheme == "https" else 80
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return Address(url.scheme, url.hostname, port or default, target)


async def fetch(address: Address, headers: Headers) -> Answer:
    """Send GET, read the answer's head, close. Raises FetchFailure; the caller sets the time limit."""
    try:
        reader, writer = await _connect(address)
    except ssl.SSLError as error:
        raise FetchFailure(f'Get "{address.url}": {error}') from error
    except OSError as error:
        raise FetchFailure(f'Get "{address.url}": {dial_error(address.host, address.port, error)}') from error
    head = _Head()
    parser = answer_parser(head)
    try:
        writer.write(request(address, headers))
        while not head.complete:
            data = await reader.read(16 * 1024)
            if not data:
                raise FetchFailure(f'Get "{address.url}": EOF')
            parser.feed_data(data if head.size else with_reason(data))
            head.size += len(data)
            if head.size > HEAD_LIMIT:
                raise FetchFailure(f'Get "{address.url}": the head of the answer is larger than {HEAD_LIMIT} bytes')
        return Answer(parser.get_status_code(), head.location)
    except httptools.HttpParserError as error:
        raise FetchFailure(f'Get "{address.url}": malformed HTTP response: {error}') from error
    except OSError as error:
        raise FetchFailure(f'Get "{address.url}": {error.strerror or error}'.lower()) from error
    finally:
        writer.transport.abort()


async def _connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.scheme == "https":
        return await asyncio.open_connection(address.host, address.port, ssl=_trusting(), server_hostname=address.host)
    return await asyncio.open_connection(address.host, address.port)


@functools.cache
def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def request(address: Address, headers: Iterable[tuple[str, str]]) -> bytes:
    host = authority(address.host, address.port)
    lines = [f"GET {address.target} HTTP/1.1"]
    for name, value in headers:
        if name.lower() == "host":
            host = value
        else:
            lines.append(f"{name}: {value}")
    lines[1:1] = [f"Host: {host}"]
    text = "\r\n".join([*(_one_line(line) for line in lines), "Connection: close", "", ""])
    return text.encode("utf-8", "surrogateescape")


def _one_line(line: str) -> str:
    return line.replace("\r", "").replace("\n", "")


class _Head:
    """httptools' callbacks."""

    def __init__(self) -> None:
        self.location = ""
        self.size = 0
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"location":
            self.location = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.complete = True
