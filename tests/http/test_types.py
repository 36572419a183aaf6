"""A body is read whole, or not beyond what its reader allows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sampan.http.errors import BodyTooLarge
from sampan.http.types import Response


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"more"


async def test_a_body_is_read_whole() -> None:
    assert await Response(200, b"all").read() == await Response(200, chunks(b"a", b"ll")).read() == b"all"
    assert await Response(200, b"all").read(3) == await Response(200, chunks(b"a", b"ll")).read(3) == b"all"


async def test_a_body_that_is_too_large() -> None:
    for body in (b"all", endless()):
        with pytest.raises(BodyTooLarge, match="larger than 2 bytes"):
            await Response(200, body).read(2)
