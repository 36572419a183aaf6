"""kill -9 of a process that writes under load: what it acknowledged is there, every time."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from sampan.store.sqlite import SqliteStore
from sampan.store.types import Unavailable
from tests.store import writer_process
from tests.store.reading import DEADLINE, contents


async def killed_after(path: Path, name: str, lines: int) -> list[tuple[int, str, str]]:
    """Start a writer, kill it once it has acknowledged so many writes; (revision, key, value) of all of them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, writer_process.__file__, str(path), name, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged: list[bytes] = []
    try:
        async with asyncio.timeout(DEADLINE):
            while len(acknowledged) < lines:
                line = await process.stdout.readline()
                assert line, "the writer died by itself"
                acknowledged.append(line)
    finally:
        process.kill()
        acknowledged += (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
    whole = [line.decode().split() for line in acknowledged if line.endswith(b"\n")]
    return [(int(revision), key, value) for revision, key, value in whole]


async def test_nothing_acknowledged_is_lost(path: Path) -> None:
    newest: dict[str, tuple[int, str]] = {}
    top = 0
    for round in range(10):
        writes = await killed_after(path, f"r{round}", 150 * (round + 1))
        assert min(revision for revision, _, _ in writes) > top, "no revision is given out twice"
        for revision, key, value in writes:
            newest[key] = max(newest.get(key, (0, "")), (revision, value))
        store = await SqliteStore.open(path)
        top = max(revision for revision, _, _ in writes)
        assert store.revision >= top
        found = await contents(store)
        for key, (revision, value) in newest.items():
            entry = await store.get(key)
            assert entry is not None
            assert entry.value == found[key]
            # Later writes of the same key may have been committed without their answer getting out.
            assert (entry.revision, entry.value) == (revision, value.encode() * 20) or entry.revision > revision
        top = store.revision
        await store.close()


async def test_a_second_process_is_kept_out(path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, writer_process.__file__, str(path), "x", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            await process.stdout.readline()
        with pytest.raises(Unavailable, match=rf"another process uses it \(process {process.pid}\)"):
            await SqliteStore.open(path)
    finally:
        process.kill()
        await process.stdout.read()
        await process.wait()
    await (await SqliteStore.open(path)).close()
