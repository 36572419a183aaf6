"""One registry, one repository: requests of the OCI distribution specification 1.1 with authentication.

Bearer tokens by the challenge of the registry (the token protocol of the distribution project), basic
authentication, redirects to storage elsewhere without our credentials.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec

from sampan.http.errors import BodyTooLarge
from sampan.http.types import Body, Request, Response, Transport

Connect = Callable[[str], Transport]
"""A transport to `https://host:port` or `http://host:port`; it is closed by who asked."""

Content = Callable[[], bytes | Body]
"""Makes what a request carries."""

_REDIRECTS = 5
_ERROR_LIMIT = 64 << 10
_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s",]+))')


class RegistryError(Exception):
    """The registry refused; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: tuple[_Error, ...] = ()
    details: str = ""


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


class RegistryClient:
    """`base` is the registry's URL. `credentials` are tried in turn, after an anonymous request."""

    def __init__(self, base: str, repository: str, connect: Connect, credentials: Sequence[tuple[str, str]]) -> None:
        self.base = base
        parts = urlsplit(base)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self.repository = repository
        self._connect = connect
        self._transports: dict[str, Transport] = {}
        self._credentials = list(credentials)
        self._authorization = ""

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.close()

    async def get(self, path: str, headers: dict[str, str]) -> Response:
        """GET below the repository; the body is not read. Raises RegistryError for 400 and more."""
        return await self.send("GET", path, headers)

    async def send(self, method: str, path: str, headers: dict[str, str], content: Content | None = None) -> Response:
        """The same with any method, below the repository or at an absolute URL that the registry gave.

        `content` is called for each attempt: the first may only bring the registry's question who we are.
        """
        url = path if "://" in path else f"{self.base}/v2/{quote(self.repository)}/{path}"
        response = await self._request(method, url, headers, content)
        for credentials in (None, *self._credentials):
            if response.status not in (401, 403):
                break
            challenge = response.header("www-authenticate")
            await discard(response)
            if not await self._authorize(challenge, credentials):
                continue
            response = await self._request(method, url, headers, content)
        if response.status >= 400:
            raise RegistryError(response.status, await _message(response))
        return response

    async def _request(self, method: str, url: str, headers: dict[str, str], content: Content | None) -> Response:
        """Ask an absolute URL and follow redirects of reads; authorization goes to the registry only."""
        for _ in range(_REDIRECTS):
            parts = urlsplit(url)
            origin = f"{parts.scheme}://{parts.netloc}"
            sent = {"host": parts.netloc, **headers}
            if self._authorization and origin == self._origin:
                sent["authorization"] = self._authorization
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            body = b"" if content is None else content()
            response = await self._transport(origin).send(Request(method, target, sent, body))
            if method not in ("GET", "HEAD") or response.status not in (301, 302, 303, 307, 308):
                return response
            location = response.header("location")
            await discard(response)
            following = urljoin(url, location)
            if not following.startswith(("https://", "http://")) or (
                parts.scheme == "https" and not following.startswith("https://")
            ):
                raise RegistryError(response.status, f"redirect to {following!r} refused")
            url = following
        raise RegistryError(310, f"more than {_REDIRECTS} redirects")

    def _transport(self, origin: str) -> Transport:
        if origin not in self._transports:
            self._transports[origin] = self._connect(origin)
        return self._transports[origin]

    async def _authorize(self, challenge: str, credentials: tuple[str, str] | None) -> bool:
        """Take up a challenge; False when these credentials do not help with it."""
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            self._authorization = basic(*credentials) if credentials else ""
            return credentials is not None
        if scheme.lower() != "bearer":
            return False
        parameters = {name: quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
        token = await self._token(parameters, credentials)
        self._authorization = f"Bearer {token}" if token else ""
        return bool(token)

    async def _token(self, parameters: dict[str, str], credentials: tuple[str, str] | None) -> str:
        realm = urljoin(self.base, parameters.get("realm", ""))
        if not realm.startswith("https://") and self.base.startswith("https://"):
            raise RegistryError(401, f"refused to ask {realm!r} for a token without TLS")
        query = {"scope": parameters.get("scope") or f"repository:{self.repository}:pull"}
        if service := parameters.get("service"):
            query["service"] = service
        parts = urlsplit(realm)
        joined = "&".join(part for part in (parts.query, urlencode(query)) if part)
        headers = {"host": parts.netloc}
        if credentials:
            headers["authorization"] = basic(*credentials)
        transport = self._transport(f"{parts.scheme}://{parts.netloc}")
        response = await transport.send(Request("GET", f"{parts.path or '/'}?{joined}", headers))
        body = await read(response, _ERROR_LIMIT)
        if response.status != 200:
            return ""
        try:
            found = msgspec.json.decode(body, type=_Token)
        except msgspec.DecodeError:
            return ""
        return found.token or found.access_token


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def read(response: Response, limit: int) -> bytes:
    """The body; raises RegistryError when it is larger than `limit` bytes."""
    try:
        return await response.read(limit)
    except BodyTooLarge as error:
        raise RegistryError(response.status, f"response is larger than {limit} bytes") from error


async def discard(response: Response) -> None:
    await read(response, _ERROR_LIMIT)


async def _message(response: Response) -> str:
    """The registry's own words, or the status."""
    body = await read(response, _ERROR_LIMIT)
    try:
        errors = msgspec.json.decode(body, type=_Errors).errors
    except msgspec.DecodeError:
        errors = ()
    words = "; ".join(": ".join(part for part in (each.code.lower(), each.message) if part) for each in errors)
    return words or f"unexpected status {response.status}"
