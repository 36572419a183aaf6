"""ADD of a URL: one file, redirects followed. It is fetched in every build; the same content is the same layer."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import AsyncIterator
from urllib.parse import unquote, urljoin, urlsplit

from sampan.http.client import HttpTransport
from sampan.http.types import Request
from sampan.images.build.errors import BuildError

LARGEST = 8 << 30
REDIRECTS = 10


def name_of(url: str) -> str:
    """What a file from a URL is called in a directory. Raises BuildError."""
    name = posixpath.basename(unquote(urlsplit(url).path))
    if not name or name in (".", ".."):
        raise BuildError(f"ADD {url}: the URL ends without a file's name", "name the file in the destination")
    return name


def check(url: str) -> None:
    """Raises BuildError for what is no file by HTTP."""
    parts = urlsplit(url)
    if parts.scheme == "git" or url.startswith("git@") or parts.path.endswith(".git"):
        raise BuildError(f"ADD {url}: git repositories are not fetched", "clone it into the build context and COPY it")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BuildError(f"ADD {url}: it is no URL of http or https")


async def fetch(url: str, path: str, checksum: str = "") -> str:
    """Download into a file; returns the SHA-256 in hexadecimal. Raises BuildError."""
    try:
        digest = await _follow(url, path)
    except (OSError, ValueError) as error:
        raise BuildError(f"ADD {url}: {error}") from error
    if checksum and checksum != f"sha256:{digest}":
        raise BuildError(f"ADD {url}: its checksum is sha256:{digest}, not {checksum}")
    return digest


async def _follow(url: str, path: str) -> str:
    place = url
    for _ in range(REDIRECTS):
        check(place)
        parts = urlsplit(place)
        transport = HttpTransport(f"{parts.scheme}://{parts.netloc}")
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            response = await transport.send(Request("GET", target))
            location = response.header("location") if response.status in (301, 302, 303, 307, 308) else ""
            if not location:
                if response.status != 200:
                    raise BuildError(f"ADD {url}: the server answered {response.status}", "is the address right?")
                return await _store(url, response.body, path)
        finally:
            await transport.close()
        place = urljoin(place, location)
    raise BuildError(f"ADD {url}: more than {REDIRECTS} redirects")


async def _store(url: str, body: bytes | AsyncIterator[bytes], path: str) -> str:
    found, size = hashlib.sha256(), 0
    with open(path, "wb") as file:  # noqa: ASYNC230  chunks, into the page cache
        if isinstance(body, bytes):
            found.update(body)
            file.write(body)
            return found.hexdigest()
        async for chunk in body:
            size += len(chunk)
            if size > LARGEST:
                raise BuildError(f"ADD {url}: it is larger than {LARGEST >> 30} GiB")
            found.update(chunk)
            file.write(chunk)
    return found.hexdigest()
