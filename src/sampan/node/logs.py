"""Container logs: files in the CRI's format, read from the end, since a time, or as they grow.

A line is `2026-01-02T03:04:05.000000006Z stdout F text`: time, stream, F for a full line or P for a part of one,
text. Source: the Kubernetes CRI logging design.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BufferedReader
from typing import Literal

from sampan.node.inotify import Watch
from sampan.runtime import tasks

BLOCK = 64 * 1024
LONGEST_LINE = 1 << 20
"""Bytes without a line break that are taken for a damaged file's line."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """core/v1 PodLogOptions. `tail` lines from the end (None: all); `since` in Unix seconds, 0 for all."""

    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: float = 0.0
    limit: int | None = None
    stream: Literal["All", "Stdout", "Stderr"] = "All"

    @classmethod
    def of(cls, query: Mapping[str, list[str]], now: float) -> LogOptions:
        """From a request's parameters. Raises ValueError, saying which one is wrong."""

        def text(name: str) -> str:
            return query.get(name, [""])[0]

        def number(name: str, least: int) -> int | None:
            value = text(name)
            if not value:
                return None
            if not value.removeprefix("-").isdigit() or int(value) < least:
                raise ValueError(f"invalid {name} {value!r}: must be a whole number, at least {least}")
            return int(value)

        def flag(name: str) -> bool:
            return name in query and text(name).lower() in ("", "1", "t", "true")

        seconds, moment = number("sinceSeconds", 1), text("sinceTime")
        if seconds is not None and moment:
            raise ValueError("at most one of sinceTime or sinceSeconds may be specified")
        since = now - seconds if seconds is not None else 0.0
        if moment:
            try:
                since = datetime.fromisoformat(moment).timestamp()
            except ValueError:
                raise ValueError(f"invalid sinceTime {moment!r}: must be an RFC 3339 time") from None
        stream = text("stream") or "All"
        if stream not in ("All", "Stdout", "Stderr"):
            raise ValueError(f"invalid stream {stream!r}: must be All, Stdout or Stderr")
        return cls(
            flag("follow"),
            flag("timestamps"),
            number("tailLines", 0),
            since,
            number("limitBytes", 1),
            stream,  # type: ignore[arg-type]
        )


async def read(path: str, options: LogOptions, ended: asyncio.Event) -> AsyncGenerator[bytes, None]:
    """The log's text in blocks, as the options ask. With `follow` it goes on, through rotations, until `ended`
    is set and the rest has been read. Raises FileNotFoundError.
    """
    writer = _Writer(options)
    file = _open(path)
    try:
        file.seek(start_offset(file, options))
        if not options.follow:
            async for block in _rest(file, writer):
                yield block
            return
        watch = Watch(os.path.dirname(path))
        following = _Following(path, file, watch, ended)
        try:
            async for block in following.read(writer):
                yield block
        finally:
            watch.close()
            file = following.file
    finally:
        file.close()


def _open(path: str) -> BufferedReader:
    return open(path, "rb")


class _Following:
    """A log that grows. `file` is the one that is open now."""

    def __init__(self, path: str, file: BufferedReader, watch: Watch, ended: asyncio.Event) -> None:
        self.file = file
        self._path = path
        self._watch = watch
        self._ended = ended

    async def read(self, writer: _Writer) -> AsyncGenerator[bytes, None]:
        while not writer.full:
            self._watch.clear()
            last = self._ended.is_set()
            async for block in _rest(self.file, writer):
                yield block
            following = _rotated(self._path, self.file)
            if following is not None:
                # What was written between the last look and the rename is still in the old file.
                async for block in _rest(self.file, writer):
                    yield block
                self.file.close()
                self.file = following
                writer.forget()
            elif last or writer.full:
                return
            else:
                await tasks.first_of("log", self._watch.wait(), self._ended.wait())


def _rotated(path: str, file: BufferedReader) -> BufferedReader | None:
    """The new file when another has taken the place of this one."""
    try:
        following = _open(path)
    except FileNotFoundError:
        return None
    if os.path.samestat(os.fstat(file.fileno()), os.fstat(following.fileno())):
        following.close()
        return None
    return following


async def _rest(file: BufferedReader, writer: _Writer) -> AsyncGenerator[bytes, None]:
    """What there is to the end of the file."""
    while not writer.full and (data := file.read(BLOCK)):
        if text := writer.feed(data):
            yield text
        else:
            # A block without a line for us: let others run, for there may be thousands.
            await asyncio.sleep(0)


class _Writer:
    """From lines of the file to the text that is asked for."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._stream = options.stream.lower().encode() if options.stream != "All" else b""
        self._left = options.limit
        self._rest = b""
        self._begun = True
        """Whether the next part begins a line."""

    @property
    def full(self) -> bool:
        return self._left == 0

    def forget(self) -> None:
        """A half line that never got its end."""
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            self._rest = b""
        text = b"".join([self._text(line) for line in lines])
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text

    def _text(self, line: bytes) -> bytes:
        parts = line.split(b" ", 3)
        if len(parts) < 3 or (self._stream and parts[1] != self._stream):
            return b""
        moment, text = parts[0], parts[3] if len(parts) == 4 else b""
        if self._options.since and seconds(moment) < self._options.since:
            return b""
        begun, whole = self._begun, not parts[2].startswith(b"P")
        self._begun = whole
        if self._options.timestamps and begun:
            text = _utc(moment) + b" " + text
        return text + b"\n" if whole else text


def seconds(moment: bytes) -> float:
    """Unix seconds of a line's time; 0 for what is no time."""
    try:
        return datetime.fromisoformat(moment.decode("ascii")).timestamp()
    except ValueError:
        return 0.0


def _utc(moment: bytes) -> bytes:
    return moment[:-6] + b"Z" if moment.endswith(b"+00:00") else moment


def start_offset(file: BufferedReader, options: LogOptions) -> int:
    """Where reading begins: the later of the last `tail` lines and the first line not before `since`."""
    size = os.fstat(file.fileno()).st_size
    start = 0 if options.tail is None else tail_offset(file, size, options.tail)
    return max(start, since_offset(file, size, options.since)) if options.since else start


def tail_offset(file: BufferedReader, size: int, lines: int) -> int:
    """The offset of the last `lines` lines, read backwards in blocks."""
    if lines == 0:
        return size
    found, position = 0, size
    while position > 0:
        begin = max(0, position - BLOCK)
        file.seek(begin)
        block = file.read(position - begin)
        at = len(block)
        if position == size and block.endswith(b"\n"):
            at -= 1  # the last line's own end
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            found += 1
            if found == lines:
                return begin + at + 1
        position = begin
    return 0


def since_offset(file: BufferedReader, size: int, since: float) -> int:
    """An offset at or before the first line not older than `since`, found by halves: lines are in order of time."""
    low, high = 0, size
    while high - low > BLOCK:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline(LONGEST_LINE)
        begin = file.tell()
        line = file.readline(LONGEST_LINE)
        if begin >= high or not line or seconds(line.split(b" ", 1)[0]) >= since:
            high = middle
        else:
            low = begin
    return low
