"""The way to a webhook: by URL, or to an endpoint of its Service, whose certificate must name the Service."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl

import msgspec

from sampan.api.errors import StatusError
from sampan.api.kinds.kind import Document
from sampan.api.types import admissionregistration_v1 as v1
from sampan.apiserver.backends import address_of
from sampan.apiserver.contracts import View
from sampan.apiserver.pool import Pool
from sampan.http.client import HttpTransport
from sampan.http.errors import BodyTooLarge, Disconnected
from sampan.http.types import Request

ANSWER_LIMIT = 3 * 1024 * 1024
_HEADERS = {"content-type": "application/json", "accept": "application/json", "user-agent": "kube-apiserver-admission"}


class CallFailed(Exception):
    """Nobody answered, or not in time, or with another status than 200."""


class Caller:
    def __init__(self, view: View) -> None:
        self._view = view
        self._pool: Pool[tuple[str, str, str]] = Pool()

    async def call(self, client: v1.WebhookClientConfig, review: Document, timeout: int) -> bytes:
        """POST the review and return the body of the answer. Raises CallFailed."""
        url, host, shown = self._place(client)
        base, slash, path = url.removeprefix("https://").partition("/")
        request = Request(
            "POST", f"{slash or '/'}{path}?timeout={timeout}s", dict(_HEADERS), msgspec.json.encode(review)
        )
        try:
            async with asyncio.timeout(timeout):
                place = (f"https://{base}", host, client.caBundle or "")
                transport = await self._pool.get(place, lambda: _transport(*place))
                status, body = await self._post(transport, request)
        except TimeoutError:
            raise CallFailed(f'Post "{shown}?timeout={timeout}s": context deadline exceeded') from None
        except OSError as error:
            raise CallFailed(f'Post "{shown}?timeout={timeout}s": {error}') from error
        if status != 200:
            raise CallFailed(f"the server answered {status}: {body[:200].decode(errors='replace').strip()}")
        return body

    async def _post(self, transport: HttpTransport, request: Request) -> tuple[int, bytes]:
        try:
            response = await transport.send(request)
        except Disconnected:
            # Its server may have closed a connection that was kept; a question can be asked twice.
            response = await transport.send(request)
        try:
            return response.status, await response.read(ANSWER_LIMIT)
        except BodyTooLarge as error:
            raise CallFailed(f"the answer is larger than {ANSWER_LIMIT} bytes") from error

    def _place(self, client: v1.WebhookClientConfig) -> tuple[str, str, str]:
        """URL, the name in the certificate ("" for the URL's host), and the URL as messages have it."""
        if client.url is not None:
            return client.url, "", client.url
        service = client.service
        if service is None:
            raise CallFailed("the webhook has neither a URL nor a service")
        host, port, path = f"{service.name}.{service.namespace}.svc", service.port or 443, service.path or "/"
        shown = f"https://{host}:{port}{path}"
        try:
            address, number = address_of(self._view, service.namespace, service.name, str(port))
        except StatusError as error:
            raise CallFailed(f'Post "{shown}": {error}') from None
        return f"https://{f'[{address}]' if ':' in address else address}:{number}{path}", host, shown

    async def close(self) -> None:
        await self._pool.close()


def _transport(base: str, host: str, bundle: str) -> HttpTransport:
    headers = {"host": host} if host else {}
    return HttpTransport(base, tls=_trust(bundle), server_hostname=host or None, headers=headers)


def _trust(bundle: str) -> ssl.SSLContext:
    """Who may speak for the webhook: its own authorities, or those of the machine. Raises CallFailed."""
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (binascii.Error, ValueError, ssl.SSLError) as error:
        raise CallFailed(f"unable to load root certificates: {error}") from None
