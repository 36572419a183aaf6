from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sampan import supervisor
from sampan.supervisor import Channel, Role, Supervisor

DEADLINE = 20.0


class Running:
    """A supervisor in a process of its own, and the lines it tells about start-up."""

    def __init__(self, place: Path, roles: list[Role]) -> None:
        self.place = place
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(reader)
                # pytest replaced them; a process of its own writes to its descriptors.
                sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
                Path("/proc/self/comm").write_text("sampan")
                boss = Supervisor(place, place, writer)
                for role in roles:
                    boss.start(role)
                boss.serve()
                code = 0
            finally:
                os._exit(code)
        os.close(writer)
        self.reader = reader
        self.rest = b""

    def event(self) -> dict[str, object]:
        while b"\n" not in self.rest:
            assert select.select([self.reader], [], [], DEADLINE)[0], "the supervisor told nothing"
            data = os.read(self.reader, 4096)
            assert data, "the supervisor ended"
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        event: dict[str, object] = json.loads(line)
        return event

    def status_when(self, holds: Callable[[dict[str, dict[str, object]]], bool]) -> dict[str, dict[str, object]]:
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            status = supervisor.read_status(self.place)
            if status and holds(status["roles"]):
                roles: dict[str, dict[str, object]] = status["roles"]
                return roles
            select.select([], [], [], 0.02)
        raise AssertionError(f"never came: {supervisor.read_status(self.place)}")

    def stop(self) -> int:
        os.kill(self.pid, signal.SIGTERM)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def wait_for_end(channel: Channel) -> None:
    channel.ready()
    signal.sigwait({signal.SIGTERM})


def block_then_wait(channel: Channel) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    wait_for_end(channel)


def fail(_: Channel) -> None:
    raise RuntimeError("cannot start: the disk is on fire")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[list[Role]], Running]]:
    running: list[Running] = []

    def make(roles: list[Role]) -> Running:
        running.append(Running(tmp_path, roles))
        return running[-1]

    yield make
    for one in running:
        os.close(one.reader)
        if supervisor.alive(one.pid):
            one.stop()


def test_roles_report_readiness_and_stop_on_sigterm(start: Callable[[list[Role]], Running], tmp_path: Path) -> None:
    boss = start([Role("a", block_then_wait), Role("b", block_then_wait)])
    assert {boss.event()["role"], boss.event()["role"]} == {"a", "b"}
    roles = boss.status_when(lambda roles: all(r["ready"] for r in roles.values()))
    assert boss.stop() == 0
    assert not (tmp_path / "status.json").exists()
    assert supervisor.read_status(tmp_path) is None
    for role in roles.values():
        assert not Path(f"/proc/{role['pid']}").exists()


def test_a_killed_role_is_started_again(start: Callable[[list[Role]], Running]) -> None:
    boss = start([Role("a", block_then_wait)])
    boss.event()
    before = boss.status_when(lambda roles: bool(roles["a"]["ready"]))["a"]
    os.kill(int(str(before["pid"])), signal.SIGKILL)
    after = boss.status_when(lambda roles: roles["a"]["restarts"] == 1 and bool(roles["a"]["ready"]))["a"]
    assert after["pid"] != before["pid"]
    assert after["lastExit"] == "signal SIGKILL"


def test_a_role_that_cannot_start_is_told_and_logged(start: Callable[[list[Role]], Running], tmp_path: Path) -> None:
    boss = start([Role("a", fail)])
    assert [boss.event()["times"] for _ in range(2)] == [1, 2]
    assert "the disk is on fire" in (tmp_path / "a.log").read_text()


def test_children_end_with_their_supervisor(start: Callable[[list[Role]], Running]) -> None:
    boss = start([Role("a", block_then_wait)])
    boss.event()
    pid = int(str(boss.status_when(lambda roles: bool(roles["a"]["ready"]))["a"]["pid"]))
    descriptor = os.pidfd_open(pid)
    os.kill(boss.pid, signal.SIGKILL)
    os.waitpid(boss.pid, 0)
    assert select.select([descriptor], [], [], DEADLINE)[0], "the child lives on"
    os.close(descriptor)


def test_a_stranger_with_the_old_number_is_not_the_supervisor(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(json.dumps({"pid": 1, "started": 0, "roles": {}}))
    assert supervisor.read_status(tmp_path) is None


def test_who_has_ended_and_is_not_asked_for_yet_does_not_run(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        Path("/proc/self/comm").write_text("sampan")
        os.write(writer, b"named")
        signal.pause()
    assert os.read(reader, 5) == b"named"
    descriptor = os.pidfd_open(pid)
    (tmp_path / "status.json").write_text(json.dumps({"pid": pid, "started": 0, "roles": {}}))
    try:
        assert supervisor.read_status(tmp_path)
        os.kill(pid, signal.SIGKILL)
        assert select.select([descriptor], [], [], DEADLINE)[0]
        assert supervisor.read_status(tmp_path) is None
    finally:
        os.waitpid(pid, 0)
        for each in (descriptor, reader, writer):
            os.close(each)
    assert supervisor.read_status(tmp_path) is None
