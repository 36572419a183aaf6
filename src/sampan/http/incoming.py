"""Requests as they arrive: llhttp does the syntax, this what a strict server adds to it.

What could make us and a proxy before us disagree on where a request ends is refused (RFC 9112, 6.1 and 11.2).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import httptools

from sampan.http.flow import Inbox


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds. Times are checked every 5 s.

    `head_time` from the first byte of a head to its end (and for the TLS handshake), `body_time` without a byte
    of a body that somebody waits for, `idle_time` between requests, `write_time` without a peer that reads its answer.
    A stream or what took a connection over may be left unread for `stream_time`: somebody looks at it in a pager.
    `unread_body` is read away to keep the connection when a handler did not want a body.
    """

    head: int = 64 * 1024
    headers: int = 200
    pipelined: int = 32
    head_time: float = 20.0
    body_time: float = 60.0
    idle_time: float = 180.0
    write_time: float = 60.0
    stream_time: float = 4 * 3600.0
    unread_body: int = 256 * 1024


class Refused(Exception):
    """What arrived is no request that we serve; nothing after it can be trusted."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Incoming:
    """One request while it arrives. `inbox` is made when its handler starts before the body is complete."""

    __slots__ = (
        "body", "complete", "expects", "headers", "inbox", "keep_alive", "method", "size", "upgrade", "url", "version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.size = 0
        self.method = ""
        self.version = ""
        self.keep_alive = True
        self.expects = False
        self.upgrade = False
        self.body: list[bytes] = []
        self.inbox: Inbox | None = None
        self.complete = False


ONCE = frozenset(("host", "content-length", "authorization", "content-type", "transfer-encoding", "expect"))
"""Headers that must not be repeated: which one counts would depend on who reads."""


class Reader:
    """Feeds a connection's bytes to the parser; requests whose heads are complete line up in `ready`.

    `queued` is the size of bodies that arrived for requests nobody has started to answer.
    """

    __slots__ = ("_limits", "_parser", "_quiet", "current", "queued", "ready")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._quiet = 0
        self.current: Incoming | None = None
        self.ready: deque[Incoming] = deque()
        self.queued = 0

    def feed(self, data: bytes) -> bytes | None:
        """Returns what follows an upgrade request, b"" included, and None without one. Raises Refused."""
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.ready:
                self.ready[-1].upgrade = True
                self.ready[-1].keep_alive = False
            return data[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Refused):
                raise error.__context__ from None
            raise Refused(400, f"malformed request: {error}") from error
        if self._quiet > self._limits.head:
            # The parser collects a header until its end, and skips chunk extensions without one.
            raise Refused(431, "the request's head is too large")
        return None

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and is not complete."""
        return self.current is not None and not self.current.method

    # httptools callbacks

    def on_message_begin(self) -> None:
        self.current = Incoming()

    def on_url(self, url: bytes) -> None:
        incoming = self._current()
        incoming.url += url
        if len(incoming.url) > self._limits.head:
            raise Refused(414, "the request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        incoming = self._current()
        incoming.size += len(name) + len(value)
        headers = incoming.headers
        if incoming.size > self._limits.head or len(headers) >= self._limits.headers:
            raise Refused(431, "the request's head is too large")
        if incoming.method:
            return  # a trailer: never mixed with what the head said
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1").strip(" \t")
        if "\n" in text or "\r" in text or "\0" in text:
            raise Refused(400, f"header {key!r} has a line break or NUL")
        before = headers.get(key)
        if before is None:
            headers[key] = text
        elif key in ONCE:
            raise Refused(400, f"header {key!r} is given twice")
        else:
            headers[key] = f"{before}, {text}"

    def on_headers_complete(self) -> None:
        incoming = self._current()
        self._quiet = 0
        incoming.version = version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise Refused(505, f"HTTP/{version} is not supported")
        incoming.keep_alive = self._parser.should_keep_alive()
        headers = incoming.headers
        if version == "1.1" and "host" not in headers:
            raise Refused(400, "the request has no host header")
        coding = headers.get("transfer-encoding")
        if coding is not None:
            if "content-length" in headers:
                raise Refused(400, "both content-length and transfer-encoding are given")
            if version == "1.0":
                raise Refused(400, "transfer-encoding in HTTP/1.0")
            if coding.lower() != "chunked":
                raise Refused(501, f"transfer-encoding {coding!r} is not supported")
        expect = headers.get("expect")
        if expect is not None:
            if expect.lower() != "100-continue":
                raise Refused(417, f"expectation {expect!r} is not supported")
            incoming.expects = version == "1.1"
        incoming.method = self._parser.get_method().decode("ascii")
        self.ready.append(incoming)

    def on_body(self, body: bytes) -> None:
        incoming = self._current()
        self._quiet = 0
        if incoming.inbox is not None:
            incoming.inbox.feed(body)
        else:
            incoming.body.append(body)
            self.queued += len(body)

    def on_message_complete(self) -> None:
        incoming = self._current()
        self._quiet = 0
        incoming.complete = True
        if incoming.inbox is not None:
            incoming.inbox.end()
        self.current = None

    def _current(self) -> Incoming:
        assert self.current is not None
        return self.current
