"""Which OCI runtime is used, and starting programs without leaking descriptors or waiting for ever."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from sampan.host import oci, processes, sandbox_init, streams
from sampan.host.background import Background, whole
from sampan.host.changes import Changes
from sampan.host.containers import RuntimeFailure


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.kernel
async def test_a_runtime_that_refuses_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "crun", "echo 'hybrid mode not supported' >&2; exit 1")
    script(tmp_path / "runc", "echo 'exec: \"/absent\": no such file or directory' >&2; exit 1")
    monkeypatch.setattr(oci, "SEARCH", str(tmp_path))
    cache = str(tmp_path / "cache.json")
    verdicts = await oci.choose("auto", str(tmp_path), cache)
    assert [(v.kind, v.works, v.reason) for v in verdicts] == [
        ("crun", False, "hybrid mode not supported"),
        ("runc", True, "works"),
    ]
    script(tmp_path / "crun", "exec false  # is not asked again while it looks the same")
    os.utime(tmp_path / "crun")
    again = await oci.choose("auto", str(tmp_path), cache)
    assert again[0].reason == "" and again[1] == verdicts[1]
    assert await oci.choose("auto", str(tmp_path), cache) == again


@pytest.mark.kernel
async def test_no_runtime_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "runc", "echo broken >&2; exit 1")
    monkeypatch.setattr(oci, "SEARCH", str(tmp_path))
    with pytest.raises(RuntimeFailure, match=r"no OCI runtime works here: crun: not installed; .*runc: broken"):
        await oci.choose("auto", str(tmp_path), str(tmp_path / "cache.json"))
    with pytest.raises(RuntimeFailure, match=r"nosuch: not installed|runc: not installed"):
        await oci.choose("nosuch", str(tmp_path), str(tmp_path / "cache.json"))


async def test_run_collects_both_outputs() -> None:
    found = await processes.run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"])
    assert found == processes.Output(3, b"out\n", b"err\n")
    large = await processes.run(["/bin/sh", "-c", "head -c 300000 /dev/zero"], limit=1000)
    assert (large.code, len(large.stdout)) == (0, 1000)
    killed = await processes.run(["/bin/sh", "-c", "kill -9 $$"])
    assert killed.code == 137


async def test_cancelled_run_kills(tmp_path: Path) -> None:
    task = asyncio.create_task(processes.run(["/bin/sh", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 1000"]))
    while not processes.read_pid(f"{tmp_path}/pid"):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert processes.start_time(processes.read_pid(f"{tmp_path}/pid")) == 0


async def test_child_gets_only_what_it_is_given() -> None:
    reader, writer = os.pipe()
    out, into = os.pipe()
    child = processes.spawn(["/bin/ls", "/proc/self/fd"], stdio=(reader, into, into), descriptors={5: into})
    os.close(into)
    assert await child.wait() == 0 == await child.wait()
    inherited = {name for name in os.listdir("/proc/self/fd") if _inheritable(int(name))}
    found = set((await processes.collect(out, 1000)).decode().split())
    assert found - inherited == {"0", "1", "2", "3", "5"} - inherited
    os.close(reader)
    os.close(writer)


def _inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False


async def test_a_pid_is_not_mistaken() -> None:
    child = processes.spawn(["/bin/sleep", "1000"])
    started = processes.start_time(child.pid)
    assert processes.alive(child.pid, started) and not processes.alive(child.pid, started + 1)
    assert not processes.signal_process(child.pid, started + 1, signal.SIGKILL)
    assert processes.signal_process(child.pid, started, signal.SIGTERM)
    await processes.ended(child.pid, started)
    assert await child.wait() == 143
    child.kill()
    assert not processes.alive(child.pid, started) and not processes.alive(0, 0)


async def test_whole_trees_are_killed() -> None:
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    child = processes.spawn(
        ["/bin/sh", "-c", "(sleep 1000 & sleep 1000) & echo up; wait"], stdio=(null, writer, writer)
    )
    os.close(writer)
    os.close(null)
    assert os.read(reader, 10) == b"up\n"
    assert processes.kill_tree(child.pid)
    assert await child.wait() == 137
    assert await processes.collect(reader, 10) == b""  # nobody holds the pipe any more
    assert not processes.kill_tree(child.pid, itself=False)


async def test_closed_channels_wake_their_readers_and_writers() -> None:
    reader, writer = os.pipe()
    source, sink = streams.Channel(reader), streams.Channel(writer)
    reading = asyncio.create_task(source.read())
    writing = asyncio.create_task(sink.write(bytes(1 << 20)))
    chunk = await reading
    reading = asyncio.create_task(source.read())
    await asyncio.sleep(0)
    sink.close()
    with pytest.raises(BrokenPipeError):
        await writing
    assert chunk and await reading
    source.close()
    source.close()
    assert await source.read() == b""
    with pytest.raises(BrokenPipeError):
        await sink.write(b"x")


async def test_merge_ends_when_all_end() -> None:
    channels, writers = {}, []
    for number in (1, 2):
        reader, writer = os.pipe()
        channels[number] = streams.Channel(reader)
        writers.append(writer)
    os.write(writers[1], b"b")
    os.write(writers[0], b"a")
    for writer in writers:
        os.close(writer)
    assert sorted([each async for each in streams.merge(channels)]) == [(1, b"a"), (2, b"b")]
    for channel in channels.values():
        channel.close()


async def test_changes_are_bounded_by_what_changes() -> None:
    changes = Changes()
    reader = changes.subscribe()
    for _ in range(1000):
        changes.publish("a")
        changes.publish("b")
    assert [await anext(reader), await anext(reader)] == ["a", "b"]
    changes.publish("a")
    assert await anext(reader) == "a"
    await reader.aclose()  # type: ignore[attr-defined]
    assert changes._readers == set()


async def test_whole_work_is_done_before_the_cancellation() -> None:
    steps: list[str] = []

    async def work() -> None:
        steps.append("first")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        steps.append("last")

    task = asyncio.create_task(whole(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["first", "last"]


async def test_background_failures_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("why")

    tasks = Background()
    tasks.start(fail(), "the work")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await tasks.close()
    assert "the work: why" in caplog.text


def test_init_is_an_elf_program() -> None:
    for machine in ("x86_64", "aarch64"):
        assert (
            sandbox_init.program(machine).startswith(b"\x7fELF\x02\x01\x01")
            and len(sandbox_init.program(machine)) < 250
        )
    with pytest.raises(ValueError, match="not supported on riscv64"):
        sandbox_init.program("riscv64")
