"""What the node's server answers about runs, below /delivery. Who may ask, the API server has decided.

log/NAMESPACE/RUN               the log; follow=true goes on to the run's end
artifacts/NAMESPACE/RUN         names and sizes of what was archived, as JSON
artifacts/NAMESPACE/RUN?path=   one of them
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec

from sampan.delivery import trees
from sampan.delivery.places import Places
from sampan.delivery.runner import Runner
from sampan.http.types import Request, Response

BLOCK = 1 << 18
_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_JSON = (("Content-Type", "application/json"),)
_BYTES = (("Content-Type", "application/octet-stream"),)


async def answer(runner: Runner, places: Places, request: Request, rest: Sequence[str]) -> Response:
    if request.method not in ("GET", "HEAD"):
        return Response(405, b"this is for reading only\n", _TEXT)
    if len(rest) != 3:
        return Response(404, b"ask for log/NAMESPACE/RUN or artifacts/NAMESPACE/RUN\n", _TEXT)
    what, namespace, name = rest
    try:
        log, kept = places.log(namespace, name), places.artifacts(namespace, name)
    except ValueError as error:
        return Response(400, f"{error}\n".encode(), _TEXT)
    if what == "log":
        if request.param("follow").lower() in ("1", "true"):
            return Response(200, _stream(runner.follow(namespace, name)), _TEXT)
        return await asyncio.to_thread(_log, log)
    if what == "artifacts":
        return await asyncio.to_thread(_artifacts, kept, request.param("path"))
    return Response(404, b"there are log and artifacts\n", _TEXT)


async def _stream(lines: AsyncGenerator[str, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(lines):
        async for line in lines:
            yield f"{line}\n".encode()


def _log(path: Path) -> Response:
    """In blocks: logs are large, and many may ask."""
    if not path.exists():
        return Response(200, b"", _TEXT)
    return Response(200, _file(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC)), _TEXT)


def _artifacts(directory: Path, path: str) -> Response:
    if not path:
        found = [{"path": each.path, "size": each.size} for each in trees.files(directory)]
        return Response(200, msgspec.json.encode(found), _JSON)
    try:
        descriptor = trees.open_file(directory, path)
    except OSError as error:
        return Response(404, f"{path}: {error.strerror or error}\n".encode(), _TEXT)
    regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    os.close(descriptor)
    if not regular:
        return Response(404, f"{path} is no file\n".encode(), _TEXT)
    return Response(200, _file(lambda: trees.open_file(directory, path)), _BYTES)


async def _file(opened: Callable[[], int]) -> AsyncGenerator[bytes, None]:
    """Opened when it is read and not before: an answer to HEAD is not."""
    with open(await asyncio.to_thread(opened), "rb") as file:  # noqa: ASYNC230 - a descriptor is open already
        while block := await asyncio.to_thread(file.read, BLOCK):
            yield block
