"""SPDY/3.1 frames as bytes and back, without I/O. Source: the SPDY Protocol drafts 3 and 3.1.

Names in header blocks are lower case; values that a header has several of are joined by NUL.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sampan.http.errors import ProtocolError

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 1
INITIAL_WINDOW_SIZE = 7
"""The setting of that name."""
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, INTERNAL_ERROR = 1, 2, 3, 5, 6
"""Statuses of RST_STREAM."""
CONTROL_LIMIT = 64 * 1024
"""Bytes of a control frame, and of a header block when it is unpacked."""

_WORDS = (
    "options,head,post,put,delete,trace,accept,accept-charset,accept-encoding,accept-language,accept-ranges,"
    "age,allow,authorization,cache-control,connection,content-base,content-encoding,content-language,"
    "content-length,content-location,content-md5,content-range,content-type,date,etag,expect,expires,from,host,"
    "if-match,if-modified-since,if-none-match,if-range,if-unmodified-since,last-modified,location,max-forwards,"
    "pragma,proxy-authenticate,proxy-authorization,range,referer,retry-after,server,te,trailer,"
    "transfer-encoding,upgrade,user-agent,vary,via,warning,www-authenticate,method,get,status,200_OK,version,"
    "HTTP/1.1,url,public,set-cookie,keep-alive,origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    words = (word.replace("_", " ").encode() for word in _WORDS.split(","))
    return b"".join(struct.pack("!I", len(word)) + word for word in words) + _TAIL.encode()


DICTIONARY = _dictionary()
"""What header compression starts from (SPDY/3, 2.6.10.1)."""


class Syn(NamedTuple):
    """SYN_STREAM, SYN_REPLY or HEADERS: `kind` says which."""

    kind: int
    stream: int
    headers: Mapping[str, str]
    fin: bool


class Data(NamedTuple):
    """A frame that is larger than what has arrived comes in parts; `fin` is on the last."""

    stream: int
    data: bytes
    fin: bool


class Reset(NamedTuple):
    stream: int
    status: int


class Ping(NamedTuple):
    id: int


class GoAway(NamedTuple):
    last: int
    status: int


class WindowUpdate(NamedTuple):
    stream: int
    delta: int


class Settings(NamedTuple):
    values: Mapping[int, int]


Frame = Syn | Data | Reset | Ping | GoAway | WindowUpdate | Settings


class Encoder:
    """Header blocks share one compression: they must be sent in the order in which they were made."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, zlib.MAX_WBITS, zdict=DICTIONARY)

    def syn_stream(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        return _control(SYN_STREAM, FIN if fin else 0, struct.pack("!IIBB", stream, 0, 0, 0) + self._block(headers))

    def syn_reply(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        return _control(SYN_REPLY, FIN if fin else 0, struct.pack("!I", stream) + self._block(headers))

    def headers(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        return _control(HEADERS, FIN if fin else 0, struct.pack("!I", stream) + self._block(headers))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        parts = [struct.pack("!I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower(), value):
                raw = text.encode()
                parts += (struct.pack("!I", len(raw)), raw)
        return self._zlib.compress(b"".join(parts)) + self._zlib.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack("!HHI", 0x8000 | VERSION, kind, flags << 24 | len(payload)) + payload


def data(stream: int, content: bytes, *, fin: bool = False) -> bytes:
    return struct.pack("!II", stream, (FIN << 24 if fin else 0) | len(content)) + content


def reset(stream: int, status: int) -> bytes:
    return _control(RST_STREAM, 0, struct.pack("!II", stream, status))


def ping(id: int) -> bytes:
    return _control(PING, 0, struct.pack("!I", id))


def goaway(last: int, status: int = 0) -> bytes:
    return _control(GOAWAY, 0, struct.pack("!II", last, status))


def window_update(stream: int, delta: int) -> bytes:
    return _control(WINDOW_UPDATE, 0, struct.pack("!II", stream, delta))


def settings(values: Mapping[int, int]) -> bytes:
    pairs = b"".join(struct.pack("!II", id, value) for id, value in values.items())
    return _control(SETTINGS, 0, struct.pack("!I", len(values)) + pairs)


class Decoder:
    """`feed` takes bytes as they come; `frames` yields what they complete. Raises ProtocolError."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._zlib = zlib.decompressobj(zlib.MAX_WBITS, zdict=DICTIONARY)
        self._stream = 0
        self._left = 0
        self._fin = False

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def frames(self) -> Iterator[Frame]:
        while True:
            frame = self._rest_of_data() if self._left else self._next()
            if frame is None:
                return
            yield frame

    def _rest_of_data(self) -> Data | None:
        if not self._buffer:
            return None
        part = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(part)
        return Data(self._stream, part, self._fin and not self._left)

    def _next(self) -> Frame | None:
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from("!II", self._buffer)
            flags, length = second >> 24, second & 0xFFFFFF
            if not first >> 31:
                del self._buffer[:8]
                self._stream, self._left, self._fin = first, length, bool(flags & FIN)
                return self._rest_of_data() if length else Data(first, b"", self._fin)
            if length > CONTROL_LIMIT:
                raise ProtocolError(f"a SPDY control frame of {length} bytes is larger than {CONTROL_LIMIT}")
            if len(self._buffer) < 8 + length:
                return None
            payload = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            version, kind = first >> 16 & 0x7FFF, first & 0xFFFF
            if version != VERSION:
                raise ProtocolError(f"SPDY version {version} is not spoken")
            try:
                frame = self._control(kind, flags, payload)
            except (struct.error, zlib.error, UnicodeDecodeError) as error:
                raise ProtocolError(f"a SPDY control frame of type {kind} is malformed: {error}") from error
            if frame is not None:
                return frame
        return None

    def _control(self, kind: int, flags: int, payload: bytes) -> Frame | None:
        """None for types that are to be ignored (SPDY/3, 2.2.1)."""
        first = struct.unpack_from("!I", payload)[0]
        stream = first & 0x7FFFFFFF
        if kind in (SYN_STREAM, SYN_REPLY, HEADERS):
            block = payload[10 if kind == SYN_STREAM else 4 :]
            return Syn(kind, stream, self._headers(block), bool(flags & FIN))
        if kind == PING:
            return Ping(first)
        if kind == SETTINGS:
            pairs = [struct.unpack_from("!II", payload, 4 + 8 * n) for n in range(min(first, CONTROL_LIMIT))]
            return Settings({id & 0xFFFFFF: value for id, value in pairs})
        if kind not in (RST_STREAM, GOAWAY, WINDOW_UPDATE):
            return None
        second = struct.unpack_from("!I", payload, 4)[0]
        if kind == WINDOW_UPDATE:
            return WindowUpdate(stream, second & 0x7FFFFFFF)
        return Reset(stream, second) if kind == RST_STREAM else GoAway(stream, second)

    def _headers(self, block: bytes) -> Mapping[str, str]:
        raw = self._zlib.decompress(block, CONTROL_LIMIT)
        if self._zlib.unconsumed_tail:
            raise ProtocolError(f"a SPDY header block unpacks to more than {CONTROL_LIMIT} bytes")
        (count,) = struct.unpack_from("!I", raw)
        at = 4
        texts = []
        for _ in range(2 * min(count, CONTROL_LIMIT)):
            (length,) = struct.unpack_from("!I", raw, at)
            at += 4 + length
            if at > len(raw):
                raise ProtocolError("a SPDY header block ends too early")
            texts.append(raw[at - length : at].decode())
        return dict(zip((name.lower() for name in texts[::2]), texts[1::2], strict=True))
