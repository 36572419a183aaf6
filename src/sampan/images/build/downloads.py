"""ADD of a URL: from this machine alone, because a build that fetches from elsewhere is not the same tomorrow."""

from __future__ import annotations

import hashlib
import ipaddress
import posixpath
from urllib.parse import unquote, urlsplit

from sampan.http.client import HttpTransport
from sampan.http.types import Request
from sampan.images.build.errors import BuildError

LARGEST = 8 << 30


def name_of(url: str) -> str:
    """What a file from a URL is called in a directory. Raises BuildError."""
    name = posixpath.basename(unquote(urlsplit(url).path))
    if not name or name in (".", ".."):
        raise BuildError(f"ADD {url}: the URL ends without a file's name", "name the file in the destination")
    return name


def check(url: str) -> None:
    """Raises BuildError for what is not on this machine."""
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and _is_loopback(parts.hostname or ""):
        return
    raise BuildError(
        f"ADD {url} is refused: a build fetches files from this machine only",
        "download it into the build context and COPY it, or fetch it in a RUN",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def fetch(url: str, path: str, checksum: str = "") -> str:
    """Download into a file; returns the SHA-256 in hexadecimal. Raises BuildError."""
    check(url)
    parts = urlsplit(url)
    transport = HttpTransport(f"{parts.scheme}://{parts.netloc}")
    found = hashlib.sha256()
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        response = await transport.send(Request("GET", target))
        if response.status != 200:
            raise BuildError(f"ADD {url}: the server answered {response.status}")
        with open(path, "wb") as file:  # noqa: ASYNC230  chunks of a local server, into the page cache
            if isinstance(response.body, bytes):
                found.update(response.body)
                file.write(response.body)
            else:
                async for chunk in response.body:
                    found.update(chunk)
                    file.write(chunk)
    except OSError as error:
        raise BuildError(f"ADD {url}: {error}") from error
    finally:
        await transport.close()
    if checksum and checksum != f"sha256:{found.hexdigest()}":
        raise BuildError(f"ADD {url}: its checksum is sha256:{found.hexdigest()}, not {checksum}")
    return found.hexdigest()
