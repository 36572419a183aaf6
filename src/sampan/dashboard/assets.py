"""The console's files over HTTP, from memory: public, because everything that is worth reading comes from the API.

Assets()(request) -> Response, or None for a path that is not the console's
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sampan.http.types import Request, Response

ROOT = "/console"
DIRECTORY = Path(__file__).parent / "static"
LIMIT = 150 * 1024
"""Bytes that all files together may have."""

MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing from elsewhere, nothing inline, nothing made of strings, and no page around ours."""
GUARDS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
)
TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"), *GUARDS)


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    tag: str
    headers: tuple[tuple[str, str], ...]


class Assets:
    """All files, read once when this is made. Browsers ask each time whether theirs is still good (ETag)."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self.files = {path.name: _asset(path) for path in sorted(directory.iterdir()) if path.suffix in MEDIA}

    def __call__(self, request: Request) -> Response | None:
        path = request.raw_path
        if path != ROOT and not path.startswith(f"{ROOT}/"):
            return None
        if request.method not in ("GET", "HEAD"):
            return Response(405, b"the console's files can only be read\n", (("Allow", "GET, HEAD"), *TEXT))
        if path == ROOT:
            return Response(308, b"", (("Location", f"{ROOT}/"), *TEXT))
        found = self.files.get(path.removeprefix(f"{ROOT}/") or "index.html")
        if found is None:
            return Response(404, f"the console has no file {path}\n".encode(), TEXT)
        if _matches(request.headers.get("if-none-match", ""), found.tag):
            return Response(304, b"", found.headers)
        return Response(200, found.body, found.headers)


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    tag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = (("Content-Type", MEDIA[path.suffix]), ("ETag", tag), ("Cache-Control", "no-cache"), *GUARDS)
    return Asset(body, tag, headers)


def _matches(asked: str, tag: str) -> bool:
    """If-None-Match, compared weakly (RFC 9110, section 13.1.2)."""
    return asked.strip() == "*" or any(each.strip().removeprefix("W/") == tag for each in asked.split(","))
