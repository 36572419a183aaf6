"""Response heads as bytes; what repeats is made once."""

from __future__ import annotations

import http
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import httptools

STATUS_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in http.HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FRAMING = frozenset(("connection", "content-length", "date", "keep-alive", "transfer-encoding"))
"""Headers that the server writes itself: a handler that passes an answer on must not contradict them."""
BODYLESS = frozenset((204, 304))


class Fields(NamedTuple):
    """Header lines without framing; whether the handler wants the connection to end; the length it declares."""

    lines: bytes
    close: bool
    length: int | None


def status_line(status: int) -> bytes:
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} Status\r\n".encode()


@lru_cache(maxsize=256)
def encoded(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Header lines. A name or value with a line break would split the head, so it is refused."""
    lines = []
    for name, value in headers:
        if not name or not name.isascii() or not name.isprintable() or ":" in name or " " in name:
            raise ValueError(f"{name!r} is no header name")
        if "\r" in value or "\n" in value or "\0" in value:
            raise ValueError(f"header {name!r}: a line break or NUL in {value!r}")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1", "replace")


@lru_cache(maxsize=512)
def _fields(headers: tuple[tuple[str, str], ...]) -> Fields:
    framing = {name.lower(): value.strip().lower() for name, value in headers if name.lower() in FRAMING}
    length = framing.get("content-length", "")
    return Fields(
        encoded(tuple((name, value) for name, value in headers if name.lower() not in FRAMING)),
        framing.get("connection") == "close",
        int(length) if length.isascii() and length.isdigit() else None,
    )


def fields(headers: Iterable[tuple[str, str]]) -> Fields:
    return _fields(headers if isinstance(headers, tuple) else tuple(headers))


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    return time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(second)).encode()


def head(status: int, lines: bytes, tail: bytes) -> bytes:
    """Status line, Date, `lines`, then `tail`, which ends the head."""
    return b"".join((status_line(status), _date(int(time.time())), lines, tail))


LENGTHS = tuple(f"Content-Length: {n}\r\n\r\n".encode() for n in range(4096))


def length(size: int) -> bytes:
    return LENGTHS[size] if size < len(LENGTHS) else f"Content-Length: {size}\r\n\r\n".encode()


def answer_parser(callbacks: object) -> httptools.HttpResponseParser:
    """A parser for answers that bears what simple servers send and all clients bear: lines that end without CR."""
    parser = httptools.HttpResponseParser(callbacks)
    parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
    return parser


def with_reason(data: bytes) -> bytes:
    """The beginning of an answer, with the blank that RFC 9112 wants before an empty reason and simple servers omit."""
    if data[12:13] in (b"\r", b"\n") and data.startswith(b"HTTP/1."):
        return b"%b %b" % (data[:12], data[12:])
    return data
