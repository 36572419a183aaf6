"""Response heads as bytes; what repeats is made once."""

from __future__ import annotations

import http
import time
from collections.abc import Iterable
from functools import lru_cache

STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in http.HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n".encode()


@lru_cache(maxsize=256)
def encoded(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Header lines. A value with a line break would split the head, so it is refused."""
    lines = []
    for name, value in headers:
        if "\r" in value or "\n" in value or "\r" in name or "\n" in name or ":" in name:
            raise ValueError(f"header {name!r}: a line break in {value!r}")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1", "replace")


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(second)).encode()


def head(status: int, headers: Iterable[tuple[str, str]], tail: bytes) -> bytes:
    """Status line, Date, `headers`, then `tail`, which ends the head."""
    fixed = headers if isinstance(headers, tuple) else tuple(headers)
    return b"".join((status_line(status), _date(int(time.time())), encoded(fixed), tail))


LENGTHS = tuple(f"Content-Length: {n}\r\n\r\n".encode() for n in range(4096))


def length(size: int) -> bytes:
    return LENGTHS[size] if size < len(LENGTHS) else f"Content-Length: {size}\r\n\r\n".encode()
