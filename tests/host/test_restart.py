"""Our process ends, by `close` or by SIGKILL, and another takes over what runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sampan.host import mounts, processes
from tests.host.lab import DEADLINE, Lab, container, processes_of

pytestmark = pytest.mark.kernel
SLEEP = "while :; do sleep 1000 & wait $!; done"


async def test_running_containers_are_adopted(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, f"trap 'exit 3' TERM; touch /data/ready; {SLEEP}", labels={"a": "b"})
    await lab.ready(id)
    before = await lab.runtime.container(id)
    runtime = await lab.reopen()
    assert [each.id for each in await runtime.sandboxes()] == [pod.id]
    assert (await runtime.sandboxes())[0] == pod
    assert await runtime.container(id) == before
    assert (await runtime.run(id, ["echo", "again"], 20)).stdout == b"again\n"
    await runtime.stop_container(id, 20)
    assert (await runtime.container(id)).exit_code == 3
    await runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_exits_in_between_are_known_at_once(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, "trap 'exit 42' TERM; touch /data/ready; while :; do sleep 0.01; done")
    await lab.ready(id)
    found = await lab.runtime.container(id)
    monitor = lab.runtime._lifecycle.records[id]
    await lab.runtime.close()
    assert processes.signal_process(found.pid, processes.start_time(found.pid), signal.SIGTERM)
    await processes.ended(monitor.monitor_pid, monitor.monitor_started)
    runtime = await lab.open()
    ended = await runtime.container(id)
    assert (ended.state, ended.exit_code, ended.reason) == ("exited", 42, "Error")
    assert ended.finished_at >= ended.started_at


async def test_monitor_killed(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    record = lab.runtime._lifecycle.records[id]
    processes.signal_process(record.monitor_pid, record.monitor_started, signal.SIGKILL)
    ended = await lab.exited(id)
    assert (ended.exit_code, ended.message) == (137, "the container's monitor process was killed")
    await lab.runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_stopped_sandbox_stays_stopped(lab: Lab) -> None:
    pod = await lab.run_sandbox()
    await lab.runtime.stop_sandbox(pod.id)
    runtime = await lab.reopen()
    assert [each.ready for each in await runtime.sandboxes()] == [False]
    await runtime.stop_sandbox(pod.id)
    await runtime.remove_sandbox(pod.id)
    await runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_after_a_reboot(lab: Lab) -> None:
    """Everything in /run is gone, and with it processes, mounts and namespaces; the records are not."""
    pod = await lab.run_sandbox()
    id = await lab.start(pod, SLEEP)
    record = lab.runtime._lifecycle.records[id]
    await lab.runtime.close()
    for pid, started in ((record.monitor_pid, record.monitor_started), (record.container.pid, record.process_started)):
        processes.signal_process(pid, started, signal.SIGKILL)
        await processes.ended(pid, started)
    mounts.unmount_below(str(lab.run))
    shutil.rmtree(lab.run)
    runtime = await lab.open()
    assert [each.ready for each in await runtime.sandboxes()] == [False]
    ended = await runtime.container(id)
    assert (ended.state, ended.exit_code) == ("exited", 137)
    await runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


async def test_leftovers_without_a_record_are_swept(lab: Lab) -> None:
    pod = await lab.run_sandbox(share_pid=True)
    id = await lab.start(pod, SLEEP)
    layout = lab.runtime.engine.layout
    await lab.runtime.close()
    os.unlink(layout.container_record(id))
    os.unlink(layout.sandbox_record(pod.id))
    runtime = await lab.open()
    assert await runtime.sandboxes() == [] and await runtime.containers() == []
    assert lab.leftovers(live=True) == []


async def test_lost_shared_init_makes_the_sandbox_unready(lab: Lab) -> None:
    pod = await lab.run_sandbox(share_pid=True)
    record = lab.runtime._sandboxes.records[pod.id]
    await lab.runtime.close()
    processes.signal_process(record.init_pid, record.init_started, signal.SIGKILL)
    await processes.ended(record.init_pid, record.init_started)
    runtime = await lab.open()
    assert [each.ready for each in await runtime.sandboxes()] == [False]
    await runtime.remove_sandbox(pod.id)
    assert lab.leftovers(live=True) == []


CHILD = """
import asyncio, sys
from tests.host import lab as labs
from sampan.images.store import ImageStore
from pathlib import Path

async def main() -> None:
    store = ImageStore(sys.argv[2])
    place = labs.Lab(Path(sys.argv[1]), sys.argv[3], store)
    await place.open()
    pod = await place.run_sandbox()
    slow = await place.start(pod, "echo up; while :; do sleep 1000 & wait $!; done", name="slow", log_path="slow/0.log")
    await place.runtime.exec(slow, ["sleep", "987"], tty=False, stdin=True)
    await place.runtime.exec(slow, ["sleep", "987"], tty=True, stdin=True)
    quick = await place.start(pod, "read x; exit 33", name="quick", stdin=True, log_path="quick/0.log")
    pid = (await place.runtime.container(quick)).pid
    print(pod.id, slow, quick, pid, flush=True)
    while True:
        extra = await place.start(pod, "sleep 1000", name="extra", log_path="extra/0.log")
        print("started", extra, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("started", [0, 1, 3])
async def test_killed_in_the_middle(lab: Lab, started: int) -> None:
    """SIGKILL while it starts containers in a row: what ran goes on, what was half made is gone or says so."""
    await lab.runtime.close()
    argv = [sys.executable, "-c", CHILD, str(lab.root), lab.images.root_directory, lab.instance]
    child = await asyncio.create_subprocess_exec(
        *argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."}
    )
    async with asyncio.timeout(DEADLINE):
        pod, slow, quick, pid = (await child.stdout.readline()).decode().split()
        for _ in range(started):
            await child.stdout.readline()
    child.kill()
    await child.wait()
    os.kill(int(pid), signal.SIGTERM)  # the default action of a shell that reads: it ends
    os.kill(int(pid), signal.SIGKILL)
    runtime = await lab.open()
    assert [(each.id, each.ready) for each in await runtime.sandboxes()] == [(pod, True)]
    states = {each.id: each for each in await runtime.containers()}
    assert states[slow].state == "running"
    assert (await lab.exited(quick)).exit_code in (137, 143)
    rest = [each for id, each in states.items() if id not in (slow, quick)]
    for each in rest:
        assert each.state in ("created", "running") or each.reason == "StartError", each
        if each.state == "running":
            assert (await runtime.run(each.id, ["true"], 20)).code == 0
        if each.state == "created":
            await runtime.start_container(each.id)
    listing = await runtime.run(slow, ["ps", "-o", "args"], 20)
    assert b"987" not in listing.stdout
    await runtime.remove_sandbox(pod)
    assert lab.leftovers(live=True) == []


async def test_teardown_leaves_nothing(lab: Lab) -> None:
    for share in (False, True):
        pod = await lab.run_sandbox(share_pid=share)
        await lab.start(pod, SLEEP)
        await lab.runtime.create_container(pod.id, container("never"))
    await lab.runtime.teardown()
    assert lab.leftovers() == [] and processes_of(str(lab.root)) == []
    await lab.open()
