from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.host.containers import ContainerConfig, SandboxConfig
from sampan.node import logs
from sampan.node.log_rotation import EVERY, LogRotation
from sampan.node.logs import LogOptions
from sampan.runtime import tasks
from sampan.runtime.clock import VirtualClock, settle
from tests.node_parts.runtimes import Table

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def line(text: str, at: int = 0, stream: str = "stdout", tag: str = "F") -> str:
    moment = (START + timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    return f"{moment} {stream} {tag} {text}\n"


async def text(path: Path, **options: Any) -> str:
    blocks = logs.read(str(path), LogOptions(**options), asyncio.Event())
    return b"".join([block async for block in blocks]).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Ten lines, one a second, odd ones on stderr."""
    path = tmp_path / "0.log"
    path.write_text("".join(line(f"line {at}", at, "stderr" if at % 2 else "stdout") for at in range(10)))
    return path


async def test_everything(log: Path) -> None:
    assert await text(log) == "".join(f"line {at}\n" for at in range(10))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tail": 2}, ["line 8", "line 9"]),
        ({"tail": 0}, []),
        ({"tail": 100}, [f"line {at}" for at in range(10)]),
        ({"since": START.timestamp() + 7.5}, ["line 8", "line 9"]),
        ({"since": START.timestamp() + 5, "tail": 2}, ["line 8", "line 9"]),
        ({"since": START.timestamp() + 8.5, "tail": 5}, ["line 9"]),
        ({"since": START.timestamp() + 100}, []),
        ({"stream": "Stderr"}, ["line 1", "line 3", "line 5", "line 7", "line 9"]),
        ({"stream": "Stdout", "tail": 3}, ["line 8"]),
    ],
)
async def test_a_part(log: Path, options: dict[str, Any], expected: list[str]) -> None:
    assert (await text(log, **options)).splitlines() == expected


async def test_times(log: Path) -> None:
    assert await text(log, timestamps=True, tail=1) == "2026-01-02T03:04:14.123456789Z line 9\n"


async def test_times_of_another_zone_stay_and_of_none_are_short(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("2026-01-02T03:04:05.000000001+00:00 stdout F a\n2026-01-02T03:04:05.000000001-06:00 stdout F b\n")
    assert await text(path, timestamps=True) == (
        "2026-01-02T03:04:05.000000001Z a\n2026-01-02T03:04:05.000000001-06:00 b\n"
    )
    assert await text(path, since=START.timestamp() + 3600) == "b\n"


async def test_bytes_may_be_limited(log: Path) -> None:
    assert await text(log, limit=10) == "line 0\nlin"


async def test_parts_of_a_line_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line("one ", tag="P") + line("two ", tag="P") + line("three") + line("") + line("next"))
    assert await text(path) == "one two three\n\nnext\n"
    assert await text(path, timestamps=True) == (
        "2026-01-02T03:04:05.123456789Z one two three\n"
        "2026-01-02T03:04:05.123456789Z \n"
        "2026-01-02T03:04:05.123456789Z next\n"
    )


async def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"\x00\x00\n" + line("good").encode() + b"half a li")
    assert await text(path) == "good\n"


async def test_bytes_are_passed_on_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(line("").encode()[:-1] + b"\xff\xfe\x1b[1m \r\n")
    blocks = logs.read(str(path), LogOptions(), asyncio.Event())
    assert b"".join([block async for block in blocks]) == b"\xff\xfe\x1b[1m \r\n"


async def test_a_log_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await text(tmp_path / "none")


async def test_large_files_are_read_from_where_it_matters(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("".join(line(f"{at:06} " + "x" * 200, at) for at in range(20_000)))
    with path.open("rb") as file:
        size = path.stat().st_size
        assert size - logs.since_offset(file, size, START.timestamp() + 19_990) < 3 * logs.BLOCK
    assert (await text(path, since=START.timestamp() + 19_998)).split()[::2] == ["019998", "019999"]
    assert len((await text(path, tail=1000)).splitlines()) == 1000


@given(st.lists(st.integers(0, 200), max_size=60), st.integers(0, 70))
def test_the_tail_is_the_last_lines(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], count: int) -> None:
    path = tmp_path_factory.mktemp("log") / "0.log"
    lines = [line("y" * size) for size in sizes]
    path.write_text("".join(lines))
    with path.open("rb") as file:
        offset = logs.tail_offset(file, path.stat().st_size, count)
        file.seek(offset)
        assert file.read().decode() == "".join(lines[max(0, len(lines) - count) :])


# --- as it grows ---


class Follower:
    """Reads a log in the background."""

    def __init__(self, path: Path, group: tasks.Group, **options: Any) -> None:
        self.ended = asyncio.Event()
        self.text = ""
        self._news = asyncio.Event()
        options = {"follow": True, **options}
        self.task = group.start("follower", self._read(str(path), LogOptions(**options)))

    async def _read(self, path: str, options: LogOptions) -> None:
        async with aclosing(logs.read(path, options, self.ended)) as blocks:
            async for block in blocks:
                self.text += block.decode()
                self._news.set()

    async def until(self, expected: str) -> None:
        async with asyncio.timeout(10):
            while self.text != expected:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
async def group() -> AsyncIterator[tasks.Group]:
    async with tasks.Group("test") as made:
        yield made


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_lines_are_followed_as_they_come(log: Path, group: tasks.Group) -> None:
    before = descriptors()
    follower = Follower(log, group, tail=1)
    await follower.until("line 9\n")
    with log.open("a") as file:
        file.write(line("more")[:20])
        file.flush()
        await settle()
        file.write(line("more")[20:])
    await follower.until("line 9\nmore\n")
    follower.ended.set()
    await asyncio.wait_for(follower.task, 10)
    assert descriptors() == before


async def test_what_was_written_before_the_end_is_read(log: Path, group: tasks.Group) -> None:
    follower = Follower(log, group, tail=0)
    await settle()
    with log.open("a") as file:
        file.write(line("last words"))
    follower.ended.set()
    await asyncio.wait_for(follower.task, 10)
    assert follower.text == "last words\n"


async def test_a_log_of_a_container_that_has_ended(log: Path, group: tasks.Group) -> None:
    follower = Follower(log, group, tail=2)
    follower.ended.set()
    await asyncio.wait_for(follower.task, 10)
    assert follower.text == "line 8\nline 9\n"


async def test_rotation_is_followed(log: Path, group: tasks.Group) -> None:
    follower = Follower(log, group, tail=0)
    await settle()
    with log.open("a") as old:
        old.write(line("old 1"))
        old.flush()
        await follower.until("old 1\n")
        log.rename(log.with_name("0.log.20260102"))
        old.write(line("old 2"))
    log.write_text(line("new 1"))
    await follower.until("old 1\nold 2\nnew 1\n")
    with log.open("a") as new:
        new.write(line("new 2"))
    await follower.until("old 1\nold 2\nnew 1\nnew 2\n")
    follower.ended.set()
    await asyncio.wait_for(follower.task, 10)


async def test_a_limit_ends_following(log: Path, group: tasks.Group) -> None:
    follower = Follower(log, group, tail=0, limit=4)
    await settle()
    with log.open("a") as file:
        file.write(line("abcdef"))
    await asyncio.wait_for(follower.task, 10)
    assert follower.text == "abcd"


async def test_a_reader_that_leaves_leaves_nothing(log: Path) -> None:
    before = descriptors()
    blocks = logs.read(str(log), LogOptions(follow=True), asyncio.Event())
    assert await anext(blocks)
    await blocks.aclose()
    assert descriptors() == before


# --- what is asked for ---


def test_parameters() -> None:
    query = {"follow": ["true"], "timestamps": ["1"], "tailLines": ["5"], "limitBytes": ["9"], "sinceSeconds": ["60"]}
    assert LogOptions.of(query, 1000.0) == LogOptions(True, True, 5, 940.0, 9)
    assert LogOptions.of({"sinceTime": ["2026-01-02T03:04:05Z"]}, 0).since == START.timestamp()
    assert LogOptions.of({"stream": ["Stderr"], "follow": ["false"]}, 0) == LogOptions(stream="Stderr")
    assert LogOptions.of({}, 0) == LogOptions()


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"tailLines": ["x"]}, "invalid tailLines 'x'"),
        ({"tailLines": ["-1"]}, "at least 0"),
        ({"limitBytes": ["0"]}, "at least 1"),
        ({"sinceSeconds": ["0"]}, "at least 1"),
        ({"sinceTime": ["yesterday"]}, "must be an RFC 3339 time"),
        ({"sinceSeconds": ["1"], "sinceTime": ["2026-01-02T03:04:05Z"]}, "at most one of"),
        ({"stream": ["Both"]}, "must be All, Stdout or Stderr"),
    ],
)
def test_wrong_parameters(query: dict[str, list[str]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        LogOptions.of(query, 0)


# --- rotation ---


class House:
    """Containers with logs, and a monitor that opens a new file when it is told to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = VirtualClock()
        self.table = Table()
        self.table.on_reopen = lambda id: self._new(id)
        runtime: Any = self.table
        self.rotation = LogRotation(runtime, max_size=100, max_files=3, clock=self.clock)

    def add(self, name: str, size: int, state: str = "running") -> Path:
        path = self.directory / name / "c" / "0.log"
        path.parent.mkdir(parents=True)
        path.write_text("x" * size)
        sandbox = SandboxConfig("u", name, "default", log_directory=str(self.directory / name))
        self.table.put(sandbox, ContainerConfig("c", "i", log_path="c/0.log"), state=state)
        return path

    def _new(self, id: str) -> None:
        (self.directory / id.split("-")[0] / "c" / "0.log").write_text("")


async def test_large_logs_are_moved_aside(tmp_path: Path) -> None:
    house = House(tmp_path)
    large, small, over = house.add("large", 101), house.add("small", 100), house.add("over", 500, "exited")
    assert await house.rotation.rotate() == 1
    assert house.table.reopened == ["large-c-0"]
    assert large.read_text() == "" and small.stat().st_size == 100 and over.stat().st_size == 500
    (aside,) = large.parent.glob("0.log.*")
    assert aside.stat().st_size == 101


async def test_only_so_many_files_are_kept(tmp_path: Path) -> None:
    house = House(tmp_path)
    path = house.add("a", 0)
    for at in range(5):
        path.write_text(f"{at}" * 200)
        await house.clock.advance(1)
        await house.rotation.rotate()
    assert [each.read_text()[0] for each in sorted(path.parent.glob("0.log.*"))] == ["3", "4"]


async def test_a_container_that_ends_meanwhile_keeps_its_log(tmp_path: Path) -> None:
    house = House(tmp_path)
    path = house.add("a", 200)

    def ended(id: str) -> None:
        raise OSError(6, "no monitor")

    house.table.on_reopen = ended
    await house.rotation.rotate()
    assert path.stat().st_size == 200 and list(path.parent.glob("0.log.*")) == []


async def test_logs_are_looked_at_regularly(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.add("a", 200)
    async with tasks.Group("test") as group:
        running = group.start("rotation", house.rotation.run())
        await settle()
        await house.clock.advance(EVERY)
        async with asyncio.timeout(10):
            while not house.table.reopened:
                await asyncio.sleep(0.001)
        running.cancel()
